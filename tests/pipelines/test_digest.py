"""Digest fields: a broken transfer must be found, a strange field must do no harm."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.digest import Expected, Verdict, compare, parse_content_md5, parse_digest_field, parse_legacy_digest

BODY = b'{"hello": "world"}\n'
SHA256 = b64encode(hashlib.sha256(BODY).digest()).decode()
SHA512 = b64encode(hashlib.sha512(BODY).digest()).decode()


def test_the_example_of_rfc_9530() -> None:
    """Appendix A of the RFC, so that we agree with others and not only with ourselves."""
    assert SHA256 == "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="
    assert compare(BODY, parse_digest_field(f"sha-256=:{SHA256}:")) is Verdict.MATCH


@pytest.mark.parametrize(
    ("field", "verdict"),
    [
        (f"sha-512=:{SHA512}:", Verdict.MATCH),
        (f"unixsum=:AAA=:, sha-256=:{SHA256}:;q=1", Verdict.MATCH),
        (f"sha-256=:AAAA:, sha-256=:{SHA256}:", Verdict.MATCH),  # the last one counts
        (f"sha-256=:{SHA512}:", Verdict.MISMATCH),
        (f"sha-256=:{SHA256}:, sha-512=:AAAA:", Verdict.MISMATCH),  # the strongest is believed
        ("crc32c=:AAAAAA==:", Verdict.UNKNOWN),
        (f"sha-256={SHA256}", Verdict.UNKNOWN),  # a token is no byte sequence
        (f"SHA-256=:{SHA256}:", Verdict.UNKNOWN),  # keys are lower case
        (f"sha-256=:{SHA256}: junk", Verdict.UNKNOWN),
        ("sha-256=:a:", Verdict.UNKNOWN),
        (f"sha-256=:{SHA256.rstrip('=')}:", Verdict.MATCH),  # without its padding: RFC 9651 4.2.7
        (f"sha-256=:{SHA256[:20]}={SHA256[20:]}:", Verdict.UNKNOWN),  # padding in the middle
        (f'sha-256=:{SHA256}:;a="x, y";b;c=?1;d=(', Verdict.UNKNOWN),  # parameters hold no lists
        (f'sha-256=:{SHA256}:;a="x, \\" y";b; c=?1;d=1.5;e=:AA==:;f=*t/o:k', Verdict.MATCH),
        (f'a, b;c=1, c=?0, d="s", e=(1 "x" tok;p=1 :AA==:);q, sha-256=:{SHA256}:', Verdict.MATCH),
        (f'f=@1659578233, g=%"f%c3%bc", h=-1.5 ,\tsha-256=:{SHA256}:', Verdict.MATCH),
        (f"sha-256=:{SHA256}:, sha-256=1", Verdict.UNKNOWN),  # the last one counts, and it is no byte sequence
        (f"sha-256=:{SHA256}:,", Verdict.UNKNOWN),  # a comma at the end
        (f"sha-256=:{SHA256}:,,a", Verdict.UNKNOWN),
        (f"sha-256=:{SHA256}: ;q=1", Verdict.UNKNOWN),  # a blank before a parameter
        (f"sha-256= :{SHA256}:", Verdict.UNKNOWN),
        (f"sha-256=:{SHA256}", Verdict.UNKNOWN),
        (f"sha-256=:{SHA256[:10]} {SHA256[10:]}:", Verdict.UNKNOWN),
        (f"a=(1 2, sha-256=:{SHA256}:", Verdict.UNKNOWN),
        ("", Verdict.UNKNOWN),
        (",,,;=", Verdict.UNKNOWN),
    ],
)
def test_structured_fields(field: str, verdict: Verdict) -> None:
    assert compare(BODY, parse_digest_field(field)) is verdict


@pytest.mark.parametrize(
    "field",
    [
        "a=(" + "x " * 30_000,
        "a" + ";b" * 30_000 + "!",
        "a=" + "1" * 60_000,
        "a=(" + "x;y=1 " * 10_000 + ", b",
        "a," * 30_000,
        'a="' + '\\\\"' * 20_000,
        ":" * 60_000,
    ],
    ids=lambda field: field[:6],
)
def test_a_hostile_field_takes_linear_time(field: str) -> None:
    """A field may have as many bytes as a head; a square of them would hold up the event loop for a minute."""
    start = process_time()
    assert parse_digest_field(field) == []
    assert process_time() - start < 2.0


@given(st.text(max_size=200) | st.text('abc=:;, ()"?1AZ/+*.-@%\\', max_size=60))
def test_no_field_raises(field: str) -> None:
    for found in parse_digest_field(field) + parse_legacy_digest(field) + parse_content_md5(field):
        assert isinstance(found.digest, bytes)


@given(st.dictionaries(st.from_regex(r"[a-z*][a-z0-9_.*-]{0,9}", fullmatch=True), st.binary(max_size=70), max_size=5))
def test_every_dictionary_of_byte_sequences_is_read(wanted: dict[str, bytes]) -> None:
    field = ", ".join(f"{key}=:{b64encode(value).decode()}:" for key, value in wanted.items())
    assert dict(parse_digest_field(field)) == wanted


def test_older_fields() -> None:
    md5 = b64encode(hashlib.md5(BODY).digest()).decode()
    sha1 = b64encode(hashlib.sha1(BODY).digest()).decode()
    assert compare(BODY, parse_content_md5(f" {md5} ")) is Verdict.MATCH
    assert compare(b"", parse_content_md5(md5)) is Verdict.MISMATCH
    assert parse_content_md5("no base64!") == []
    assert compare(BODY, parse_legacy_digest(f"SHA={sha1},id-sha-256=x")) is Verdict.MATCH
    assert parse_legacy_digest(f"SHA-256={SHA256}, MD5={md5}") == [
        Expected("sha-256", hashlib.sha256(BODY).digest()),
        Expected("md5", hashlib.md5(BODY).digest()),
    ]
