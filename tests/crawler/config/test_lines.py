"""Line numbers of keys: a problem without its line is a hunt through the file."""

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.config.lines import lines_of


def test_tables_keys_and_elements_have_lines() -> None:
    text = '# head\n[job]\nseeds = [\n  "a", # one\n\n  "b",\n]\nout = "x"\n\n[fetch]\nretries = 3\n'
    lines = lines_of(text)
    assert lines["job",] == 2
    assert lines["job", "seeds"] == 3
    assert lines["job", "seeds", 0] == 4
    assert lines["job", "seeds", 1] == 6
    assert lines["job", "out"] == 8
    assert lines["fetch",] == 10
    assert lines["fetch", "retries"] == 11


def test_each_element_of_an_array_of_tables_has_its_own_lines() -> None:
    text = '[[origin]]\nurl = "a"\n[origin.headers]\nX = "1"\n'
    text += '[[origin]]\nurl = "b"\nheaders = { Y = "2" }\ncookies.z = "3"\n'
    lines = lines_of(text)
    assert lines["origin", 0, "url"] == 2
    assert lines["origin", 0, "headers", "X"] == 4
    assert lines["origin", 1] == 5
    assert lines["origin", 1, "url"] == 6
    assert lines["origin", 1, "headers", "Y"] == 7
    assert lines["origin", 1, "cookies", "z"] == 8


@pytest.mark.parametrize(
    "value",
    [
        '"""\nx = 1\n[a]\n"""',
        "'''\n# no comment\n'''",
        '"""a\\"""\n"""',
        '""""quoted""""',
        "'''it''s'''''",
        '"]"',
        "'[\"'",
        '"\\""',
        "1979-05-27 07:32:00",
        "[1979-05-27 07:32:00, 1]",
        '[["]", \'#\'], [ # ]\n], { a = "}" , b.c = [\n1] }]',
        "{}",
        "[]",
        "-inf",
    ],
)
def test_what_stands_in_a_value_is_no_key(value: str) -> None:
    text = f"first = {value} # note\nlast = 1\n"
    tomllib.loads(text)
    assert lines_of(text)["last",] == text.count("\n")
    assert {path[0] for path in lines_of(text)} == {"first", "last"}


def test_keys_may_be_quoted_and_dotted() -> None:
    text = 'a."b.c".d = 1\n\'e f\' = 2\n"\\u0041" = 3\n[ g . "h" ]\ni = 4\n'
    lines = lines_of(text)
    assert lines["a", "b.c", "d"] == 1
    assert lines["e f",] == 2
    assert lines["A",] == 3
    assert lines["g", "h", "i"] == 5


def test_windows_line_ends_count_once() -> None:
    assert lines_of("a = 1\r\n\r\nb = [\r\n1,\r\n2]\r\nc = 3\r\n") == {
        ("a",): 1, ("b",): 3, ("b", 0): 4, ("b", 1): 5, ("c",): 6,
    }  # fmt: skip


_CHARACTERS = st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])  # JSON writes those beyond as surrogates
_NAMES = st.text(_CHARACTERS, max_size=6)
_SCALARS = st.one_of(
    st.integers(-9, 9).map(str),
    st.booleans().map(lambda flag: str(flag).lower()),
    st.text(_CHARACTERS, max_size=8).map(json.dumps),
    st.sampled_from(["'it]'", '"""\n]\n= """', "'''\n[x]\n'''", "1979-05-27 07:32:00", "nan"]),
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3).map(lambda items: "[\n" + ",\n".join(items) + "\n]")
)


@given(
    st.lists(
        st.tuples(_NAMES, st.dictionaries(_NAMES, _VALUES, max_size=3)), max_size=4, unique_by=lambda table: table[0]
    )
)
def test_every_key_that_tomllib_finds_has_the_line_it_was_written_on(tables: list[tuple[str, dict[str, str]]]) -> None:
    """Against documents made of everything TOML has, with the line known because the test wrote it."""
    text, expected = "", {}
    for name, pairs in tables:
        text += f"[{json.dumps(name)}] # {name!a}\n"
        for key, value in pairs.items():
            expected[name, key] = text.count("\n") + 1
            text += f"{json.dumps(key)} = {value}\n"
    parsed = tomllib.loads(text)
    lines = lines_of(text)
    assert {path: lines.get(path) for path in expected} == expected
    assert set(_paths(parsed)) <= set(lines)


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _paths(item, (*path, key))


@given(st.text(alphabet="[]{}=\"'\\#.,\n ab1", max_size=40))
def test_it_ends_on_any_text(text: str) -> None:
    """It only ever sees what tomllib accepted; should that change, a line may be missing, but nothing hangs."""
    assert all(1 <= line <= text.count("\n") + 1 for line in lines_of(text).values())


def test_deep_nesting_costs_lines_not_the_program() -> None:
    assert lines_of("a = 1\nb = " + "[" * 100_000)["a",] == 1
