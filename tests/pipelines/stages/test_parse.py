"""What a page says: title, text, headings, language, canonical, robots."""

from __future__ import annotations

import pytest

from pipelines.page import Document
from pipelines.pipeline import Pipeline, PipelineSpec
from pipelines.stages.options import StageOptions
from pipelines.stages.robots import header_directives, meta_directives
from tests.support.pages import a_page, record


def test_the_fields_of_a_page() -> None:
    page = record(
        """<!doctype html><html lang=" en-GB "><head><title> A &amp;\n B </title>
        <meta name=Description content="  what it  is "><meta name=description content=second>
        <link rel="x CANONICAL" href="../canon?a=1#frag"></head>
        <body><h1>One <b>b</b></h1><svg><title>drawing</title></svg><p>Some&nbsp;text<h3>Three</h3></body></html>"""
    )
    assert page["title"] == "A & B"
    assert page["description"] == "what it is"
    assert page["lang"] == "en-GB"
    assert page["canonical"] == "http://site.test/canon?a=1"
    assert page["headings"] == [[1, "One b"], [3, "Three"]]
    assert page["text"] == "One b drawing Some text Three"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("a<script>b</script>c<style>d</style>e<noscript>f<p>g</p></noscript>h<template>i</template>j", "a c e h j"),
        ("<head><script>x</script><noscript><style>y</style></noscript></head><body>only", "only"),
        ("<body><noscript>a<script>b</script></noscript>c<SCRIPT>d", "c"),
        ("one<b>two</b>", "one two"),
        ("\u2003a\u00a0\u3000b\x1c\x85c", "a b c"),
        ("", ""),
        ("<!-- nothing -->", ""),
        ("   \n ", ""),
        ("<frameset><frame src=x></frameset>", ""),
        ("a\0b", "ab"),
    ],
)
def test_visible_text(body: str, text: str) -> None:
    assert record(f"<!doctype html>{body}", mime="text/html; charset=utf-8")["text"] == text


def keep_tree(doc: Document) -> None:
    """A user's stage that needs what the text leaves out."""
    assert doc.tree is not None
    doc.record["scripts"] = [node.text() for node in doc.tree.css("script")]
    doc.record["markup"] = doc.tree.body.html if doc.tree.body else None


def test_user_stages_see_the_whole_tree() -> None:
    """JSON-LD lives in scripts: the text must not cost them."""
    body = "<body>a<script>one</script>b<noscript>n<script>two</script></noscript>c</body>"
    page = record(body, options=StageOptions(stages=(f"{__name__}:keep_tree",)))
    assert page["scripts"] == ["one", "two"]
    assert page["markup"] == body
    assert page["text"] == "a b c"


def test_titles_only_of_html() -> None:
    assert record("<svg><g><title>drawing</title></g></svg>")["title"] is None
    assert record("<p>late</p><title>late title</title>")["title"] == "late title"
    assert record("<title></title><title>second</title>")["title"] == ""


def test_what_is_too_long_is_cut_and_told() -> None:
    page = record("<title>" + "t" * 5000 + "</title>" + "word " * 100, options=StageOptions(max_text_chars=20))
    assert len(page["title"]) == 2000
    assert page["text"] == "word word word word "
    assert page["flags"] == ["text_truncated"]


def test_plain_text_and_json_have_text_and_pictures_none() -> None:
    assert record("a\n\n b", mime="text/plain")["text"] == "a b"
    assert record('{"a":\n 1}', mime="application/json")["text"] == '{"a": 1}'
    assert record("body { color: red }", mime="text/css")["text"] is None
    picture = record(b"GIF89a", mime="image/gif")
    assert (picture["text"], picture["charset"], picture["simhash"]) == (None, None, None)
    assert len(picture["sha256"]) == 64


def test_utf8_goes_to_the_parser_uncopied() -> None:
    """The body of nearly every page; a copy would be the dearest part of decoding."""
    pipeline = Pipeline(PipelineSpec())
    for body, mime in ((b"<p>\xc3\xa4", "text/html; charset=utf-8"), (b"<p>ascii", "text/html; charset=koi8-r")):
        doc = Document(a_page(body, mime=mime))
        pipeline.stages[0](doc)
        assert doc.markup is doc.body is doc.page.body


def test_robots_of_the_page_and_of_the_header() -> None:
    body = "<meta name=ROBOTS content='NoIndex , nofollow'><meta name=otherbot content=none>"
    body += "<meta name=mill content=noarchive>"
    page = record(body, ("x-robots-tag", "otherbot: nosnippet"), options=StageOptions(robots_agent="mill"))
    assert page["robots"] == ["noarchive", "nofollow", "noindex", "otherbot:nosnippet"]


def test_a_robot_named_in_one_header_line_is_not_meant_by_the_next() -> None:
    """Servers send one line per robot; joined as RFC 9110 5.3 allows, the second would be said to the first."""
    lines = (("x-robots-tag", "otherbot: noindex, nosnippet"), ("x-robots-tag", "nofollow"))
    assert record("<p>x", *lines)["robots"] == ["nofollow", "otherbot:noindex", "otherbot:nosnippet"]


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("noindex, NOFOLLOW", {"noindex", "nofollow"}),
        ("mill: nofollow, noindex, otherbot: none", {"nofollow", "noindex", "otherbot:none"}),
        ("max-snippet: 20, max-image-preview:large", {"max-snippet: 20", "max-image-preview:large"}),
        (
            "unavailable_after: Wednesday, 25 Jun 2031 15:00:00 PST, noindex",
            {"unavailable_after: wednesday 25 jun 2031 15:00:00 pst", "noindex"},
        ),
        (", ,", set()),
        ("*: none", {"none"}),
    ],
)
def test_header_directives(field: str, found: set[str]) -> None:
    assert header_directives(field, "mill") == found


def test_meta_directives() -> None:
    assert meta_directives("a,,B ") == {"a", "b"}
