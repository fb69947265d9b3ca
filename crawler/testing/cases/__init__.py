"""The catalogue of fault cases, D1 to D124."""

from crawler.testing.cases.case import PATH, SIZE, Case, Need, Setting
from crawler.testing.cases.catalogue import CASES, named
from crawler.testing.cases.unscripted import UNSCRIPTED, Unscripted

__all__ = ["CASES", "PATH", "SIZE", "UNSCRIPTED", "Case", "Need", "Setting", "Unscripted", "named"]
