"""URLs inside values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.pointers import css_urls, link_field, refresh_url, srcset_urls


@pytest.mark.parametrize(
    ("content", "url"),
    [
        ("0; url=/x", "/x"),
        ("5;/x", "/x"),
        ("5 , URL = '/x y' junk", "/x y"),
        ('.5;url="/x', "/x"),
        ("1.5.2 /x", "/x"),
        ("5", None),
        ("5;", None),
        ("; url=/x", None),
        ("x; url=/x", None),
        ("5url=/x", None),
    ],
)
def test_refresh(content: str, url: str | None) -> None:
    assert refresh_url(content) == url


def test_link_fields() -> None:
    assert link_field('<a>; REL="Next Up"; rel=no, <b,c>;x="<d>, y";type=TEXT/html ,junk, <e>') == [
        ("a", "next up", ""),
        ("b,c", "", "text/html"),
        ("e", "", ""),
    ]


@given(st.text(alphabet='<>;=", relx\\', max_size=80))
def test_parsers_raise_nothing(value: str) -> None:
    link_field(value)
    srcset_urls(value)
    css_urls(f"url({value}) @import '{value}'")
    refresh_url(f"1{value}")


@pytest.mark.parametrize("piece", ["<", '<a>;x="', "url(", "/*", "@import '", "url('\\", ", ", "a (", "<a>;", "; x="])
def test_parsers_are_linear(piece: str) -> None:
    """A hundred thousand repetitions finish at once; a quadratic pattern would take minutes."""
    value = piece * 100_000
    css_urls(value)
    srcset_urls(value)
    refresh_url(value)
    link_field(value[:8190])  # a header field is no longer than that
