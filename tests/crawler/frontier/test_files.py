"""Which URL is a file, and where it goes: safe, stable, and different for different URLs."""

from __future__ import annotations

import time
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.names import safe_relative
from crawler.frontier.files import Files, place_of
from pipelines.stages.globs import path_matcher
from pipelines.url import canonicalize


@pytest.mark.parametrize(
    ("glob", "url", "matches"),
    [
        ("*.pdf", "http://a.test/x/y.pdf", True),
        ("*.pdf", "http://a.test/x/y.PDF?download=1", True),
        ("*.pdf", "http://a.test/y.pdf/view", False),
        ("*.pdf", "http://a.test/view?file=y.pdf", True),
        ("*.pdf", "http://pdf.test/", False),
        ("/data/*", "http://a.test/data/x", True),
        ("/data/*", "http://a.test/old/data/x", False),
        ("*[?]format=csv", "http://a.test/x?format=csv", True),
        ("*.tar.??", "http://a.test/x.tar.gz", True),
        ("/é/*", "http://a.test/%C3%A9/x", True),
        ("/data", "http://a.test/data", True),
    ],
)
def test_globs_are_held_to_path_and_query(glob: str, url: str, matches: bool) -> None:
    assert path_matcher([glob])(url) is matches
    assert not path_matcher([])(url)


def test_no_glob_takes_long_on_a_long_url() -> None:
    """A user's pattern on a stranger's URL, in the event loop."""
    began = time.perf_counter()
    assert not path_matcher(["*a*a*a*a*a*a*a*a*a*a*b"])("http://a.test/" + "a" * 100_000)
    assert time.perf_counter() - began < 0.1


def test_what_is_behind_a_file_that_moved_is_a_file() -> None:
    files = Files(["*.zip"], listed=["http://a.test/latest"])
    redirects = '["http://a.test/x.zip"]'
    assert files.is_file_row([1, 0, 1, "http://cdn.test/blob/17", 0, None, 0, redirects, "cdn.test"])
    assert not files.is_file_row([1, 0, 1, "http://cdn.test/blob/17", 0, None, 0, None, "cdn.test"])
    assert files.is_file("http://a.test/latest")
    assert files.is_listed("http://cdn.test/blob/17", ("http://a.test/latest",))
    assert not files.is_listed("http://a.test/x.zip")


@pytest.mark.parametrize(
    ("field", "is_file"),
    [
        ("application/pdf", True), ("Application/PDF ; q=1", True), ("image/webp", True), ("image", False),
        ("text/html", False), ("", False), ("application/pdfx", False),
    ],
)  # fmt: skip
def test_a_media_type_may_say_that_it_is_a_file(field: str, is_file: bool) -> None:
    assert Files(types=["application/pdf", "image/*"]).is_file_type(field) is is_file


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://a.test/data/x.tar.gz", "a.test/data/x.tar.gz"),
        ("http://a.test:8080/x.pdf", "a.test_8080/x.pdf"),
        ("http://a.test/r%C3%A9sum%C3%A9.pdf", "a.test/résumé.pdf"),
        ("http://a.test/data/", "a.test/data/index"),
        ("http://a.test/a//b.zip", "a.test/a/b.zip"),
    ],
)
def test_an_ordinary_url_keeps_its_shape(url: str, place: str) -> None:
    assert place_of(url) == place


def test_a_query_tells_files_apart() -> None:
    one, two = place_of("http://a.test/get.tar.gz?id=1"), place_of("http://a.test/get.tar.gz?id=2")
    assert one != two
    assert one.startswith("a.test/get-")
    assert one.endswith(".tar.gz")


HOSTILE = [
    "%2e%2e", "%2E", "..%2f..", "%00", "con", "NUL.txt", "a%5Cb", ".htaccess", "a%0Ab", "%E2%80%AEgpj.exe", "x.",
    "x%20", "%FF%FE", "a" * 300 + ".tar.gz", "%F0%9F%98%80" * 80, "C:", "-", "~", "a%2Fb",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_no_url_leads_out_or_hides(part: str) -> None:
    for path in (part, f"{part}/{part}", f"x/{part}?{part}"):
        url = canonicalize(f"http://a.test/{path}")
        assert url is not None
        assert_safe(place_of(url))


def assert_safe(place: str) -> None:
    parts = PurePosixPath(place).parts
    assert "/".join(parts) == place
    assert len(parts) >= 2
    for part in parts:
        assert not part.startswith("."), place
        assert not part.endswith((".", " ")), place
        assert len(part.encode()) <= 255, place
        assert part.isprintable(), place
        assert not set(part) & set('\\:*?"<>|'), place


@given(st.lists(st.text(min_size=1, max_size=400), min_size=1, max_size=30).map("/".join), st.text(max_size=20))
def test_any_url_has_a_safe_place_that_never_changes(path: str, query: str) -> None:
    url = canonicalize(f"http://a.test/{path}?{query}" if query else f"http://a.test/{path}")
    if url is not None:
        place = place_of(url)
        assert_safe(place)
        assert place == place_of(url)
        assert str(safe_relative(place)) == place, "as the downloads see it"


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_names_that_had_to_change_stay_different(one: str, two: str) -> None:
    first, second = (canonicalize(f"http://a.test/d/{name}") for name in (one, two))
    if first and second and first != second and "//" not in (first + second)[10:]:
        same = place_of(first) == place_of(second)
        assert not same or {first.rstrip("/").rpartition("/")[2], second.rstrip("/").rpartition("/")[2]} & {
            "index",
            "d",
        }
