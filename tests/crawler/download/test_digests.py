"""Digests: every algorithm, every spelling, and nothing that is none (D104, D114)."""

from __future__ import annotations

import pickle
import sys
import zlib
from base64 import b64encode
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.proof import digests as module
from crawler.download.proof.digests import (
    ALGORITHMS,
    Digest,
    DigestError,
    MissingExtra,
    by_length,
    canonical,
    decode,
    digest_of,
    is_available,
    is_equal,
    new_hash,
    parse_digest,
    strength,
    strongest,
)

CHECK = b"123456789"  # the input that catalogues of checksums give their values for

KNOWN = {
    # https://reveng.sourceforge.io/crc-catalogue/ and the specifications of the hashes
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "adler32": "091e01de",
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "blake3": "b7d65b48420d1033cb2595293263b6f72eabee20d55e699d0df1973b3c9deed1",
}

EMPTY = {
    "crc32": "00000000",
    "crc32c": "00000000",
    "adler32": "00000001",
    "md5": "d41d8cd98f00b204e9800998ecf8427e",
    "sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "blake3": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
}


@pytest.mark.parametrize(("algorithm", "value"), KNOWN.items())
def test_d104_values_that_others_published(algorithm: str, value: str) -> None:
    assert str(digest_of(algorithm, CHECK)) == f"{algorithm}:{value}"


@pytest.mark.parametrize(("algorithm", "value"), EMPTY.items())
def test_d114_the_empty_file_has_a_digest(algorithm: str, value: str) -> None:
    assert new_hash(algorithm).digest().hex() == value
    assert is_equal(digest_of(algorithm, b""), parse_digest(f"{algorithm}:{value}"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=4))
def test_d104_a_hash_does_not_depend_on_how_the_bytes_arrive(algorithm: str, data: bytes, cuts: list[int]) -> None:
    """Whatever buffer they come in: the worker reads into a writable one."""
    hasher = new_hash(algorithm)
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    for kind, (first, end) in enumerate(pairwise(edges)):
        piece = data[first:end]
        buffers: list[bytes | bytearray | memoryview] = [piece, bytearray(piece), memoryview(bytearray(piece))]
        hasher.update(buffers[kind % 3])
    assert hasher.digest() == digest_of(algorithm, data).value
    assert len(hasher.digest()) == ALGORITHMS[algorithm].size


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_spelling_is_read_back(algorithm: str) -> None:
    digest = digest_of(algorithm, CHECK)
    base64 = b64encode(digest.value).decode()
    for text in (
        str(digest),
        f"{algorithm.upper()}:{digest.value.hex().upper()}",
        f"{algorithm}={digest.value.hex()}",
        f"{algorithm}={base64}",
        f"{algorithm}=:{base64}:",
        f" {algorithm}: {base64.rstrip('=')} ",
    ):
        assert parse_digest(text) == digest, text
    assert Digest(*pickle.loads(pickle.dumps(digest))) == digest


def test_names_are_those_of_everybody() -> None:
    for spelling, name in {
        "SHA-256": "sha256",
        "sha_256": "sha256",
        "SHA2-256": "sha256",  # OpenSSL 3
        "sha": "sha1",  # RFC 9530
        "SHA-1": "sha1",
        "SHA3-256": "sha3_256",
        "BLAKE2b": "blake2b",
        "BLAKE2b-512": "blake2b",
        "BLAKE2b-256": "blake2b-256",
        "adler": "adler32",
        "CRC32C": "crc32c",
    }.items():
        assert canonical(spelling) == name
    for unknown in ("", "-", "sha257", "unixsum", "crc64nvme", "sha512/256", "SHA-256\0", "sha256" * 1000):
        assert canonical(unknown) is None


def test_bare_hex_is_told_by_its_length() -> None:
    for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
        digest = digest_of(name, CHECK)
        assert parse_digest(digest.value.hex()) == by_length(digest.value.hex()) == digest
    assert by_length("0" * 8) is None, "CRC-32 or CRC-32C or Adler: nobody can tell"
    assert by_length("g" * 64) is None


def test_the_browsers_spelling() -> None:
    digest = digest_of("sha384", CHECK)
    assert parse_digest(f"sha384-{b64encode(digest.value).decode()}") == digest


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "expected ALGORITHM:HEX"),
        ("sha256", "expected"),
        ("sha256:", "expected"),
        ("sha256:abc", "sha256 has 32 bytes: 64 hex digits"),
        ("sha256:" + "0" * 63, "64 hex digits"),
        ("sha256:" + "0" * 65, "64 hex digits"),
        ("sha-256=AAAA", "64 hex digits"),
        ("md5=" + "é" * 32, "md5 has 16 bytes"),
        ("sha257:" + "0" * 64, "unknown algorithm 'sha257'; known are sha512"),
        ("0" * 63, "expected"),
        ("0" * 1000, "longer than any digest"),
        ("sha256:" + "\u0660" * 64, "64 hex digits"),  # digits of another script are no hex
    ],
)
def test_what_is_no_digest_is_refused_with_the_rule(text: str, rule: str) -> None:
    with pytest.raises(DigestError, match=rule):
        parse_digest(text)


@given(st.text(max_size=300) | st.from_regex(r"[a-z0-9-]{0,10}[:=-][A-Za-z0-9+/=:]{0,90}", fullmatch=True))
def test_any_text_is_a_digest_or_an_error(text: str) -> None:
    for found in (decode("sha256", text), decode(text, text), by_length(text)):
        assert found is None or len(found.value) == ALGORITHMS[found.algorithm].size
    try:
        digest = parse_digest(text)
    except DigestError:
        return
    assert parse_digest(str(digest)) == digest


def test_the_strongest_is_known() -> None:
    assert strongest(["md5", "sha256", "sha1", "nonsense"]) == "sha256"
    assert strongest(["nonsense"]) is None
    assert strength("nonsense") == 0 < strength("adler32") < strength("crc32c") < strength("md5") < strength("sha1")
    assert strength("sha1") < strength("sha256") < strength("sha512")


def test_a_missing_extra_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_available("blake3")
    monkeypatch.setitem(sys.modules, "blake3", None)  # as if it were not installed
    assert not is_available("blake3")
    with pytest.raises(MissingExtra, match=r"blake3 needs an extra: pip install 'crawlmill\[blake3\]'") as info:
        new_hash("blake3")
    assert pickle.loads(pickle.dumps(info.value)).extra == "blake3", "it comes out of a worker"


def test_a_crc32c_in_python_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fallback is a thousand times slower than the network."""
    monkeypatch.setattr(module, "HAS_CRC32C", False)
    assert not is_available("crc32c")
    with pytest.raises(DigestError, match="crc32c needs the compiled part of google-crc32c"):
        new_hash("crc32c")


def test_an_unknown_algorithm_is_an_error_that_names_the_known() -> None:
    with pytest.raises(DigestError, match="unknown digest algorithm 'whirlpool'; known are sha512, "):
        new_hash("whirlpool")
    assert not is_available("whirlpool")


def test_checksums_are_in_network_byte_order() -> None:
    assert digest_of("crc32", CHECK).value == zlib.crc32(CHECK).to_bytes(4, "big")
