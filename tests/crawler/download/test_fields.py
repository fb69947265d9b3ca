"""Header lines as they came: once, several times, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.answers.fields import Fields, FieldTwice

LINES = [("ETag", ' "x"\t'), ("Via", "1.1 a"), ("VIA", "1.1 b"), ("Age", "1"), ("age", "1")]


def test_names_are_compared_without_case_and_values_have_no_blanks_around() -> None:
    fields = Fields(LINES)
    assert fields.one("etag") == fields.one("ETAG") == '"x"'
    assert "eTag" in fields
    assert "date" not in fields
    assert fields.one("date") is None


def test_the_same_value_twice_is_one_and_two_values_are_none() -> None:
    fields = Fields(LINES)
    assert fields.one("age") == "1"
    with pytest.raises(FieldTwice, match=r"^via occurs 2 times with different values: '1\.1 a', '1\.1 b'$"):
        fields.one("Via")


def test_lists_may_be_sent_as_several_lines() -> None:
    fields = Fields(LINES)
    assert fields.all("via") == ["1.1 a", "1.1 b"]
    assert fields.joined("via") == "1.1 a, 1.1 b"
    assert fields.all("date") == []
    assert fields.joined("date") is None


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3))))
def test_what_went_in_comes_out(lines: list[tuple[str, str]]) -> None:
    fields = Fields(lines)
    assert sorted(fields) == sorted((name.lower(), value.strip(" \t")) for name, value in lines)
    assert sorted(Fields(fields)) == sorted(fields)
    for name, _ in lines:
        fields.all(name).clear()  # a copy
        assert fields.all(name)
