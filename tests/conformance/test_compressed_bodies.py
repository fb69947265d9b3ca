"""Bodies compressed by others: good, stacked, cut off, and bombs."""

from __future__ import annotations

import tracemalloc
import zlib
from pathlib import Path

import pytest

from pipelines.stages.codings import remove

pytestmark = pytest.mark.conformance

CAP = 16 * 1024 * 1024


@pytest.mark.parametrize(
    ("name", "codings"),
    [
        ("html-gzip.bin", ["gzip"]),
        ("html-br.bin", ["br"]),
        ("html-rawdeflate.bin", ["deflate"]),
        ("html-zlibdeflate.bin", ["deflate"]),
        ("html-gzip-deflate.bin", ["gzip", "deflate"]),
        ("html-gzip-deflate-gzip.bin", ["gzip", "deflate", "gzip"]),
        ("html-zstd-static-content-size.bin", ["zstd"]),
        ("html-zstd-static-no-content-size.bin", ["zstd"]),
        ("html-zstd-streaming-no-content-size.bin", ["zstd"]),
        ("feed-sample1.xml.gz", ["x-gzip"]),
    ],
)
def test_good_bodies_decode(data: Path, name: str, codings: list[str]) -> None:
    decoded = remove((data / "compressed" / name).read_bytes(), codings, CAP)
    assert decoded.error is None
    assert (decoded.truncated, decoded.flags) == (None, ())
    start = b"<?xml" if "feed" in name else b"<!DOCTYPE html"
    assert decoded.body.lstrip()[: len(start)].lower() == start.lower()


def test_raw_and_zlib_deflate_are_one_page(data: Path) -> None:
    names = ("html-rawdeflate.bin", "html-zlibdeflate.bin")
    assert len({remove((data / "compressed" / name).read_bytes(), ["deflate"], CAP).body for name in names}) == 1


def test_a_cut_body_is_kept_and_told(data: Path) -> None:
    """The plain client returns half a page with status 200 and no error."""
    decoded = remove((data / "compressed/unexpected-eof.gz").read_bytes(), ["gzip"], CAP)
    assert decoded.truncated == "content_encoding"
    expected = (data / "compressed/unexpected-eof-output.txt").read_text(encoding="utf-8")
    assert decoded.body.decode("cp1252") == expected


@pytest.mark.parametrize("name", ["truncated-crc-error.gz", "truncated-crc-error-short.gz"])
def test_damage_is_never_silent(data: Path, name: str) -> None:
    decoded = remove((data / "compressed" / name).read_bytes(), ["gzip"], CAP)
    assert decoded.error or decoded.truncated == "content_encoding"


@pytest.mark.parametrize(("name", "coding"), [("gzip", "gzip"), ("deflate", "deflate"), ("br", "br"), ("zstd", "zstd")])
@pytest.mark.parametrize("cap", [100_000, 1_000_000])
def test_bombs_are_cut_at_the_cap(data: Path, name: str, coding: str, cap: int) -> None:
    """34 bytes of brotli are 11 MB: what counts is bytes out, and none beyond the cap may be allocated."""
    bomb = (data / f"compressed/bomb-{name}.bin").read_bytes()
    tracemalloc.start()
    try:
        decoded = remove(bomb, [coding], cap)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(decoded.body) == cap
    assert decoded.truncated == "max_body"
    assert peak < 3 * cap + 8 * 1024 * 1024


def test_a_bomb_inside_a_bomb_costs_the_cap_only() -> None:
    bomb = zlib.compress(zlib.compress(bytes(64 * 1024 * 1024), 9), 9)
    decoded = remove(bomb, ["deflate", "deflate"], 1_000_000)
    assert (len(decoded.body), decoded.truncated) == (1_000_000, "max_body")
