"""Every http(s) row of the web platform's URL tests, through our canonical form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from pipelines.url import canonicalize

pytestmark = pytest.mark.conformance


def rows(data: Path) -> list[dict[str, Any]]:
    found = orjson.loads((data / "url/urltestdata.json").read_bytes())
    return [row for row in found if isinstance(row, dict)]


def expected(row: dict[str, Any]) -> str:
    """The row's serialisation as we define canonical: without fragment and credentials."""
    href: str = row["href"].partition("#")[0]
    credentials = row["username"] + (f":{row['password']}" if row["password"] else "")
    return href.replace(f"//{credentials}@", "//", 1) if credentials else href


def test_http_urls_have_the_standards_form(data: Path) -> None:
    """One byte's difference makes a page be crawled twice, or never."""
    checked = 0
    for row in rows(data):
        if row.get("protocol") not in ("http:", "https:"):
            continue
        base = row["base"]
        assert canonicalize(row["input"], base) == expected(row), row
        checked += 1
    assert checked >= 240


def test_everything_else_is_refused(data: Path) -> None:
    """What the standard calls a failure, or no web address, must never reach the frontier."""
    checked = 0
    for row in rows(data):
        if row.get("protocol") in ("http:", "https:"):
            continue
        assert canonicalize(row["input"], row["base"]) is None, row
        checked += 1
    assert checked >= 400


def test_the_canonical_form_is_stable(data: Path) -> None:
    """Resolving what is canonical must change nothing, or the fingerprint is none."""
    for row in rows(data):
        url = canonicalize(row["input"], row["base"])
        if url is not None:
            assert canonicalize(url) == url
