"""What the first bytes look like, and when that is believed."""

from __future__ import annotations

import pytest

from pipelines.stages.decode import content_type
from pipelines.stages.sniff import agree, sniff
from tests.support.pages import record

PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)


@pytest.mark.parametrize(
    ("body", "mime"),
    [
        (b" \n<!DOCTYPE html>", "text/html"),
        (b"<p>x", "text/html"),
        (b"<pre>", "text/plain"),
        (b"<!-- x", "text/html"),
        (b"<?xml version='1.0'?>", "text/xml"),
        (b"%PDF-1.7", "application/pdf"),
        (PNG, "image/png"),
        (b"GIF89a", "image/gif"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"\x1f\x8b\x08\0", "application/x-gzip"),
        (b"PK\x03\x04", "application/zip"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"wOF2", "font/woff2"),
        (b"plain \xe4 text\x1b[0m", "text/plain"),
        (b"\xfe\xff\0<", "text/plain"),
        (b"\x7fELF\x02\x01\x01\0", "application/octet-stream"),
        (b"", ""),
    ],
)
def test_signatures(body: bytes, mime: str) -> None:
    assert sniff(body) == mime


@pytest.mark.parametrize(
    ("declared", "body", "mime", "has_title", "mismatch"),
    [
        ("text/html", b"<title>t", "text/html", True, False),
        (None, b"<title>t", "text/html", True, False),
        ("*/*", b"<title>t", "text/html", True, False),
        ("image/png", b"<title>t", "image/png", False, True),
        ("text/html", PNG, "text/html", False, True),
        ("text/html", b"BMW is a <title>t", "text/html", True, True),
        ("application/vnd.openxmlformats-x", b"PK\x03\x04", "application/vnd.openxmlformats-x", False, False),
        ("application/octet-stream", PNG, "application/octet-stream", False, False),
        (None, PNG, "image/png", False, False),
        ("text/plain", b"<title>t", "text/plain", False, False),
    ],
)
def test_which_type_is_believed(declared: str | None, body: bytes, mime: str, has_title: bool, mismatch: bool) -> None:
    """Declared wins, unless it says nothing; a file's signature is never parsed as HTML."""
    page = record(body, mime=declared)
    assert page["mime"] == mime
    assert (page["title"] is not None) == has_title
    assert ("type_mismatch" in page["flags"]) == mismatch


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("Text/HTML;charset=UTF-8", ("text/html", "UTF-8")),
        ("text/html, text/plain; charset=x", ("text/plain", "x")),
        ("text/html; charset=x, */*", ("text/html", "x")),
        ("text/html; charset=x, text/html", ("text/html", "x")),
        ("junk", ("", None)),
        ('a/b; charset="x\\"y"', ("a/b", 'x\\"y')),
        ("text/html; charset=\udcff", ("text/html", "\udcff")),
    ],
)
def test_content_type_fields(field: str, expected: tuple[str, str | None]) -> None:
    assert content_type(field) == expected


def test_agreement_is_by_kind() -> None:
    assert agree("text/css", "text/plain")
    assert agree("image/svg+xml", "text/xml")
    assert not agree("text/css", "image/png")
    assert not agree("image/png", "image/gif")
