"""`complete` is true only when nothing is missing and nothing disagrees."""

from __future__ import annotations

import gzip
import hashlib
from base64 import b64encode
from typing import Any

import pytest

from pipelines.page import Page
from pipelines.pipeline import Pipeline
from tests.support.pages import a_page, record, record_of, run

BODY = b"<!doctype html><title>t</title>"


def digest(data: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(data).digest()).decode()}:"


def state(page: dict[str, Any]) -> tuple[bool, str | None, list[str]]:
    return page["complete"], page["truncated"], page["flags"]


def test_a_plain_page_is_complete() -> None:
    assert state(record(BODY)) == (True, None, [])


def test_content_length() -> None:
    short = Page(1, "http://a.test/", 200, (("content-type", "text/html"), ("content-length", "99")), BODY, "t")
    assert state(record_of(run(short))) == (False, "content_length", [])
    unknown = short._replace(headers=(("content-type", "text/html"),))
    assert state(record_of(run(unknown))) == (True, None, ["length_unknown"])
    chunked = short._replace(headers=(("content-type", "text/html"), ("transfer-encoding", "chunked")))
    assert state(record_of(run(chunked))) == (True, None, [])
    absurd = short._replace(headers=(("content-type", "text/html"), ("content-length", "9" * 100_000)))
    assert state(record_of(run(absurd)))[0] is False


def test_the_wire_knows_best() -> None:
    """What the fetch saw happen is the reason, not what follows from it."""
    page = a_page(BODY, truncated="chunked")._replace(body=BODY[:20])
    assert state(record_of(run(page))) == (False, "chunked", [])


@pytest.mark.parametrize("field", ["content-digest", "repr-digest"])
def test_digests_are_over_the_coded_body(field: str) -> None:
    """RFC 9530: integrity of what was sent, so a proxy's recompression must show."""
    coded = gzip.compress(BODY)
    good = record(coded, ("content-encoding", "gzip"), (field, digest(coded)))
    assert state(good) == (True, None, ["digest_verified"])
    bad = record(coded, ("content-encoding", "gzip"), (field, digest(BODY)))
    assert state(bad) == (False, None, ["digest_mismatch"])


def test_other_digests() -> None:
    md5 = b64encode(hashlib.md5(BODY).digest()).decode()
    assert state(record(BODY, ("content-md5", md5)))[2] == ["digest_verified"]
    assert state(record(BODY, ("digest", "MD5=AAAA"))) == (False, None, ["digest_mismatch"])
    assert state(record(BODY, ("content-digest", "crc32c=:AAAAAA==:"))) == (True, None, ["digest_unknown"])
    assert state(record(BODY, ("repr-digest", digest(b"the whole")), status=206)) == (True, None, [])
    cut = a_page(BODY, ("content-digest", digest(b"whole")), truncated="max_wire_bytes")
    assert state(record_of(run(cut))) == (False, "max_wire_bytes", ["digest_unchecked"])


def test_a_local_file_needs_no_header() -> None:
    page = Page(0, "http://local.test/x.html", 200, (), BODY, "2027-01-01T00:00:00Z")
    found = record_of(Pipeline().process(page))
    assert state(found) == (True, None, [])
    assert found["mime"] == "text/html"
