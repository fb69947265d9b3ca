"""The last stage: one line of JSON, keys always in the same order, `duplicate_of` last for the store to fill in.

Outlinks are arrays `[url, kind, text, rel]`, not objects: a page has hundreds, and four repeated keys would be half of
the file. Crawled text may hold NUL (escaped by JSON) and lone surrogates (from user stages only: replaced).
"""

from __future__ import annotations

from typing import Any

import orjson

from pipelines.page import SCHEMA_VERSION, Document
from pipelines.stages.options import ALWAYS_RECORDED, RECORD_FIELDS, StageOptions
from pipelines.stages.verify import DIGEST_MISMATCH

LAST_KEY = b',"duplicate_of":null}'
RESERVED = frozenset(RECORD_FIELDS)
"""A user's stage cannot set these, also where they are left out: what a key means does not depend on the config."""


class StageKeyError(ValueError):
    """A user's stage set a key of the record that is ours."""


class Record:
    """Builds the line of the record."""

    def __init__(self, options: StageOptions) -> None:
        self._wanted = frozenset(name.lower() for name in options.record_headers)
        self._left_out = RESERVED - ALWAYS_RECORDED.union(options.fields) if options.fields else frozenset()

    def line(self, doc: Document) -> bytes:
        """Return the record as UTF-8 JSON without a newline. Raises TypeError for a value JSON cannot hold."""
        record = self._record(doc)
        if doc.record:
            if clash := RESERVED & doc.record.keys():
                raise StageKeyError(f"doc.record: key {min(clash)!r} belongs to the record itself")
            record |= doc.record
        for name in self._left_out:
            del record[name]
        try:
            line = orjson.dumps(record)
        except TypeError as error:
            if "surrogates" not in str(error):
                raise
            line = orjson.dumps(_without_surrogates(record))
        return line[:-1] + LAST_KEY

    def _record(self, doc: Document) -> dict[str, Any]:
        page = doc.page
        wanted = self._wanted
        return {
            "schema": SCHEMA_VERSION,
            "url": page.url,
            "final_url": page.url,
            "status": page.status,
            "fetched_at": page.fetched_at,
            "depth": page.depth,
            "via": page.via,
            "redirects": page.redirects,
            "headers": {name: value for name, value in doc.headers.items() if name in wanted},
            "content_type": doc.content_type,
            "mime": doc.mime,
            "sniffed": doc.sniffed,
            "charset": doc.charset,
            "charset_source": doc.charset_source,
            "wire_bytes": len(page.body),
            "body_bytes": len(doc.body),
            "sha256": doc.sha256,
            "text_sha256": doc.text_sha256,
            "simhash": None if doc.simhash is None else f"{doc.simhash:016x}",
            "complete": doc.truncated is None and DIGEST_MISMATCH not in doc.flags,
            "truncated": doc.truncated,
            "title": doc.title,
            "description": doc.description,
            "lang": doc.lang,
            "canonical": doc.canonical,
            "robots": doc.robots,
            "headings": doc.headings,
            "text": doc.text,
            "outlinks": doc.outlinks,
            "flags": doc.flags,
            "timings": dict(page.timings),
        }


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value
