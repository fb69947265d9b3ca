"""Numbers a person can read at a glance, in ASCII."""

from __future__ import annotations

import pytest

from crawler.progress import words


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (12_345, "12.3 kB"), (999_999, "1.00 MB"), (123e6, "123 MB"),
     (9.999e6, "10.0 MB"), (5e18, "5,000 PB")],
)  # fmt: skip
def test_size(number: float, shown: str) -> None:
    assert words.size(number) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0"), (0.25, "0.25"), (1, "1.0"), (9.84, "9.8"), (99.96, "100"), (1234.5, "1,234")]
)
def test_rate(number: float, shown: str) -> None:
    assert words.rate(number) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(7.9, "0:07"), (754, "12:34"), (3723, "1:02:03"), (3 * 86400 + 14706, "3d 04:05:06")]
)
def test_clock(seconds: float, shown: str) -> None:
    assert words.clock(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "1 s"), (8.4, "8 s"), (100, "2 min"), (720, "12 min"), (19_800, "5.5 h"), (3 * 86400, "3 days")],
)
def test_about(seconds: float, shown: str) -> None:
    assert words.about(seconds) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0.734, "0.73 s"), (12.34, "12.3 s"), (75, "1:15")])
def test_took(seconds: float, shown: str) -> None:
    assert words.took(seconds) == shown
