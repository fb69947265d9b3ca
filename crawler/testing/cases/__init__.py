"""The catalogue of fault cases, D1 to D124."""

from crawler.testing.cases.case import PATH, SIZE, Case, Need, Setting
from crawler.testing.cases.catalogue import CASES, named

__all__ = ["CASES", "PATH", "SIZE", "Case", "Need", "Setting", "named"]
