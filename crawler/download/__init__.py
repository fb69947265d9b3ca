"""Large files, fetched in segments and verified as they arrive: right or absent.

`download` fetches one file, `Downloader` many. `Plan` says who fetches which bytes next, `judge` what an answer is
worth, `Identity` whether it is still the same file, `Seams` whether neighbouring pieces fit together: these think only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crawler.download.downloader import Downloader, download
    from crawler.download.fault import Fault
    from crawler.download.proof.digests import Digest, parse_digest
    from crawler.download.values import DownloadOptions, FileProgress, FileResult, Gate, Wanted

__all__ = [
    "Digest",
    "DownloadOptions",
    "Downloader",
    "Fault",
    "FileProgress",
    "FileResult",
    "Gate",
    "Wanted",
    "download",
    "parse_digest",
]

_HOME = {
    "Digest": "proof.digests",
    "DownloadOptions": "values",
    "Downloader": "downloader",
    "Fault": "fault",
    "FileProgress": "values",
    "FileResult": "values",
    "Gate": "values",
    "Wanted": "values",
    "download": "downloader",
    "parse_digest": "proof.digests",
}


def __getattr__(name: str) -> Any:
    """Import on first use: what runs in the workers must cost no more than it needs."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
