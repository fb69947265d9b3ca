"""Which encoding a text is in: BOM, then the header's charset, then `<meta>`, then what the bytes can be.

This is "determining the character encoding" of the HTML Standard (13.2.3.2) with two choices the standard leaves to us:

* How far to look for `<meta charset>`: 1,024 bytes as the standard advises, and where that finds nothing, up to
  64 KiB, because browsers re-parse a page whose declaration comes late and we do not want to.
* The default without any declaration is windows-1252, as in browsers of the west. But bytes that hold something
  above ASCII and are valid UTF-8 are UTF-8: the odds that another encoding looks like that are nil, and crawls meet
  many such pages. The source is then reported as `utf8`, not `default`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pipelines.stages.labels import encoding_for

PRESCAN_BYTES = 1024
LATE_PRESCAN_BYTES = 64 * 1024

_SPACE = b"\t\n\f\r "
_SPACE_OR_SLASH = b"\t\n\f\r /"
_TAG = re.compile(rb"</?[A-Za-z]")
_WHOLE_TAG = re.compile(
    rb"</?[A-Za-z][^\t\n\f\r />]*(?=[\t\n\f\r >])"
    rb"(?:[\t\n\f\r ]+[^\t\n\f\r />=<\"']+(?:=(?:\"[^\"]*\"|'[^']*'|[^\t\n\f\r \"'=<>`/]+)(?=[\t\n\f\r >]))?)*"
    rb"[\t\n\f\r ]*/?>"
)
"""A tag without any oddity. There is one way to match it at most, or a hostile tag would take exponential time."""
_NAME_END = re.compile(rb"[\t\n\f\r >]")
_ATTRIBUTE_NAME_END = re.compile(rb"[\t\n\f\r />=]")
_CHARSET = re.compile(
    rb"charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r ;\"'][^\t\n\f\r ;]*))", re.IGNORECASE
)
_META = re.compile(rb"<meta[\t\n\f\r /]", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z][A-Za-z0-9._-]*)[\"']")


def detect(data: bytes, declared: str | None, *, html: bool, xml: bool = False) -> tuple[str, str]:
    """Return the WHATWG name of the encoding of `data` and where it was learnt from.

    `declared` is the charset parameter of Content-Type. The source is one of `bom`, `header`, `meta`, `xml`, `utf8`
    (undeclared, but it can be nothing else) and `default`.
    """
    if bom := bom_of(data):
        return bom, "bom"
    if declared and (name := encoding_for(declared)):
        return name, "header"
    if html and (name := _prescan_all(data)):
        return name, "meta"
    if xml:
        match = _XML_ENCODING.match(data[:PRESCAN_BYTES])
        name = encoding_for(match[1].decode("ascii")) if match else "UTF-8"  # XML 1.0 4.3.3
        if name and not name.startswith("UTF-16"):  # it was readable as ASCII, so it is not
            return name, "xml" if match else "default"
    if not data.isascii() and is_utf8(data):
        return "UTF-8", "utf8"
    return "windows-1252", "default"


def bom_of(data: bytes) -> str | None:
    """Return the encoding that a byte order mark announces (Encoding Standard 6: BOM sniff)."""
    if data.startswith(b"\xef\xbb\xbf"):
        return "UTF-8"
    if data.startswith(b"\xfe\xff"):
        return "UTF-16BE"
    if data.startswith(b"\xff\xfe"):
        return "UTF-16LE"
    return None


def is_utf8(data: bytes) -> bool:
    """Tell whether `data` is UTF-8 throughout; a character cut off at the very end is forgiven."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def _prescan_all(data: bytes) -> str | None:
    head = data[:PRESCAN_BYTES]
    # Up to the first tag that speaks of a charset, the pages of a site are often the same. Whatever the scan finds in
    # that much is what it would find in all of it.
    end = head.find(b">", head.find(b"charset"))
    name = (_prescan_known(head[: end + 1]) if end > 0 else None) or prescan(head)
    if name is None and len(data) > PRESCAN_BYTES and _META.search(data, PRESCAN_BYTES, LATE_PRESCAN_BYTES):
        name = prescan(data[:LATE_PRESCAN_BYTES])
    return name


@lru_cache(maxsize=256)
def _prescan_known(data: bytes) -> str | None:
    return prescan(data)


def prescan(data: bytes) -> str | None:
    """Return the encoding that a `<meta>` in `data` declares: "prescan a byte stream" of the HTML Standard."""
    at = 0
    while (at := data.find(b"<", at)) >= 0:
        if data.startswith(b"<!--", at):
            end = data.find(b"-->", at + 2)  # "<!-->" is a whole comment
            if end < 0:
                return None
            at = end + 3
        elif _META.match(data, at):
            at, name = _read_meta(data, at + 5)
            if name:
                return name
        elif whole := _WHOLE_TAG.match(data, at):  # well-formed: no need to read its attributes one by one
            at = whole.end() - 1
        elif _TAG.match(data, at):
            end_of_name = _NAME_END.search(data, at)
            if end_of_name is None:
                return None
            at = end_of_name.start()
            while True:
                at, attribute, _ = _next_attribute(data, at)
                if not attribute:
                    break
        elif data[at + 1 : at + 2] in (b"!", b"/", b"?"):
            at = data.find(b">", at)
            if at < 0:
                return None
        else:
            at += 1
    return None


def _read_meta(data: bytes, at: int) -> tuple[int, str | None]:
    """Read the attributes of a `<meta>` and return the position behind them and the encoding it declares."""
    seen: set[bytes] = set()
    got_pragma = False
    need_pragma: bool | None = None
    name: str | None = None
    while True:
        at, attribute, value = _next_attribute(data, at)
        if not attribute:
            break
        if attribute in seen:
            continue
        seen.add(attribute)
        if attribute == b"http-equiv":
            got_pragma = got_pragma or value == b"content-type"
        elif attribute == b"content" and name is None:
            if label := charset_of_content(value):
                name, need_pragma = encoding_for(label.decode("latin-1")), True
        elif attribute == b"charset":
            name, need_pragma = encoding_for(value.decode("latin-1")), False
    if need_pragma is None or (need_pragma and not got_pragma) or name is None:
        return at, None
    if at >= len(data):  # the tag is cut off: the standard aborts
        return at, None
    if name.startswith("UTF-16"):  # it was readable as ASCII, so it is not
        name = "UTF-8"
    elif name == "x-user-defined":
        name = "windows-1252"
    return at, name


def charset_of_content(value: bytes) -> bytes | None:
    """Return the label in a `content` attribute: "extracting a character encoding from a meta element"."""
    match = _CHARSET.search(value)
    return (match[1] or match[2] or match[3] or b"") if match else None


def _next_attribute(data: bytes, at: int) -> tuple[int, bytes, bytes]:
    """Return position, lower-case name and value of the next attribute: "get an attribute"; no name ends the tag."""
    size = len(data)
    while at < size and data[at] in _SPACE_OR_SLASH:
        at += 1
    if at >= size or data[at] == 0x3E:
        return at, b"", b""
    start = at
    end = _ATTRIBUTE_NAME_END.search(data, at + 1)  # a leading "=" belongs to the name
    at = end.start() if end else size
    name = data[start:at].lower()
    while at < size and data[at] in _SPACE:
        at += 1
    if at >= size or data[at] != 0x3D:
        return at, name, b""
    at += 1
    while at < size and data[at] in _SPACE:
        at += 1
    quote = data[at : at + 1]
    if quote in (b'"', b"'") and quote:
        close = data.find(quote, at + 1)
        if close < 0:
            return size, name, b""
        return close + 1, name, data[at + 1 : close].lower()
    stop = _NAME_END.search(data, at)
    close = stop.start() if stop else size
    return close, name, data[at:close].lower()
