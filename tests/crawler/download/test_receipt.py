"""Receipts: they come back as they were, and nothing else is taken for one."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.disk.disk import Disk
from crawler.download.disk.receipt import Receipt, decode, encode, load, store

RECEIPT = Receipt(
    url="https://a/ü?\ud800", path="a/b", size=5 << 30, digests={"sha256": "00"}, status="verified",
    verified_by={"algorithm": "sha256", "value": "00", "source": "config", "trust": "configured"},
    claims=({"algorithm": "md5", "value": "11", "source": "header digest", "trust": "same_origin"},),
    final_url="https://b/", mirrors=("https://c/",), places=("https://d/",),
    identity={"size": 5, "etag": None, "is_date_strong": False},
    pieces=((0, 1, 2), (1, 5 << 30, 0xFFFFFFFF)), finished="2026-01-01T00:00:00Z", seconds=1.5, segments=8, retries=1,
    fetched_bytes=7, resumed_bytes=8, mtime_ns=1 << 60, inode=9,
)  # fmt: skip


def changed(**values: object) -> bytes:
    return json.dumps({**json.loads(encode(RECEIPT)), **values}).encode()


def test_a_receipt_comes_back_as_it_was() -> None:
    assert decode(encode(RECEIPT)) == RECEIPT
    plain = Receipt(url="u", path="p", size=0, digests={})
    assert decode(encode(plain)) == plain
    assert json.loads(encode(plain))["pieces"] == []


@pytest.mark.parametrize("url", [RECEIPT.url, "https://a/ü"], ids=["bytes that are no text", "text"])
def test_a_receipt_is_for_people_too(url: str) -> None:
    """One line a value, one line a piece; the same, whichever way it was written."""
    lines = encode(replace(RECEIPT, url=url)).decode("utf-8", "surrogatepass").splitlines()
    assert f'  "url": "{url}",' in lines
    assert '  "path": "a/b",' in lines
    assert "    [0,1,2]," in lines


def test_d122_ten_thousand_pieces_beyond_four_gib() -> None:
    pieces = tuple((at << 20, (at + 1) << 20, at) for at in range(10_000))
    receipt = Receipt(url="u", path="p", size=10_000 << 20, digests={}, pieces=pieces)
    data = encode(receipt)
    assert decode(data) == receipt
    assert len(data) < 500_000


def test_what_a_later_version_adds_is_left_out() -> None:
    assert decode(changed(colour="green")) == RECEIPT


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"version": 2}, "version 2 is not 1"),
        ({"format": "x"}, "no receipt"),
        ({"size": -1}, "size"),
        ({"size": True}, "size"),
        ({"url": 5}, "url"),
        ({"digests": {"sha256": 5}}, "digests"),
        ({"pieces": [[0, 5]]}, "pieces"),
        ({"pieces": [[5, 5, 0]]}, "a piece"),
        ({"pieces": [[0, 5, 0], [4, 6, 0]]}, "a piece"),
        ({"pieces": [[0, 6 << 30, 0]]}, "a piece"),
        ({"pieces": {}}, "pieces"),
        ({"claims": [5]}, "claims"),
        ({"mirrors": "x"}, "mirrors"),
        ({"identity": None}, "identity"),
        ({"verified_by": []}, "verified_by"),
        ({"seconds": "x"}, "seconds"),
    ],
)
def test_what_is_no_receipt_says_why(values: dict[str, object], why: str) -> None:
    found = decode(changed(**values))
    assert isinstance(found, str)
    assert why in found


@pytest.mark.parametrize("name", ["url", "path", "size", "digests"])
def test_what_every_receipt_must_have(name: str) -> None:
    found = json.loads(encode(RECEIPT))
    del found[name]
    assert decode(json.dumps(found).encode()) == f"it has no {name}"


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 400))
def test_arbitrary_bytes_never_raise(noise: bytes, at: int, to: int) -> None:
    data = encode(RECEIPT)
    decode(noise)
    decode(data[:at] + noise + data[to:])
    decode(b"[" * 100_000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([*json.loads(encode(RECEIPT))]), JSON)
def test_any_value_of_any_kind_never_raises(name: str, value: object) -> None:
    found = decode(changed(**{name: value}))
    assert isinstance(found, str | Receipt)


def test_what_is_at_its_place_but_no_file(tmp_path: Path) -> None:
    assert load(tmp_path / "none") is None
    (tmp_path / "folder").mkdir()
    assert load(tmp_path / "folder") == "it is no file, or far too large"
    (tmp_path / "link").symlink_to("/etc/hostname")
    assert load(tmp_path / "link") == "it is no file, or far too large"


def test_a_receipt_gives_way_to_a_newer_one_or_stays(tmp_path: Path) -> None:
    class Full(Disk):
        def fsync(self, fd: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    path, scrap = tmp_path / "x.json", tmp_path / "x.new"
    store(RECEIPT, path, scrap)
    newer = replace(RECEIPT, status="unverified")
    with pytest.raises(OSError, match="No space"):
        store(newer, path, scrap, Full())
    assert (load(path), scrap.exists()) == (RECEIPT, False)
    store(newer, path, scrap)
    assert (load(path), scrap.exists()) == (newer, False)
