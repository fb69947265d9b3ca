"""Content codings: whole, stacked, cut, damaged, lying. Never silent, never beyond the cap."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.stages.codings import codings_of, remove
from pipelines.stages.zstd_frames import walk

PAGE = b"<!doctype html><title>t</title>" + bytes(range(256)) * 200
CAP = 1_000_000

ENCODE = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
CODINGS = sorted(ENCODE)


def coded(body: bytes, codings: list[str]) -> bytes:
    for coding in codings:
        body = ENCODE[coding](body)
    return body


@given(st.binary(max_size=3000), st.lists(st.sampled_from(CODINGS), max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_stack_of_up_to_five_comes_off(body: bytes, codings: list[str]) -> None:
    decoded = remove(coded(b"\0" + body, codings), codings, CAP)
    assert (decoded.body, decoded.truncated, decoded.error) == (b"\0" + body, None, None)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("part", [0.01, 0.25, 0.5, 0.99])
def test_a_cut_is_told_and_the_rest_kept(coding: str, part: float) -> None:
    """A page that ends early must not pass for a whole one: its missing links would never be known."""
    whole = ENCODE[coding](PAGE)
    decoded = remove(whole[: max(1, int(len(whole) * part))], [coding], CAP)
    assert decoded.error is None
    assert decoded.truncated == "content_encoding"
    assert PAGE.startswith(decoded.body)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_cut_in_the_trailer_is_told(coding: str) -> None:
    """All data is there, but nothing vouches for it."""
    decoded = remove(ENCODE[coding](PAGE)[:-1], [coding], CAP)
    assert decoded.truncated == "content_encoding"
    assert decoded.body == PAGE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])  # br has no checksum: only broken structure shows
def test_damage_is_an_error(coding: str) -> None:
    whole = bytearray(ENCODE[coding](PAGE))
    for at in range(len(whole) // 3, len(whole) // 3 + 8):
        whole[at] ^= 0xFF
    decoded = remove(bytes(whole), [coding], CAP)
    assert decoded.error is not None or decoded.truncated == "content_encoding"


def test_a_wrong_checksum_is_an_error() -> None:
    whole = bytearray(gzip.compress(PAGE))
    whole[-8] ^= 1
    assert "damaged gzip" in (remove(bytes(whole), ["gzip"], CAP).error or "")


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [CAP, CAP + 1, 5 * CAP])
def test_the_cap_is_exact(coding: str, size: int) -> None:
    decoded = remove(ENCODE[coding](bytes(size)), [coding], CAP)
    assert len(decoded.body) == CAP
    assert decoded.truncated == (None if size == CAP else "max_body")


@pytest.mark.parametrize(
    "codings",
    [["foo"], ["gzip", "*"], ["compress"], ["x" * 1_000_000], ["gzip"] * 6],
    ids=["foo", "star", "lzw", "long", "6"],
)
def test_what_cannot_be_removed_is_an_error(codings: list[str]) -> None:
    decoded = remove(b"body", codings, CAP)
    assert decoded.error is not None
    assert len(decoded.error) < 100


def test_several_gzip_members_are_one_body() -> None:
    parts = [b"<p>one", b"", b"two" * 50_000, b"three"]
    decoded = remove(b"".join(map(gzip.compress, parts)), ["gzip"], CAP)
    assert (decoded.body, decoded.flags, decoded.truncated) == (b"".join(parts), (), None)
    assert remove(b"".join(map(gzip.compress, parts))[:-3], ["gzip"], CAP).truncated == "content_encoding"


def test_a_million_members_do_not_cost_a_million_copies() -> None:
    assert remove(gzip.compress(b"") * 200_000, ["gzip"], CAP).error is not None


def test_bytes_behind_the_end() -> None:
    gz, zst = gzip.compress(PAGE), ENCODE["zstd"](PAGE)
    assert remove(gz + b"garbage", ["gzip"], CAP).flags == ("coding_trailing_bytes",)
    assert remove(gz + bytes(512), ["gzip"], CAP).flags == ()  # padding
    decoded = remove(zst + b"garbage", ["zstd"], CAP)
    assert (decoded.body, decoded.flags) == (PAGE, ("coding_trailing_bytes",))
    assert remove(ENCODE["br"](PAGE) + b"garbage", ["br"], CAP).error is not None  # br cannot tell where it ends


@pytest.mark.parametrize("coding", CODINGS)
def test_declared_but_not_applied(coding: str) -> None:
    """Servers that label what they forgot to compress are common enough."""
    decoded = remove(b"\n <html>plain", [coding], CAP)
    assert (decoded.body, decoded.flags, decoded.error) == (b"\n <html>plain", ("coding_not_applied",), None)


def test_an_empty_body_needs_no_decoding() -> None:
    assert remove(b"", ["gzip", "br"], CAP) == (b"", None, (), None)


def test_fields_are_joined_and_identity_is_nothing() -> None:
    assert codings_of(" GZip , identity,, br") == ["gzip", "br"]


def test_zstd_windows_and_dictionaries_are_bounded() -> None:
    """RFC 9659: a window beyond 8 MB is refused before a byte of it is allocated."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    wide = compressor.compress(PAGE) + compressor.flush()
    assert "window" in (remove(wide, ["zstd"], CAP).error or "")
    dictionary = zstandard.ZstdCompressionDict(PAGE[:5000], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    assert walk(zstandard.ZstdCompressor(dict_data=dictionary).compress(PAGE)).is_whole  # raw dictionaries have no id
    assert walk(b"\x28\xb5\x2f\xfd\x23\x07\x00\x00\x00\x05\x01\x00\x00").error == "it needs a dictionary"


def test_skippable_frames_are_skipped() -> None:
    body = b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + ENCODE["zstd"](PAGE) + ENCODE["zstd"](b"more")
    assert remove(body, ["zstd"], CAP).body == PAGE + b"more"


@given(st.binary(max_size=200), st.sampled_from(CODINGS))
@settings(max_examples=200, deadline=None)
def test_junk_raises_nothing(junk: bytes, coding: str) -> None:
    decoded = remove(junk, [coding], CAP)
    assert decoded.error is not None or len(decoded.body) <= CAP
