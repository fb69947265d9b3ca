"""The security crawl maze: every way in which HTML and CSS can point at something."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from pipelines.stages.options import StageOptions
from tests.support.pages import links

pytestmark = pytest.mark.conformance

ORIGIN = "http://maze.test"
ALL = StageOptions(outlinks="all", follow="all")

SERVED = {  # what the maze's server makes up itself
    "/css/font-face.css": ("text/css", '@font-face { font-family: a; src: url("/test/css/font-face.found") }'),
    "/test/html/misc/string/url-string": ("text/html", f"<p>see {ORIGIN}/test/html/misc/string/url-string.found"),
    "/test/html/misc/url/full-url": ("text/html", f'<a href="{ORIGIN}/test/html/misc/url/full-url.found">'),
    "/test/html/misc/url/path-relative-url": ("text/html", '<a href="url/path-relative-url.found">'),
    "/test/html/misc/url/protocol-relative-url": (
        "text/html",
        '<a href="//maze.test/test/html/misc/url/protocol-relative-url.found">',
    ),
}
BASES = {"/test/html/misc/url/path-relative-url": "/test/html/misc/x"}


def test_all_mode_finds_every_link_of_html_and_css(data: Path) -> None:
    found: set[str] = set()
    for file in sorted((data / "maze").rglob("*.html")):
        url = f"{ORIGIN}/test/{file.relative_to(data / 'maze')}"
        found |= links(file.read_bytes(), url=url, options=ALL).keys()
    for path, (mime, body) in SERVED.items():
        found |= links(body, url=ORIGIN + BASES.get(path, path), mime=mime, options=ALL).keys()
    for field, value in {
        "link": "</test/headers/link.found>; rel=next",
        "refresh": "1; url=/test/headers/refresh.found",
        "content-location": "/test/headers/content-location.found",
    }.items():
        found |= links("", (field, value), url=f"{ORIGIN}/test/headers/x", options=ALL).keys()
    wanted = orjson.loads((data / "maze/expected-results.json").read_bytes())
    missed = [path for path in wanted if path.startswith("/test/") and ORIGIN + path not in found]
    elsewhere = (
        "/test/javascript/",
        "/test/misc/known-files/",
        "/test/headers/location.found",
    )  # the crawler's to find
    assert [path for path in missed if not path.startswith(elsewhere)] == []
    assert len(wanted) - len(missed) > 60


def test_pages_mode_lists_no_pictures(data: Path) -> None:
    """The default must not send the crawl after images, scripts and pings."""
    for name in ("img/src", "script/src", "a/ping", "form/action-post", "video/poster", "embed/src"):
        body = (data / f"maze/html/body/{name}.html").read_bytes()
        assert links(body, url=f"{ORIGIN}/x") == {}
