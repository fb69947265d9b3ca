"""Pages from the web: frontier, politeness, fetch, durable state, and the command `crawl`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crawler.config import Config
    from crawler.config.load import load
    from crawler.download.downloader import Downloader
    from crawler.engine.crawl import Crawl
    from crawler.engine.run import run
    from crawler.engine.summary import Summary

__version__ = "0.1.0"
__all__ = ["Config", "Crawl", "Downloader", "Summary", "__version__", "load", "run"]

_HOME = {
    "Config": "crawler.config",
    "Crawl": "crawler.engine.crawl",
    "Downloader": "crawler.download.downloader",
    "Summary": "crawler.engine.summary",
    "load": "crawler.config",
    "run": "crawler.engine.run",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the worker processes need one small module of this package, not the HTTP client."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
