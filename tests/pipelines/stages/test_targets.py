"""Remembered hrefs mean the same as resolving them anew; nothing is reported twice, nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.page import Target
from pipelines.stages import targets as module
from pipelines.stages.targets import Targets
from pipelines.url import CanonicalUrl, canonicalize, fingerprinter
from tests.support.pages import admit_site

BASES = (
    "http://site.test/",
    "http://site.test/a/b/page.html",
    "http://site.test/a/b/other.html?q=/x/y",
    "https://other.test:8443/a//b/",
    "http://[::1]/x/",
)
PIECES = st.sampled_from(
    [
        "..", ".", "/", "//", "a", "b.html", "%2e", "?", "q=1", "#", "x y", " ", "\t", "\\", ":", "@", "http:",
        "HTTP://h.test", "javascript:", "\n", "ä", "~", "...", "..a",
    ]
)  # fmt: skip
HREFS = st.lists(PIECES, max_size=6).map("".join)


def new_targets() -> Targets:
    return Targets(fingerprinter(b"key"), admit_site)


@given(st.lists(st.tuples(st.sampled_from(BASES), HREFS), min_size=1, max_size=12))
@settings(max_examples=400, deadline=None)
def test_memory_never_changes_the_meaning(visits: list[tuple[str, str]]) -> None:
    """The cache answers for whole folders and joins plain hrefs itself: it must agree with the standard on all."""
    targets = new_targets()
    for base, href in visits * 2:
        folder = targets.folder_of(base)
        target = folder.here(href) if not href or href[0] in "?#" else folder[href]
        url = canonicalize(href, base)
        assert (target.url if target is not None and target.reason is None else None) == url, (base, href)


def test_one_url_is_one_target() -> None:
    folder = new_targets().folder_of("http://site.test/a/b.html")
    assert folder["x"] is folder["./x"] is folder["../a/x#f"] is folder["http://site.test/a/x"]


def admitted(targets: Targets, *urls: str) -> list[str]:
    found = [targets.of_url(CanonicalUrl(url)) for url in urls]
    fresh, _ = targets.unreported(found)
    targets.mark_reported(fresh)
    return [target.url for target in fresh]


def test_a_link_is_reported_once_even_when_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED_CHARS", 0)
    targets = new_targets()
    assert admitted(targets, "http://a.test/", "http://b.test/") == ["http://a.test/", "http://b.test/"]
    targets.forget_if_full()
    assert admitted(targets, "http://a.test/", "http://c.test/") == ["http://c.test/"]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED_CHARS", 50_000)
    monkeypatch.setattr(module, "MAX_REPORTED", 100)
    targets = new_targets()
    for number in range(2000):
        targets.forget_if_full()
        admitted(targets, f"http://site.test/{number}")
        assert targets.folder_of("http://site.test/")[f"{number}"] is not None
        assert len(targets._by_url) < 400
        assert len(targets._reported) <= 100


def test_long_hrefs_are_not_remembered() -> None:
    targets = new_targets()
    folder = targets.folder_of("http://site.test/")
    assert folder["x" * 5000] is not None
    assert "x" * 5000 not in folder


def test_a_taken_back_report_is_made_again() -> None:
    targets = new_targets()
    found: list[Target] = [targets.of_url(CanonicalUrl("http://a.test/"))]
    targets.mark_reported(found)
    assert targets.unreported(found) == ([], [])
    targets.unmark_reported(found)
    assert targets.unreported(found) == (found, [])
