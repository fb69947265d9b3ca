"""Digest fields: a broken transfer must be found, a strange field must do no harm."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

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
        ("", Verdict.UNKNOWN),
        (",,,;=", Verdict.UNKNOWN),
    ],
)
def test_structured_fields(field: str, verdict: Verdict) -> None:
    assert compare(BODY, parse_digest_field(field)) is verdict


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
