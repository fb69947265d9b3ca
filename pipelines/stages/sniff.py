"""What the first bytes look like: the parts of the WHATWG MIME Sniffing Standard a crawler needs.

The declared type decides how a page is read, with two exceptions: a body without a usable type is read as what it looks
like (7.1, "unknown type"), and a body that is declared HTML but starts with the signature of an image, archive, font,
media or PDF file is not parsed. Every other disagreement is only flagged.
"""

from __future__ import annotations

import re

SNIFFED_BYTES = 1445  # MIME Sniffing 5.2, "read the resource header"

UNKNOWN_TYPES = frozenset({"", "unknown/unknown", "application/unknown", "*/*"})
HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})

_HTML = re.compile(
    rb"[\t\n\f\r ]*<(?:(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)[ >]|!--)",
    re.IGNORECASE,
)
_XML = re.compile(rb"[\t\n\f\r ]*<\?xml")
_BOMS = (b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf")
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")

_SIGNATURES: tuple[tuple[bytes, int, str], ...] = (  # MIME Sniffing 6 and 7.1
    (b"%PDF-", 0, "application/pdf"),
    (b"%!PS-Adobe-", 0, "application/postscript"),
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"GIF87a", 0, "image/gif"),
    (b"GIF89a", 0, "image/gif"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"WEBPVP", 8, "image/webp"),
    (b"BM", 0, "image/bmp"),
    (b"\0\0\1\0", 0, "image/x-icon"),
    (b"\x1f\x8b\x08", 0, "application/x-gzip"),
    (b"PK\x03\x04", 0, "application/zip"),
    (b"Rar!\x1a\x07\x00", 0, "application/x-rar-compressed"),
    (b"ftyp", 4, "video/mp4"),
    (b"\x1a\x45\xdf\xa3", 0, "video/webm"),
    (b"OggS\0", 0, "application/ogg"),
    (b"ID3", 0, "audio/mpeg"),
    (b"WAVE", 8, "audio/wave"),
    (b"wOFF", 0, "font/woff"),
    (b"wOF2", 0, "font/woff2"),
    (b"OTTO", 0, "font/otf"),
    (b"\0\1\0\0", 0, "font/ttf"),
)
_FIRST_BYTES = frozenset(magic[0] for magic, offset, _ in _SIGNATURES if offset == 0)

_FAMILIES = {  # types that hold the same kind of thing as far as their first bytes can tell
    "application/x-gzip": ("gzip", "x-gzip", "tar"),
    "application/zip": ("zip", "openxmlformats", "opendocument", "epub", "java-archive", "android", "oebps"),
    "video/mp4": ("mp4", "m4a", "quicktime", "3gpp", "avif", "heic", "heif"),
    "image/x-icon": ("icon", "ico"),
    "video/webm": ("webm", "matroska"),
    "application/ogg": ("ogg", "opus"),
    "font/ttf": ("font", "ttf", "sfnt"),
    "audio/mpeg": ("mpeg", "mp3"),
    "audio/wave": ("wav",),
    "image/jpeg": ("jpeg", "jpg"),
}


def sniff(body: bytes) -> str:
    """Return the type `body` looks like; `text/plain` or `application/octet-stream` when nothing better is known."""
    head = body[:SNIFFED_BYTES]
    if _HTML.match(head):
        return "text/html"
    if _XML.match(head):
        return "text/xml"
    if not head:
        return ""
    for magic, offset, mime in _SIGNATURES:
        if head.startswith(magic, offset):
            return mime
    if head.startswith(_BOMS) or not _BINARY.search(head):
        return "text/plain"
    return "application/octet-stream"


def is_file(sniffed: str) -> bool:
    """Tell whether `sniffed` names the signature of a file that is certainly no text."""
    return sniffed not in (
        "",
        "text/html",
        "text/xml",
        "text/plain",
        "application/octet-stream",
        "image/bmp",
        "audio/mpeg",
    )


def is_text(mime: str) -> bool:
    """Tell whether a type holds text whose characters are worth decoding."""
    return (
        mime.startswith("text/")
        or is_xml(mime)
        or mime in ("application/json", "application/javascript")
        or mime.endswith("+json")
    )


def is_xml(mime: str) -> bool:
    """Tell whether a type is an XML type (MIME Sniffing 4.6)."""
    return mime in ("text/xml", "application/xml") or mime.endswith("+xml")


def agree(declared: str, sniffed: str) -> bool:
    """Tell whether the first bytes fit the declared type."""
    if declared == sniffed or not sniffed or declared in UNKNOWN_TYPES or declared == "application/octet-stream":
        return True
    if sniffed in ("text/plain", "text/xml", "text/html"):
        return is_text(declared) and (sniffed != "text/html" or declared in HTML_TYPES or declared == "text/plain")
    if sniffed == "application/octet-stream":
        return not is_text(declared)
    return any(word in declared for word in _FAMILIES.get(sniffed, (sniffed.partition("/")[2],)))
