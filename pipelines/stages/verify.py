"""Is this the page that was sent? Framing, length, digests and type, compared with what the server announced.

Trouble never loses a page: it is written into the record as `truncated` (why the body is not whole) and as flags.
`complete` is true only when nothing is missing and no digest disagrees.
"""

from __future__ import annotations

from pipelines.digest import Expected, Verdict, compare, parse_content_md5, parse_digest_field, parse_legacy_digest
from pipelines.page import Document
from pipelines.stages import sniff

_DIGEST_FIELDS = frozenset({"content-digest", "repr-digest", "digest", "content-md5"})
DIGEST_MISMATCH = "digest_mismatch"


def verify(doc: Document) -> None:
    """Compare length, digests and type with the header; sets `truncated` and `flags`."""
    headers = doc.headers
    if headers:
        _check_length(doc)
        if not _DIGEST_FIELDS.isdisjoint(headers):
            _check_digests(doc)
    mime = doc.mime
    if mime != doc.sniffed and not sniff.agree(mime, doc.sniffed):
        doc.flags.append("type_mismatch")


def _check_length(doc: Document) -> None:
    length = doc.headers.get("content-length")
    if length is None:
        if "transfer-encoding" not in doc.headers:
            doc.flags.append("length_unknown")  # it ended with the connection: nobody can know (RFC 9112 8)
    elif doc.page.truncated is None and length.isdecimal() and int(length[:19]) != len(doc.page.body):
        doc.truncated = "content_length"


def _check_digests(doc: Document) -> None:
    """Compare digests, which are over the body with its content coding; for a 200 both kinds (RFC 9530 2, 3)."""
    if doc.page.truncated is not None or doc.truncated == "content_length":
        doc.flags.append("digest_unchecked")
        return
    verdicts = {compare(doc.page.body, expected) for expected in _expected(doc)}
    if Verdict.MISMATCH in verdicts:
        doc.flags.append(DIGEST_MISMATCH)
    elif Verdict.MATCH in verdicts:
        doc.flags.append("digest_verified")
    if Verdict.UNKNOWN in verdicts:
        doc.flags.append("digest_unknown")


def _expected(doc: Document) -> list[list[Expected]]:
    headers, found = doc.headers, []
    if field := headers.get("content-digest"):
        found.append(parse_digest_field(field))
    if field := headers.get("content-md5"):
        found.append(parse_content_md5(field))
    if doc.page.status != 206:  # of a part, only the whole has these digests
        if field := headers.get("repr-digest"):
            found.append(parse_digest_field(field))
        if field := headers.get("digest"):
            found.append(parse_legacy_digest(field))
    return found
