"""Sizes and times: what is written is what is meant, and what is shown can be written again."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.config.units import (
    MAX_SECONDS,
    MAX_SIZE,
    checked_seconds,
    checked_size,
    format_size,
    format_time,
    parse_size,
    parse_time,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10), ("1.5s", 1.5), ("2m", 120), ("24h", 86400), ("7d", 604800), ("0s", 0), ("10 s", 10)],
)
def test_a_time_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "10", "ten", "s", "-1s", "1e3s", "1S", "10 sec", "1h30m", "4000d", "nan", "infs", "\u0661s", "1s\n", "1..5s"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("100B", 100),
        ("500kB", 500_000),
        ("1KiB", 1024),
        ("1.5KiB", 1536),
        ("16MiB", 16777216),
        ("2gb", 2 * 10**9),
    ],
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "16", "16M", "16MB/s", "-1B", "0.5B", "1.0001kB", "9223372036854775808B", "99999999TiB"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    """A bare M is refused because its readers disagree on it; half a byte is a typing error."""
    with pytest.raises(ValueError):
        parse_size(text)


@given(st.integers(0, int(MAX_SECONDS) * 1000))
def test_a_time_in_milliseconds_survives_being_shown(milliseconds: int) -> None:
    assert parse_time(format_time(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 10**12))
def test_a_time_in_nanoseconds_survives_being_shown(nanoseconds: int) -> None:
    assert parse_time(format_time(nanoseconds / 1e9)) == pytest.approx(nanoseconds / 1e9, rel=1e-12, abs=1e-12)


@given(st.integers(0, MAX_SIZE))
def test_a_size_survives_being_shown(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 2**23), st.sampled_from(["B", "kB", "MB", "GB", "KiB", "MiB", "GiB"]))
def test_the_shown_size_is_no_longer_than_the_written_one(number: int, unit: str) -> None:
    assert len(format_size(parse_size(f"{number}{unit}"))) <= max(len(f"{number}{unit}"), 2)


@given(st.text(max_size=12))
def test_any_text_is_a_value_or_refused(text: str) -> None:
    """Whatever a person types, there is no third way out: no other exception, no negative, no infinity."""
    for parse in (parse_time, parse_size):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert value >= 0
        assert math.isfinite(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -1, MAX_SECONDS + 1])
def test_a_number_that_is_no_time_is_refused(number: float) -> None:
    with pytest.raises(ValueError):
        checked_seconds(number)


@pytest.mark.parametrize("number", [-1, 1.5, 2**63])
def test_a_number_that_is_no_size_is_refused(number: float) -> None:
    with pytest.raises(ValueError):
        checked_size(number)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "500ms"), (1, "1s"), (90, "90s"), (120, "2m"), (86400, "1d"), (1.5, "1500ms")],
)
def test_a_time_is_shown_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert format_time(seconds) == text
