"""What a head says: Location, Retry-After, the fields of a page. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.fetch.head import fields_of, redirect_target, retry_after
from pipelines.url import CanonicalUrl

BASE = CanonicalUrl("https://example.com/a/b?q=1")
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"/x", "https://example.com/x"),
        (b"x", "https://example.com/a/x"),
        (b"?x", "https://example.com/a/b?x"),
        (b"//other.example/x", "https://other.example/x"),
        (b"\\\\other.example\\x", "https://other.example/x"),
        (b"  /x y \t", "https://example.com/x%20y"),
        (b"/x#fragment", "https://example.com/x"),
        (b"http://user:secret@example.com/", "http://example.com/"),
        ("/caf\xe9".encode(), "https://example.com/caf%C3%A9"),
        (b"/caf\xe9", "https://example.com/caf%E9"),
        ("http://\xfcber.example/".encode(), "http://xn--ber-goa.example/"),
        (b"HTTP://EXAMPLE.com:80/", "http://example.com/"),
        (b"#fragment", "https://example.com/a/b?q=1"),
    ],
)
def test_location_is_resolved_as_browsers_do(location: bytes, target: str) -> None:
    """C03."""
    assert redirect_target(location, BASE) == target


@pytest.mark.parametrize(
    "location",
    [
        b"", b"   ", b"javascript:alert(1)", b"mailto:a@b", b"file:///etc/passwd", b"ftp://example.com/", b"data:,x",
        b"http://]/", b"http://example.com:99999/", b"http://", b"http://a b/", b"http://exa%00mple/",
    ],
)  # fmt: skip
def test_a_location_that_leads_to_no_page_is_none(location: bytes) -> None:
    """C03, C04, C15."""
    assert redirect_target(location, BASE) is None


@given(st.binary(max_size=300))
def test_no_location_raises(location: bytes) -> None:
    target = redirect_target(location, BASE)
    assert target is None or target.startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0), ("120", 120.0), (" 7 ", 7.0), ("1000000000", 1e9), ("9" * 5000, 1e9),
        ("Thu, 01 Jan 2026 12:01:00 GMT", 60.0), ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2026 13:01:00 +0100", 60.0), ("Thu, 01 Jan 2026 12:01:00", 60.0),
        ("-1", None), ("", None), (None, None), ("soon", None), ("1.5", None), ("\u00b2", None),
        ("Thu, 99 Jan 2026 12:01:00 GMT", None), ("Thu, 01 Jan 99999 12:01:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """A21."""
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_raises(value: str) -> None:
    seconds = retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 1e9


def test_fields_keep_order_and_repetition_and_lose_only_the_case_of_names() -> None:
    raw = ((b"X-B", b"1"), (b"x-a", b"caf\xe9"), (b"X-b", b"2"))
    assert fields_of(raw) == (("x-b", "1"), ("x-a", "caf\xe9"), ("x-b", "2"))
    assert fields_of(raw) == fields_of(raw)
