"""Pages as a server would send them, and what a pipeline makes of them, for tests of the stages."""

from __future__ import annotations

from typing import Any

import orjson

from pipelines.page import Page, Processed
from pipelines.pipeline import Pipeline, PipelineSpec, StageOptions
from pipelines.url import CanonicalUrl, host_of

URL = "http://site.test/folder/page.html"


def a_page(
    body: bytes | str, *fields: tuple[str, str], url: str = URL, mime: str | None = "text/html", **more: Any
) -> Page:
    """Return a complete response; `fields` are further header fields, Content-Length is right."""
    data = body.encode() if isinstance(body, str) else body
    headers = [("content-length", str(len(data))), *fields]
    if mime is not None:
        headers.insert(0, ("content-type", mime))
    return Page(7, url, more.pop("status", 200), tuple(headers), data, "2027-01-01T00:00:00Z", **more)


def admit_site(url: CanonicalUrl) -> tuple[str, int] | str:
    """Admit hosts that end in `.test`."""
    host = host_of(url)
    return (host, 5) if host.endswith(".test") else "host"


def run(page: Page, options: StageOptions | None = None) -> Processed:
    """Process `page` in a pipeline of its own."""
    return Pipeline(PipelineSpec(options or StageOptions(), admit_site)).process(page)


def record_of(processed: Processed) -> dict[str, Any]:
    """Return the record; fails the test when the page failed."""
    assert processed.error is None, processed.detail
    record = orjson.loads(processed.line)
    assert isinstance(record, dict)
    return record


def record(
    body: bytes | str, *fields: tuple[str, str], options: StageOptions | None = None, **more: Any
) -> dict[str, Any]:
    """Return the record of one page."""
    return record_of(run(a_page(body, *fields, **more), options))


def links(
    body: bytes | str, *fields: tuple[str, str], options: StageOptions | None = None, **more: Any
) -> dict[str, str]:
    """Return URL to kind of the outlinks of one page."""
    return {url: kind for url, kind, _, _ in record(body, *fields, options=options, **more)["outlinks"]}
