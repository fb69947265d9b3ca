"""Encodings: the WHATWG table and nothing else, and a source for every answer."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.stages import charset
from pipelines.stages.charset import detect, prescan
from pipelines.stages.labels import _CODECS, _NAMES, decode, encoding_for
from tests.support.pages import record

UMLAUT = "<title>ä€</title>"


@pytest.mark.parametrize(
    ("body", "mime", "expected"),
    [
        (b"\xef\xbb\xbf<title>\xc3\xa4", "text/html; charset=iso-8859-2", ("UTF-8", "bom")),
        ("\ufeff<title>ä".encode("utf-16-le"), "text/html; charset=utf-8", ("UTF-16LE", "bom")),
        (b"<meta charset=koi8-r>\xff", 'text/html; x="y;z"; CHARSET="iso-8859-2"', ("ISO-8859-2", "header")),
        (b"<meta charset=koi8-r>\xff", "text/html; charset=;;", ("KOI8-R", "meta")),
        (b"<meta charset=koi8-r>\xff", "text/html; charset=rot13", ("KOI8-R", "meta")),
        (b"<meta http-equiv=content-type content='text/html; charset=koi8-r'>", "text/html", ("KOI8-R", "meta")),
        (UMLAUT.encode(), "text/html", ("UTF-8", "utf8")),
        (UMLAUT.encode("cp1252"), "text/html", ("windows-1252", "default")),
        (b"<title>ascii", "text/html", ("windows-1252", "default")),
        (b"<!--" + b"x" * 2000 + b"--><meta charset=koi8-r>\xff", "text/html", ("KOI8-R", "meta")),
        (b'<?xml version="1.0" encoding="koi8-r"?><a>\xc1</a>', "application/xml", ("KOI8-R", "xml")),
        (b"<a>\xc3\xa4</a>", "application/rss+xml", ("UTF-8", "default")),
        (b'{"a": "\xff"}', "application/json", ("UTF-8", "default")),
    ],
)
def test_order_of_belief(body: bytes, mime: str, expected: tuple[str, str]) -> None:
    page = record(body, mime=mime)
    assert (page["charset"], page["charset_source"]) == expected


@pytest.mark.parametrize(
    "label", ["utf-7", "rot13", "hex", "idna", "zlib", "base64", "punycode", "none", "utf-32", "mbcs", "u8"]
)
def test_names_that_only_python_knows_are_no_labels(label: str) -> None:
    """Python's registry decodes `zlib` and `idna`; a page must not be able to ask for that."""
    assert encoding_for(label) is None
    page = record(f"<meta charset={label}><title>ok", mime=f"text/html; charset={label}")
    assert (page["charset"], page["title"]) == ("windows-1252", "ok")


def test_the_table_is_the_standards() -> None:
    assert len(_NAMES) == 228  # labels in the Encoding Standard
    assert len(_CODECS) == 40  # encodings in the Encoding Standard
    assert encoding_for(" Latin1\t") == "windows-1252"
    assert encoding_for("\x0butf-8") is None


@pytest.mark.parametrize("name", sorted(_CODECS))
@given(data=st.binary(max_size=50))
def test_no_bytes_raise(name: str, data: bytes) -> None:
    """A page cut in mid-character is a page with one bad character."""
    decode(data, name).encode("utf-8")


@pytest.mark.parametrize("name", sorted(_CODECS.keys() - {"replacement", "UTF-16LE", "UTF-16BE", "ISO-2022-JP"}))
def test_ascii_is_ascii(name: str) -> None:
    """Such bodies go to the parser without a copy."""
    ascii_bytes = bytes(range(0x80))
    assert decode(ascii_bytes, name) == ascii_bytes.decode()


@pytest.mark.parametrize(
    ("data", "name", "text"),
    [
        (b"\x80\x81", "windows-1252", "€\x81"),
        (b"\xaa\x81", "windows-1253", "\ufffd\x81"),
        (b"\x80", "x-user-defined", "\uf780"),
        (b"anything", "replacement", "\ufffd"),
        (b"\x82\xa0\x82", "Shift_JIS", "あ\ufffd"),
        (b"\xc4\xe3\xba", "GBK", "你\ufffd"),
    ],
)
def test_decoders(data: bytes, name: str, text: str) -> None:
    assert decode(data, name) == text


@pytest.mark.parametrize(
    ("markup", "name"),
    [
        (b"<meta charset=utf-16>", "UTF-8"),
        (b"<meta charset=x-user-defined>", "windows-1252"),
        (b"<meta content='text/html; charset=koi8-r'>", None),
        (b"<meta charset=bogus><meta charset=koi8-r>", "KOI8-R"),
        (b"<!-- <meta charset=koi8-r> --><p>", None),
        (b"<a title='<meta charset=koi8-r>'>", None),
        (b"<a b=c d='e' f \"g <meta charset=koi8-r>", None),
        (b"</p x='>'><?pi ><!doctype><meta/charset='koi8-r'/>", "KOI8-R"),
        (b"<meta charset", None),
        (b"<", None),
    ],
)
def test_prescan(markup: bytes, name: str | None) -> None:
    assert prescan(markup) == name


@given(st.binary(max_size=300).map(lambda junk: b"<meta " + junk))
def test_prescan_survives_junk(junk: bytes) -> None:
    detect(junk, None, html=True)


ODDITIES = st.sampled_from(
    [b"<a", b"<b/c", b" ", b"/", b">", b"=", b"'", b'"', b"x", b"y=z", b"charset", b"<meta ", b"koi8-r"]
)


@given(st.lists(ODDITIES, max_size=14).map(b"".join))
@settings(max_examples=500)
def test_the_short_cut_for_tags_changes_nothing(markup: bytes) -> None:
    """Well-formed tags are skipped by one pattern, others attribute by attribute, as the standard tells it."""
    quick = prescan(markup)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charset, "_WHOLE_TAG", re.compile(b"(?!)"))
        assert prescan(markup) == quick


@pytest.mark.parametrize(
    "piece", [b" a=b/a", b"<a/a", b"/a", b" a", b'="', b" '", b"<!--", b"<meta ", b"<a b='", b"<", b"</"]
)
def test_the_prescan_is_linear(piece: bytes) -> None:
    prescan(b"<a" + piece * 20_000)
