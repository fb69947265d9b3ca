"""Canonical URLs and fingerprints: the identity of everything a crawl knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.url import canonicalize, fingerprinter, host_of, origin_of

BASE = "http://site.test/a/b.html?q#f"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("c.html", "http://site.test/a/c.html"),
        ("#top", "http://site.test/a/b.html?q"),
        ("", "http://site.test/a/b.html?q"),
        ("?x", "http://site.test/a/b.html?x"),
        ("x #y", "http://site.test/a/x%20"),
        ("/x ", "http://site.test/x"),
        ("//OTHER.test:80/../x", "http://other.test/x"),
        ("http:\\\\host.test\\x", "http://host.test/x"),
        ("http://user:secret@host.test/x@y", "http://host.test/x@y"),
        ("http://user%40a:p@host.test/", "http://host.test/"),
        ("http://bücher.test/", "http://xn--bcher-kva.test/"),
        ("http://[::1]:80/", "http://[::1]/"),
        ("HTTPS://h.test:443", "https://h.test/"),
        ("java\nscript:alert(1)", None),
        ("mailto:a@b", None),
        ("http://]/", None),
        ("http://h.test:99999/", None),
        ("/\ud800", None),
    ],
)
def test_canonical_form(url: str, expected: str | None) -> None:
    assert canonicalize(url, BASE) == expected


@given(st.text(max_size=60))
def test_canonical_is_a_fixed_point(url: str) -> None:
    """A URL read back from a record must be the same URL."""
    canonical = canonicalize(url, BASE)
    if canonical is not None:
        assert canonicalize(canonical) == canonical
        assert "#" not in canonical
        assert "@" not in canonical.split("/")[2]


def test_host_and_origin() -> None:
    assert host_of("http://h.test:8080/x:y") == "h.test"
    assert host_of("http://[::1]:8080/") == "[::1]"
    assert origin_of("https://h.test:8443/a/b") == "https://h.test:8443"


def test_fingerprints_depend_on_the_key_and_fit_sqlite() -> None:
    first, second = fingerprinter(b"one"), fingerprinter(b"two")
    url = "http://h.test/"
    assert first(url) == fingerprinter(b"one")(url) != second(url)
    assert -(2**63) <= first(url) < 2**63
    assert len({first(f"{url}{n}") for n in range(1000)}) == 1000
