"""Claims: what others say a file hashes to, and how far they are believed (D51, D56, D104-D111, D117)."""

from __future__ import annotations

import hashlib
import itertools
import zlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.proof.digests import ALGORITHMS, Digest, digest_of
from crawler.download.proof.discover import (
    Claim,
    Mismatch,
    Trust,
    Unverified,
    Verified,
    algorithms_for,
    claims_of,
    missing,
    sidecar_url,
    trust_of,
    verdict,
)

DATA = b"The quick brown fox jumps over the lazy dog"
OTHER = b"The quick brown fox jumps over the lazy cat"
URL = "https://example.org/pub/fox.txt"


def base64(algorithm: str, data: bytes = DATA) -> str:
    return b64encode(digest_of(algorithm, data).value).decode()


def claim(algorithm: str = "sha256", data: bytes = DATA, trust: Trust = Trust.SAME_ORIGIN, source: str = "x") -> Claim:
    return Claim(digest_of(algorithm, data), source, trust)


def computed(*algorithms: str, data: bytes = DATA) -> dict[str, bytes]:
    return {name: digest_of(name, data).value for name in algorithms}


ALL = computed(*ALGORITHMS)


def said(*lines: tuple[str, str], is_whole: bool = True) -> list[str]:
    """Return the claims of header lines in short."""
    return [f"{found.source} {found.digest.algorithm}" for found in claims_of(lines, is_whole=is_whole)]


# -- fields


def test_every_field_that_names_the_whole_file() -> None:
    lines = [
        ("repr-digest", f"sha-256=:{base64('sha256')}:, sha-512=:{base64('sha512')}:"),
        ("content-digest", f"sha-256=:{base64('sha256')}:"),
        ("digest", f"SHA={base64('sha1')}, adler32={digest_of('adler32', DATA).value.hex()}"),
        ("content-md5", base64("md5")),
        ("x-goog-hash", f"crc32c={base64('crc32c')},md5={base64('md5')}"),
        ("x-amz-checksum-sha256", base64("sha256")),
        ("x-amz-checksum-crc32", base64("crc32")),
        ("x-ms-blob-content-md5", base64("md5")),
        ("x-checksum-sha1", hashlib.sha1(DATA).hexdigest()),
        ("etag", f'"{hashlib.md5(DATA).hexdigest()}"'),
    ]
    assert said(*lines) == [
        "header repr-digest sha256",
        "header repr-digest sha512",
        "header content-digest sha256",
        "header digest sha1",
        "header digest adler32",
        "header content-md5 md5",
        "header x-goog-hash crc32c",
        "header x-goog-hash md5",
        "header x-amz-checksum-sha256 sha256",
        "header x-amz-checksum-crc32 crc32",
        "header x-ms-blob-content-md5 md5",
        "header x-checksum-sha1 sha1",
    ]
    assert all(found.trust is Trust.SAME_ORIGIN for found in claims_of(lines, is_whole=True))
    assert isinstance(verdict(claims_of(lines, is_whole=True), ALL), Verified)


def test_an_etag_is_never_a_digest() -> None:
    """Though on S3 it often looks like one."""
    assert (
        said(("etag", f'"{hashlib.md5(DATA).hexdigest()}"'), ("x-linked-etag", hashlib.sha256(DATA).hexdigest())) == []
    )


def test_d107_content_digest_of_a_part_says_nothing_of_the_file() -> None:
    lines = [("content-digest", f"sha-256=:{base64('sha256')}:"), ("content-md5", base64("md5"))]
    assert said(*lines, is_whole=False) == []
    assert len(said(*lines, is_whole=True)) == 2


def test_d107_repr_digest_of_a_part_is_of_the_file() -> None:
    """RFC 9530 3: it does not depend on the range."""
    assert said(("repr-digest", f"sha-256=:{base64('sha256')}:"), is_whole=False) == ["header repr-digest sha256"]
    assert said(("digest", f"sha-256={base64('sha256')}"), is_whole=False) == ["header digest sha256"]


@pytest.mark.parametrize(
    "field",
    [
        "",
        "sha-256",
        "sha-256=",
        "sha-256=::",
        "sha-256=:AAAA:",  # no digest of SHA-256 has three bytes
        f"sha-256={base64('sha256')}",  # the syntax of the older field
        f"sha-256=:{base64('sha256')}:,",
        f"sha-256=:{base64('sha256')}",
        f"SHA-256=:{base64('sha256')}:",
        f"sha-256=:{hashlib.sha256(DATA).hexdigest()}:",  # hex in base64's place has 48 bytes
        f"sha-257=:{base64('sha256')}:",
        f"unixsum=:{base64('crc32')}:",
        f"sha-256=:{base64('sha256')}:\0",
        f"sha-256=:{base64('sha256')}: é",
    ],
)
def test_d108_a_broken_or_unknown_repr_digest_is_no_claim(field: str) -> None:
    assert said(("repr-digest", field)) == []


def test_d108_what_is_unknown_does_not_hide_what_is_known() -> None:
    field = f'unixsum=:AAA=:, x=1;y="a, b", sha-256=:{base64("sha256").rstrip("=")}:;q=1'
    assert said(("repr-digest", field)) == ["header repr-digest sha256"]


def test_d108_two_lines_are_one_field() -> None:
    """RFC 9651 4.2: so of a repeated key the last counts, and one broken line breaks all."""
    right, wrong = f"sha-256=:{base64('sha256')}:", f"sha-256=:{base64('sha256', OTHER)}:"
    assert claims_of([("repr-digest", wrong), ("repr-digest", right)], is_whole=True) == [
        claim(source="header repr-digest")
    ]
    assert said(("repr-digest", right), ("repr-digest", "=")) == []


@pytest.mark.parametrize(
    ("field", "algorithms"),
    [
        (f"SHA-256={base64('sha256')},MD5={base64('md5')}", ["sha256", "md5"]),
        (f"sha={base64('sha1')}", ["sha1"]),
        (f"sha-256={hashlib.sha256(DATA).hexdigest()}", []),  # RFC 5843: base64
        (f"adler32={zlib.adler32(DATA):08x}", ["adler32"]),  # RFC 3230 4.1.1: hex
        ("UNIXsum=30637, garbage", []),
        ("sha-256=", []),
        (f"sha-256=:{base64('sha256')}:", []),
    ],
)
def test_d109_the_older_digest_field(field: str, algorithms: list[str]) -> None:
    assert said(("digest", field)) == [f"header digest {name}" for name in algorithms]


@pytest.mark.parametrize("field", ["", "abc", hashlib.md5(DATA).hexdigest() + "0", base64("sha256"), "====", "é"])
def test_d109_a_broken_content_md5_is_no_claim(field: str) -> None:
    assert said(("content-md5", field)) == []


def test_d110_google_sends_one_line_or_two() -> None:
    crc, md5 = f"crc32c={base64('crc32c')}", f"md5={base64('md5')}"
    for lines in ([f"{crc},{md5}"], [f"{crc}, {md5}"], [crc, md5], [f"{crc},,", f"x=y,{md5},{md5}"]):
        assert said(*(("x-goog-hash", line) for line in lines)) == [
            "header x-goog-hash crc32c",
            "header x-goog-hash md5",
        ]


def test_d110_a_composite_object_has_only_a_crc() -> None:
    found = claims_of([("x-goog-hash", f"crc32c={base64('crc32c')}"), ("x-goog-component-count", "3")], is_whole=True)
    assert verdict(found, ALL) == Verified(claim("crc32c", source="header x-goog-hash"))


def test_d51_stored_gzip_that_is_unpacked_on_the_way_has_another_digest() -> None:
    """Google's digests are of what is stored."""
    line = ("x-goog-hash", f"md5={base64('md5')}")
    assert said(line, ("x-goog-stored-content-encoding", "gzip")) == []
    assert len(said(line, ("x-goog-stored-content-encoding", "identity"))) == 1
    assert len(said(line, ("x-goog-stored-content-encoding", "gzip"), ("content-encoding", "gzip"))) == 1


def test_d111_a_composite_checksum_of_amazon_is_no_claim() -> None:
    line = ("x-amz-checksum-sha256", base64("sha256"))
    assert said(line, ("x-amz-checksum-type", "COMPOSITE")) == []
    assert said(("x-amz-checksum-sha256", base64("sha256") + "-3")) == []
    assert said(line, ("x-amz-checksum-type", "FULL_OBJECT")) == said(line) == ["header x-amz-checksum-sha256 sha256"]
    assert said(("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")) == []


def test_d56_d117_a_trailer_is_a_source_like_a_header() -> None:
    """The digest is known only at the end; what must still be computed is told."""
    header = claims_of([("repr-digest", f"md5=:{base64('md5')}:")], is_whole=True)
    trailer = claims_of([("repr-digest", f"sha-512=:{base64('sha512')}:")], is_whole=True, place="trailer")
    assert [found.source for found in trailer] == ["trailer repr-digest"]
    before = computed(*algorithms_for(header))
    assert missing(header, before) == ()
    assert missing(header + trailer, before) == ("sha512",)
    assert verdict(trailer, before) == Unverified(f"not computed: {trailer[0]}")
    assert verdict(header + trailer, {**before, **computed("sha512")}) == Verified(trailer[0])
    wrong = claims_of([("repr-digest", f"sha-512=:{base64('sha512', OTHER)}:")], is_whole=True, place="trailer")
    assert isinstance(verdict(wrong, ALL), Mismatch)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["repr-digest", "content-digest", "digest", "content-md5", "x-goog-hash", "etag"])
            | st.from_regex(r"x-amz-checksum-(sha256|crc32c|type|x)|x-goog-stored-content-encoding", fullmatch=True),
            st.text(max_size=80) | st.from_regex(r"(sha-256|md5|crc32c|sha)=:?[A-Za-z0-9+/]{0,50}=?:?", fullmatch=True),
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_no_head_raises_and_every_claim_can_be_compared(lines: list[tuple[str, str]], is_whole: bool) -> None:
    for found in claims_of(lines, is_whole=is_whole):
        assert len(found.digest.value) == ALGORITHMS[found.digest.algorithm].size


# -- trust


@pytest.mark.parametrize(
    ("source", "trust"),
    [
        ("https://example.org/SHA256SUMS", Trust.SAME_ORIGIN),
        ("https://EXAMPLE.org:443/", Trust.SAME_ORIGIN),
        ("https://user:pw@example.org/", Trust.SAME_ORIGIN),
        ("http://example.org/SHA256SUMS", Trust.OTHER_ORIGIN),  # anybody on the way can change it
        ("https://example.org:8443/", Trust.OTHER_ORIGIN),
        ("https://www.example.org/", Trust.OTHER_ORIGIN),
        ("https://example.org@evil.org/", Trust.OTHER_ORIGIN),
        ("https://example.org.evil.org/", Trust.OTHER_ORIGIN),
        ("file:///etc/passwd", Trust.OTHER_ORIGIN),
        ("nonsense", Trust.OTHER_ORIGIN),
    ],
)
def test_the_same_origin_is_scheme_host_and_port(source: str, trust: Trust) -> None:
    assert trust_of(source, URL) is trust


# -- verdict


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_d104_right_and_wrong_for_every_algorithm(algorithm: str) -> None:
    assert verdict([claim(algorithm)], ALL) == Verified(claim(algorithm))
    wrong = claim(algorithm, OTHER)
    assert verdict([wrong], ALL) == Mismatch(wrong, digest_of(algorithm, DATA))


def test_nothing_known_is_unverified() -> None:
    assert verdict([], ALL) == Unverified("no digest is known")
    assert verdict([claim("sha512")], computed("sha256")) == Unverified(f"not computed: {claim('sha512')}")


def test_d106_a_weaker_source_never_overrules() -> None:
    configured, wrong = claim(trust=Trust.CONFIGURED), claim(data=OTHER, trust=Trust.SAME_ORIGIN)
    assert verdict([wrong, configured], ALL) == Verified(configured, (wrong,))
    configured, right = claim(data=OTHER, trust=Trust.CONFIGURED), claim("sha512")
    assert verdict([right, configured], ALL) == Mismatch(configured, digest_of("sha256", DATA), (right,))


def test_d106_sources_of_one_trust_that_contradict_each_other_prove_nothing() -> None:
    right, wrong = claim(source="sidecar"), claim(data=OTHER, source="header")
    for claims in itertools.permutations([right, wrong]):
        assert verdict(claims, ALL) == Mismatch(wrong, digest_of("sha256", DATA), (right,))
    weak = claim("md5", OTHER)
    assert verdict([right, weak], ALL) == Mismatch(weak, digest_of("md5", DATA), (right,))


def test_a_mirror_alone_is_better_than_nothing() -> None:
    mirror = claim(trust=Trust.OTHER_ORIGIN)
    assert verdict([mirror], ALL) == Verified(mirror)
    assert isinstance(verdict([mirror], computed("sha256", data=OTHER)), Mismatch)


def test_what_the_user_gave_and_nobody_computed_is_not_replaced_by_a_header() -> None:
    configured, right, wrong = claim("blake3", trust=Trust.CONFIGURED), claim(), claim(data=OTHER)
    digests = computed("sha256")
    assert verdict([configured, right], digests) == Unverified(f"not computed: {configured}")
    assert verdict([configured, wrong], digests) == Mismatch(wrong, digest_of("sha256", DATA))
    both = [configured, claim(trust=Trust.CONFIGURED)]
    assert isinstance(verdict(both, digests), Unverified), "all that the user gave must match"


def test_d105_a_wrong_whole_digest_is_a_mismatch_whatever_the_pieces_say() -> None:
    """Digests of pieces repair a file; that it is right is for the digest of the whole to say."""
    whole, piece = claim(data=OTHER, source="metalink"), Digest("sha256", hashlib.sha256(DATA[:10]).digest())
    assert isinstance(verdict([whole], {**ALL, "sha256": hashlib.sha256(DATA).digest()}), Mismatch)
    assert isinstance(verdict([Claim(piece, "pieces", Trust.SAME_ORIGIN), claim()], ALL), Mismatch)


CLAIMS = st.lists(
    st.builds(
        claim,
        st.sampled_from(["sha256", "sha1", "md5", "crc32"]),
        st.sampled_from([DATA, OTHER]),
        st.sampled_from(Trust),
    )
)


@given(CLAIMS, st.sets(st.sampled_from(["sha256", "sha1", "md5", "crc32"])), st.randoms())
def test_verdict_keeps_its_promises(claims: list[Claim], names: set[str], random: st.DataObject) -> None:
    digests = computed(*names)
    right = [found for found in claims if digests.get(found.digest.algorithm) == found.digest.value]
    result = verdict(claims, digests)
    match result:
        case Verified(found, disagreeing):
            assert found in right
            assert all(other.trust < found.trust for other in disagreeing)
            assert not any(other.trust > found.trust and other.digest.algorithm in digests for other in claims)
        case Mismatch(found, got, agreeing):
            assert found in claims
            assert found.digest != got == Digest(found.digest.algorithm, digests[found.digest.algorithm])
            assert set(agreeing) <= set(right)
        case Unverified():
            assert not claims or any(found.digest.algorithm not in digests for found in claims)
    assert type(verdict(claims[::-1], digests)) is type(result), "the order in which claims come decides nothing"


def test_what_is_computed_is_the_strongest_of_each_source_and_all_the_user_gave() -> None:
    claims = [
        claim("md5", source="header x-goog-hash"),
        claim("crc32c", source="header x-goog-hash"),
        claim("sha512", source="sidecar"),
        claim("md5", source="sidecar"),
        claim("sha1", trust=Trust.CONFIGURED, source="config"),
        claim("blake3", trust=Trust.CONFIGURED, source="config"),
    ]
    assert algorithms_for(claims) == ("sha256", "sha1", "blake3", "md5", "sha512")
    assert algorithms_for([], ["SHA-256", "blake3"]) == ("sha256", "blake3")


def test_an_extra_that_is_missing_costs_a_header_but_not_a_configured_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    google = [claim("crc32c", source="header x-goog-hash"), claim("md5", source="header x-goog-hash")]
    configured = claim("crc32c", trust=Trust.CONFIGURED)
    monkeypatch.setattr("crawler.download.proof.digests.HAS_CRC32C", False)
    assert algorithms_for(google, ()) == ("md5",)
    assert algorithms_for(google[:1], ()) == ()
    assert algorithms_for([configured], ()) == ("crc32c",)


# -- sidecars and pages


def test_where_a_sidecar_would_be() -> None:
    assert sidecar_url("https://example.org/a/b.iso?x=1#y", ".sha256") == "https://example.org/a/b.iso.sha256"
    assert sidecar_url("https://example.org/a/b.iso", "SHA256SUMS") == "https://example.org/a/SHA256SUMS"
    for nameless in (
        "https://example.org/",
        "https://example.org",
        "https://example.org/a/",
        "ftp://example.org/a",
        "x",
    ):
        assert sidecar_url(nameless, ".sha256") is None
