"""The special URLs of the demo site, by group, and the page that lists them."""

from crawler.demo.cases.catalogue import Catalogue
from crawler.demo.cases.traps import Limits

__all__ = ["Catalogue", "Limits"]
