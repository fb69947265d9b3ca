"""The first stage: bytes off the wire to a body, its type, its encoding, and UTF-8 for the parser.

lexbor reads UTF-8. A body that is UTF-8 or ASCII goes to it as it is, without a copy; only others are transcoded.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pipelines.page import Document
from pipelines.stages import charset, codings, labels, sniff
from pipelines.stages.options import StageOptions

_CHARSET_PARAMETER = re.compile(r";[\t\n\r ]*charset=(?:\"((?:[^\"\\]|\\.)*)\"?|([^;\"]*))", re.IGNORECASE)
_ESSENCE = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+")


class Decode:
    """The decode stage; see `codings` and `charset` for the rules."""

    def __init__(self, options: StageOptions) -> None:
        self._cap = options.max_body_bytes
        self._max_chars = options.max_text_chars

    def __call__(self, doc: Document) -> None:
        mime, declared_charset = content_type(doc.content_type) if doc.content_type else ("", None)
        self._remove_codings(doc, mime)
        if doc.error:
            return
        body = doc.body
        if len(body) > self._cap:
            body = doc.body = body[: self._cap]
            doc.truncated = doc.truncated or "max_body"
        doc.sniffed = sniffed = sniff.sniff(body)
        doc.mime = mime = sniffed if mime in sniff.UNKNOWN_TYPES else mime
        if mime in sniff.HTML_TYPES:
            doc.is_html = not sniff.is_file(sniffed)
        if doc.is_html or sniff.is_text(mime):
            self._decode_text(doc, declared_charset)

    def _remove_codings(self, doc: Document, mime: str) -> None:
        field = doc.headers.get("content-encoding")
        names = codings.codings_of(field) if field else []
        if not names:
            if not (codings.is_gzip(doc.body) and sniff.is_text(mime)):
                return
            names = ["gzip"]  # text that starts as a gzip file does: the server forgot to say so
            doc.flags.append("coding_undeclared")
        decoded = codings.remove(doc.body, names, self._cap)
        if decoded.error is not None:
            doc.error = "coding"
            doc.detail = decoded.error
            return
        doc.body = decoded.body
        doc.truncated = doc.truncated or decoded.truncated
        doc.flags.extend(decoded.flags)

    def _decode_text(self, doc: Document, declared: str | None) -> None:
        body, html = doc.body, doc.is_html
        name, source = charset.detect(body, declared, html=html, xml=sniff.is_xml(doc.mime))
        if name == "windows-1252" and source == "default" and doc.mime.endswith("json"):
            name = "UTF-8"  # RFC 8259 8.1
        doc.charset, doc.charset_source = name, source
        if name == "UTF-8":
            doc.markup = body[3:] if source == "bom" else body
        elif body.isascii() and name not in _NOT_ASCII:
            doc.markup = body
        else:
            text = labels.decode(body, name).removeprefix("\ufeff")
            doc.markup = text.encode("utf-8", "replace")


def decode(doc: Document) -> None:
    """The decode stage with the default options; a Pipeline replaces it by one with its own."""
    _default(doc)


_NOT_ASCII = frozenset({"UTF-16LE", "UTF-16BE", "ISO-2022-JP", "replacement"})  # their ASCII bytes are not ASCII text


@lru_cache(maxsize=256)
def content_type(value: str) -> tuple[str, str | None]:
    """Return the essence (lower case; "" when invalid) and the charset parameter of a Content-Type field.

    Of several values joined by commas the last valid one counts (Fetch Standard, "extract a MIME type").
    """
    essence, charset_label = "", None
    for part in value.split(",") if '"' not in value else [value]:
        name = part.partition(";")[0].strip().lower()
        if not _ESSENCE.fullmatch(name) or name == "*/*":
            continue
        match = _CHARSET_PARAMETER.search(part)
        label = (match[1] or match[2] or "").strip() if match else ""
        if label or name != essence:
            essence, charset_label = name, label or None
    return essence, charset_label


_default = Decode(StageOptions())
