"""What an answer tells before its body: whether that can be the file at all."""

from __future__ import annotations

from crawler.download.fault import Fault
from crawler.download.opening import Opened
from crawler.download.retry import GivenUp
from crawler.download.values import DownloadOptions, Wanted

_PAGES = ("html", "htm", "xhtml", "php", "asp", "aspx", "jsp")


def check(opened: Opened, wanted: Wanted, options: DownloadOptions) -> None:
    """Refuse what cannot be the file. Raises GivenUp."""
    if opened.total is not None:
        check_size(wanted, options, opened.total)
    if opened.source.at == opened.source.url:
        return
    kind = next((value for name, value in opened.head.fields if name == "content-type"), "").lower()
    if kind.startswith(("text/html", "application/xhtml")) and not is_page_asked(wanted):
        raise GivenUp(Fault.REDIRECT_TO_PAGE, f"leads to a page, {opened.source.at}")


def check_size(wanted: Wanted, options: DownloadOptions, size: int) -> None:
    """Refuse a file that has another size than it must have. Raises GivenUp."""
    if wanted.size is not None and size != wanted.size:
        raise GivenUp(Fault.SIZE_MISMATCH, f"{size} bytes, expected {wanted.size}")
    if options.max_bytes is not None and size > options.max_bytes:
        raise GivenUp(Fault.SIZE_LIMIT, f"{size} bytes, {options.max_bytes} are allowed")


def is_page_asked(wanted: Wanted) -> bool:
    """Tell whether the file may be a web page, by its name."""
    name = (wanted.path or wanted.url.partition("?")[0]).rpartition("/")[2]
    return "." not in name or name.rpartition(".")[2].lower() in _PAGES
