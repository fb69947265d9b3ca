"""Outlinks: which are listed, resolved to what, and which are followed."""

from __future__ import annotations

import orjson
import pytest

from pipelines.stages.options import LinkSet, StageOptions
from tests.support.pages import a_page, links, record, run

ALL = StageOptions(outlinks="all", follow="all")
PAGE = """<link rel=next href=next><link rel=stylesheet href=s.css>
<link rel=alternate type=application/rss+xml href=feed><a href=a>text  of
a</a><map><area href=area alt=" an area "></map><iframe src=frame></iframe><img src=img><form method=post action=form>
"""


def followed(body: str, *fields: tuple[str, str], **options: object) -> set[str]:
    outlinks = run(a_page(body, *fields), StageOptions(**options)).outlinks  # type: ignore[arg-type]  # any option
    return {url.removeprefix("http://site.test/folder/") for _, url, _, _ in orjson.loads(outlinks or b"[]")}


def test_a_link_has_its_kind_text_and_rel() -> None:
    found = record(PAGE)["outlinks"]
    assert found == [
        ["http://site.test/folder/a", "a", "text of a", ""],
        ["http://site.test/folder/area", "area", "an area", ""],
        ["http://site.test/folder/next", "link[href]", "", "next"],
        ["http://site.test/folder/frame", "iframe[src]", "", ""],
    ]


@pytest.mark.parametrize(
    ("listed", "follow", "names"),
    [
        ("none", "none", set()),
        ("anchors", "anchors", {"a", "area"}),
        ("pages", "anchors", {"a", "area"}),
        ("pages", "pages", {"a", "area", "next", "frame"}),
        ("all", "pages", {"a", "area", "next", "frame"}),
        ("all", "all", {"a", "area", "next", "frame", "s.css", "feed", "img"}),
        ("all", "none", set()),
    ],
)
def test_sets_of_links(listed: LinkSet, follow: LinkSet, names: set[str]) -> None:
    assert followed(PAGE, outlinks=listed, follow=follow) == names


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("/other/", "http://site.test/other/x"),
        ("http://elsewhere.test/a/b", "http://elsewhere.test/a/x"),
        ("javascript:alert(1)", "http://site.test/folder/x"),
        ("data:text/html,x", "http://site.test/folder/x"),
        ("http://]/", "http://site.test/folder/x"),
        ("", "http://site.test/folder/x"),
        ("http://user:pw@h.test/q?a/b#c/d", "http://h.test/x"),
        ("sub?q=/a/", "http://site.test/folder/x"),
    ],
)
def test_base(base: str, url: str) -> None:
    """The first base with an href counts; a hostile one may point elsewhere but never break anything."""
    assert links(f'<link rel=next href=x><base target=_top><base href="{base}"><base href=/no/>') == {url: "link[href]"}


def test_a_base_that_is_no_web_address() -> None:
    page = record("<base href=ftp://h.test/a/><a href=x>x</a><a href=http://h.test/>y</a>")
    assert [row[0] for row in page["outlinks"]] == ["http://h.test/"]


def test_header_links_are_relative_to_the_page() -> None:
    found = links(
        "<base href=/other/>",
        ("link", '<a>; rel="prev foo", <b>; rel=stylesheet, <c>;title="x,>;rel=next";rel=next'),
        ("refresh", "5;URL='d'"),
        ("content-location", "e"),
    )
    assert found == {
        "http://site.test/folder/a": "header[link]",
        "http://site.test/folder/c": "header[link]",
        "http://site.test/folder/d": "header[refresh]",
        "http://site.test/folder/e": "header[content-location]",
    }
    assert record("", ("link", "</canon>; rel=canonical"))["canonical"] == "http://site.test/canon"


def test_fragments_and_empty_hrefs_are_the_page_itself() -> None:
    found = links('<a href="#a">1</a><a href="">2</a><a href>3</a><a href=" #b">4</a><a href="?q">5</a><a name=x>6</a>')
    assert found == {"http://site.test/folder/page.html": "a", "http://site.test/folder/page.html?q": "a"}


def test_other_schemes_are_counted_and_broken_urls_refused() -> None:
    processed = run(
        a_page("<a href=mailto:a@b>1</a><a href=JavaScript:x>2</a><a href=data:,x>3</a><a href='http://]'>4</a>")
    )
    assert processed.other_links == 3
    assert [(url, reason) for _, url, reason in orjson.loads(processed.refused)] == [("http://]", "invalid_url")]
    assert processed.outlinks == b""


def test_scope_is_asked_once_per_link_and_its_reason_reported() -> None:
    processed = run(a_page("<a href=http://other.example/>1</a><a href=x>2</a><a href=x#y>3</a>"))
    (refused,) = orjson.loads(processed.refused)
    assert refused[1:] == ["http://other.example/", "host"]
    (admitted,) = orjson.loads(processed.outlinks)
    assert admitted[1:] == ["http://site.test/folder/x", "site.test", 5]


NOFOLLOW = "<a rel='x NoFollow' href=a>1</a><a href=b>2</a><a rel=nofollow href=c>3</a><a href=c>4</a>"


@pytest.mark.parametrize(
    ("body", "fields", "honoured"),
    [
        (NOFOLLOW, (), {"b", "c"}),
        ("<meta name=robots content=nofollow>" + NOFOLLOW, (), set()),
        ("<meta name=robots content=none>" + NOFOLLOW, (), set()),
        (NOFOLLOW, (("x-robots-tag", "nofollow"),), set()),
        (NOFOLLOW, (("x-robots-tag", "otherbot: nofollow"),), {"b", "c"}),
    ],
)
def test_nofollow_is_an_option(body: str, fields: tuple[tuple[str, str], ...], honoured: set[str]) -> None:
    assert followed(body, *fields, follow_nofollow=False) == honoured
    assert followed(body, *fields, follow_nofollow=True) == {"a", "b", "c"}


def test_many_links_are_capped() -> None:
    body = "".join(f"<a href=/{n}>x</a>" for n in range(300))
    page = record(body, options=StageOptions(max_links=100))
    assert len(page["outlinks"]) == 100
    assert page["flags"] == ["links_truncated"]


def test_query_rules() -> None:
    options = StageOptions(drop_query_keys=("utm_*", "sid"), sort_query=True)
    body = "<a href='?b=2&utm_x=1&a=1&b=1&%75tm_y&s%69d=3'>1</a><a href='/p?utm_z'>2</a>"
    assert set(links(body, options=options)) == {"http://site.test/folder/page.html?a=1&b=2&b=1", "http://site.test/p"}


def test_style_sheets_have_links_in_all_mode() -> None:
    css = "@import 'a.css'; b { x: url( \"im\\61ge.png\" ) } /* url(no) */ c { x: url(d.gif) url() url(data:,x) }"
    assert set(links(css, mime="text/css", options=ALL)) == {
        f"http://site.test/folder/{name}" for name in ("a.css", "image.png", "d.gif")
    }
    assert links(css, mime="text/css") == {}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("<img srcset='a 1x, b 2x,c'>", "a b c"),
        ("<img srcset='a,b 100w, data:,x 2x'>", "a,b"),
        ("<link rel=preload imagesrcset='a (x,y) 1x, b'>", "a b"),
        ("<object codebase=/cb/ data=d archive='x y'></object>", "/cb/ /cb/d /cb/x /cb/y"),
        ("<object><param name=movie value=m><param name=n value=no></object>", "m"),
        ("<p style='background:url(a)'><style>@import url(b);</style><table background=c>", "a b c"),
        ("<a ping='a b'>", "a b"),
        ("<iframe srcdoc='&lt;img src=a&gt;'>", "a"),
        ("<!--[if IE]><script src=a></script><![endif]-->", "a"),
        ("<meta property=og:image content=a>", "a"),
        ("<meta http-equiv=Content-Security-Policy content='x; report-uri /a /b'>", "/a /b"),
        ("<svg><image xlink:href=a /><use href=b /></svg>", "a b"),
        ("<p>see ./guess.html, ok", "guess.html /guess.html page.html/guess.html"),
        ("<img src=\"data:image/svg+xml;base64,PGltYWdlIGhyZWY9J2EnLz4=\">", "a"),
    ],
)  # fmt: skip
def test_all_mode(body: str, names: str) -> None:
    found = {
        url.removeprefix("http://site.test/folder/").removeprefix("http://site.test")
        for url in links(body, options=ALL)
    }
    assert found == set(names.split())


@pytest.mark.parametrize(
    "body",
    [
        "<iframe srcdoc='" * 50,
        "<!--[if x]>" * 10_000,
        "<style>" + "/*" * 100_000,
        "<img srcset='" + "a (" * 20_000,
        "url(" * 50_000,
    ],
    ids=["srcdoc", "comments", "css comments", "srcset", "text"],
)
def test_all_mode_is_bounded(body: str) -> None:
    record(body, options=ALL)
