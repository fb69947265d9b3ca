"""Errors that stay, errors that pass, and pages that take their time."""

from __future__ import annotations

from collections.abc import Iterator

from crawler.demo.answer import HTML, Answer, Drip, Kind
from crawler.demo.cases.case import Case, page

_LASTING = (
    (400, "Bad Request"), (401, "Unauthorized"), (403, "Forbidden"), (404, "Not Found"), (410, "Gone"),
    (451, "Unavailable For Legal Reasons"), (500, "Internal Server Error"),
)  # fmt: skip


def statuses(origin: str, *, flaky: bool) -> Iterator[Case]:
    """Yield the errors. Without `flaky`, those that pass are over from the first request on."""
    for status, phrase in _LASTING:
        extra = (("WWW-Authenticate", 'Basic realm="demo"'),) if status == 401 else ()
        yield Case(f"{origin}/status/{status}", Kind.ERROR, _error(status, extra), note=f"{status} {phrase}")
    yield Case(f"{origin}/status/204", Kind.PAGE, Answer(204, ()), b"", note="204 No Content: an empty page")
    yield page(
        f"{origin}/status/flaky",
        "Recovered from errors",
        note="500 for the first two requests, then a page",
        first=(_error(500), _error(500)) if flaky else (),
    )
    again = (("Retry-After", "1"),)
    yield page(
        f"{origin}/status/busy",
        "Not busy any more",
        note="503 with Retry-After: 1 for the first request, then a page",
        first=(_error(503, again),) if flaky else (),
    )
    yield page(
        f"{origin}/status/limited",
        "Within the limit again",
        note="429 with Retry-After: 1 for the first request, then a page",
        first=(_error(429, again),) if flaky else (),
    )


def _error(status: int, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    body = f"<!doctype html>\n<title>{status}</title>\n<p>An error on purpose: {status}.</p>\n"
    return Answer(status, (("Content-Type", HTML), *headers), body.encode())


def slow(origin: str, seconds: float) -> Iterator[Case]:
    """Yield pages that take `seconds` each."""
    for n in (1, 2, 3):
        yield page(
            f"{origin}/slow/{n}", f"Slow page {n}", note=f"{seconds:g} s before the first byte", delay_seconds=seconds
        )
    yield page(
        f"{origin}/slow/drip",
        "Dripping page",
        note=f"a body that comes in pieces for {seconds:g} s",
        text="<p>One drop after the other.</p>\n" * 60,
        drip=Drip(200, seconds / 12),
    )
    yield page(f"{origin}/slow/chunked", "Chunked page", note="no length, but chunks", chunked=True)
