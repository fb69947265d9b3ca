"""Local files as pages: type and coding by name, and nothing read before its turn."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from pipelines.files import page_from_file, pages_from_files
from pipelines.pipeline import Pipeline
from tests.support.pages import record_of


@pytest.mark.parametrize(
    ("name", "mime", "coding"),
    [
        ("a.html", "text/html", None),
        ("A.HTM", "text/html", None),
        ("a.txt", "text/plain", None),
        ("a.html.gz", "text/html", "gzip"),
        ("a.json.zst", "application/json", "zstd"),
        ("a.gz", None, "gzip"),
        ("a.unknown", None, None),
        ("a", None, None),
    ],
)
def test_type_and_coding_follow_the_name(tmp_path: Path, name: str, mime: str | None, coding: str | None) -> None:
    (tmp_path / name).write_bytes(b"12345")
    headers = dict(page_from_file(tmp_path / name).headers)
    assert (headers.get("content-type"), headers.get("content-encoding")) == (mime, coding)
    assert headers["content-length"] == "5"


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    file = tmp_path / "ä b.html"
    file.write_bytes(b"x")
    os.utime(file, (0, 1_800_000_000))
    page = page_from_file(file)
    assert (page.url, page.status, page.fetched_at) == (file.as_uri(), 200, "2027-01-15T08:00:00Z")
    assert page_from_file(str(file), url="https://example.org/", id=3)[:2] == (3, "https://example.org/")


def test_a_compressed_file_is_read_as_its_content(tmp_path: Path) -> None:
    file = tmp_path / "a.html.gz"
    file.write_bytes(gzip.compress(b"<title>inside</title>"))
    assert record_of(Pipeline().process_file(file))["title"] == "inside"


def test_files_are_read_one_after_the_other(tmp_path: Path) -> None:
    """A folder may hold more than memory does."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    pages = pages_from_files([tmp_path / "a", tmp_path / "b", tmp_path / "missing"])
    assert next(pages).body == b"a"
    (tmp_path / "b").write_text("changed")
    assert next(pages)[0:5:4] == (1, b"changed")
    with pytest.raises(FileNotFoundError):
        next(pages)
