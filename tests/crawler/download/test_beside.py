"""What a page says of files: only what is plain counts, and a page without a digest costs one search."""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.proof.beside import SUMS_PATTERN, Beside, is_sums
from crawler.frontier.scope import Scope, ScopeRules
from pipelines.page import Document, Page
from pipelines.pipeline import Pipeline
from pipelines.spec import PipelineSpec
from pipelines.stages.options import StageOptions
from pipelines.url import CanonicalUrl, fingerprinter

S = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
T = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
M = "098f6bcd4621d373cade4e832627b4f6"
A, B = "http://a.test/d/a.zip", "http://a.test/d/b.zip"


def found(
    text: str, *, url: str = "http://a.test/d/", kind: str = "text/html", globs: Sequence[str] = ("*.zip",)
) -> list[tuple[str, str]]:
    """Return what the pipeline hears of a page."""
    heard: list[tuple[str, str]] = []
    beside = pickle.loads(pickle.dumps(Beside(globs)))

    def listen(doc: Document) -> list[tuple[str, str]]:
        heard.extend(beside(doc))
        return heard

    page = Page(1, url, 200, (("content-type", kind),), text.encode(), "2025-01-01T00:00:00.000Z")
    processed = Pipeline(PipelineSpec(claims=listen)).process(page)
    assert processed.error is None, processed.detail
    return heard


@pytest.mark.parametrize(
    "html",
    [
        f"<table><tr><td><a href=a.zip>a</a></td><td>1 MB</td><td><code>{S}</code></td></tr></table>",
        f"<ul><li><a href=a.zip>a</a> SHA-256: {S.upper()}<li><a href=b.zip>b</a></ul>",
        f"<dl><dt><a href=a.zip>a</a></dt></dl><p><a href=a.zip>a</a> ({S})</p>",
        f"<p><a href=a.zip>a</a> {S}<br><a href=b.zip>b</a></p>",
        f"<pre><a href=a.zip>a</a>  {S}\n<a href=b.zip>b</a>\n</pre>",
        f'<a href="a.zip#sha256={S}">a</a>',
        f'<a href="a.zip" data-sha256="{S}">a</a>',
        f'<a href="a.zip" title="sha256:{S}">a</a>',
        f'<div><div><span><a href=a.zip>a</a> <a href=a.zip.sig>sig</a></span></div><div>SHA256 {S}</div></div>',
        f'<base href="http://a.test/d/"><p>sha256 = {S} <a href="./a.zip?">a</a></p>'.replace("?", ""),
    ],
)  # fmt: skip
def test_a_digest_beside_a_link_is_that_of_the_file(html: str) -> None:
    assert found(html) == [(A, f"sha256:{S}")]


@pytest.mark.parametrize(
    "html",
    [
        f"<p><a href=a.zip>a</a> <a href=b.zip>b</a> {S} {T}</p>",  # whose?
        f"<p><a href=a.zip>a</a> {S} or {T}</p>",  # which?
        f"<p>commit {S[:40]} <a href=a.zip>a</a></p>",  # a commit looks like SHA-1
        f"<p><a href=a.zip>a</a> id {M}</p>",
        f"<p><a href=a.zip>a</a></p><p>{S}</p>",
        f"<body>{S}<p>x</p><a href=a.zip>a</a></body>",
        f"<p><a href=a.html>a</a> {S}</p>",  # no file
        f"<p><a href=a.zip>a</a> {S}0</p>",  # one digit too many
        f"<p><a href=a.zip>a</a> x{S}</p>",
        f"<p><a href=a.zip>a</a> sha512: {S}</p>",  # not as long as its name says
    ],
)
def test_what_is_not_plain_says_nothing(html: str) -> None:
    assert found(html) == []


def test_shorter_digests_need_their_name() -> None:
    assert found(f"<p><a href=a.zip>a</a> MD5: {M}</p>") == [(A, f"md5:{M}")]
    assert found(f"<p><a href=a.zip>a</a> sha1 {S[:40]}</p>") == [(A, f"sha1:{S[:40]}")]
    assert found(f"<p><a href=a.zip>a</a> BLAKE3 {S}</p>") == [(A, f"blake3:{S}")]


def test_several_kinds_may_stand_together() -> None:
    html = f"<tr><td><a href=a.zip>a</a><td>{S}<td>MD5 {M}"
    assert set(found(f"<table>{html}</table>")) == {(A, f"sha256:{S}"), (A, f"md5:{M}")}


def test_without_patterns_every_link_may_be_a_file() -> None:
    """A media type tells only later."""
    assert found(f'<p><a href="/get?id=1">get</a> {S}</p>', globs=()) == [("http://a.test/get?id=1", f"sha256:{S}")]


def test_a_checksum_file_speaks_of_its_folder_and_below() -> None:
    text = f"{S}  a.zip\n{T} *sub/c d.zip\n{S}  ../out.zip\n{S}  http://b.test/x.zip\nSHA256 (b.zip) = {T}\n"
    assert found(text, url="http://a.test/d/SHA256SUMS", kind="text/plain") == [
        (A, f"sha256:{S}"),
        ("http://a.test/d/sub/c%20d.zip", f"sha256:{T}"),
        ("http://a.test/d/http://b.test/x.zip", f"sha256:{S}"),  # a name like any other
        (B, f"sha256:{T}"),
    ]
    assert found(f"{S}\n", url=A + ".sha256", kind="text/plain") == [(A, f"sha256:{S}")]
    assert found(f"{M}  a.zip\n", url="http://a.test/d/notes.txt", kind="text/plain") == []


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("SHA256SUMS", True), ("sha512sums.txt", True), ("a.zip.md5", True), ("a.zip.sha256.txt", True),
        ("MD5SUM", True), ("checksums.txt", True), ("b2sums", True), ("a.zip", False), ("sums.html", False),
        ("sha256", False),
    ],
)  # fmt: skip
def test_checksum_files_are_known_by_their_names_and_come_first(name: str, is_one: bool) -> None:
    url = CanonicalUrl(f"http://a.test/d/{name}")
    assert is_sums(url) is is_one
    scope = Scope(ScopeRules(hosts=frozenset({"a.test"}), raise_=(SUMS_PATTERN,)))
    assert scope(url) == ("a.test", -1 if is_one else 0)


def test_claims_travel_with_the_fingerprint_of_the_file() -> None:
    """As the store knows it: with the user's rules for queries applied."""
    key = b"k" * 16
    spec = PipelineSpec(StageOptions(drop_query_keys=("utm_*",)), fingerprint_key=key, claims=Beside(["*.zip"]))
    html = f'<p><a href="a.zip?utm_source=x">a</a> {S}</p>'.encode()
    page = Page(1, "http://a.test/d/", 200, (("content-type", "text/html"),), html, "2025-01-01T00:00:00.000Z")
    processed = Pipeline(spec).process(page)
    assert orjson.loads(processed.claims) == [[fingerprinter(key)(A), f"sha256:{S}"]]
    assert Pipeline(spec._replace(claims=None)).process(page).claims == b""
    assert Pipeline(spec._replace(claims=None)).process(page).line == processed.line, "the record is the same"


def test_a_page_without_a_digest_costs_one_search() -> None:
    html = "<p>" + "lorem ipsum <a href=x.zip>x</a> " * 20_000 + "</p>"
    doc = Document(Page(1, "http://a.test/", 200, (), b"", ""))
    doc.is_html, doc.markup = True, html.encode()
    began = time.process_time()
    assert Beside(["*.zip"])(doc) == []
    assert time.process_time() - began < 0.5


def test_a_page_of_thousands_of_links_and_digests_is_bounded() -> None:
    rows = "".join(f"<tr><td><a href={n}.zip>x</a><td>{n:064x}</tr>" for n in range(10_000))
    began = time.process_time()
    assert len(found(f"<table>{rows}</table>")) == 2000
    assert time.process_time() - began < 10.0


@given(st.text(alphabet="<>a/= \"'#0123456789abcdefhrziptd.\n", max_size=300))
def test_no_markup_breaks_it(text: str) -> None:
    found(f"<p><a href=a.zip>a</a> {S} {text}")
    found(f"{S}  a.zip\n{text}", url="http://a.test/d/SHA256SUMS", kind="text/plain")
