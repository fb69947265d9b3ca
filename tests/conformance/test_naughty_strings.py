"""The big list of naughty strings, through titles, text, links and headings, to valid JSON lines."""

from __future__ import annotations

from html import escape
from pathlib import Path

import orjson
import pytest

from tests.support.pages import a_page, record_of, run

pytestmark = pytest.mark.conformance


def test_every_string_survives_into_one_line_of_json(data: Path) -> None:
    strings = orjson.loads((data / "strings/blns.json").read_bytes())
    assert len(strings) > 400
    for string in strings:
        quoted = escape(string)
        body = f'<title>{quoted}</title><h1>{quoted}</h1><p>{quoted}<a href="/{quoted}" rel="{quoted}">{quoted}</a>'
        processed = run(a_page(body.encode("utf-8", "surrogatepass"), mime="text/html; charset=utf-8"))
        record = record_of(processed)
        assert b"\n" not in processed.line
        processed.line.decode("utf-8")
        assert processed.line.endswith(b'"duplicate_of":null}')
        visible = " ".join(string.split())
        if visible.isprintable():
            assert record["title"] == visible
            assert visible in record["text"]


def test_raw_strings_as_markup_cost_no_page(data: Path) -> None:
    """Unescaped, they are broken markup, scripts and attribute soup."""
    for string in orjson.loads((data / "strings/blns.json").read_bytes()):
        record_of(run(a_page(f"<title>{string}</title><a href={string}>{string}</a>", ("x-robots-tag", string[:50]))))
