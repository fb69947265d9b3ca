"""The digests of a page: SHA-256 of the body and of the text, and a simhash to find near duplicates by."""

from __future__ import annotations

from hashlib import sha256

from pipelines.page import Document
from pipelines.stages.words import simhash, voters


def hash_page(doc: Document) -> None:
    """Fill in `sha256`, `text_sha256` and `simhash`.

    `sha256` is of the decoded body, before any charset conversion; `text_sha256` of the record's `text` in UTF-8, so
    that anyone can check it from the record alone.
    """
    doc.sha256 = sha256(doc.body).hexdigest()
    text = doc.text
    if text is None:
        return
    doc.text_sha256 = sha256(text.encode("utf-8", "replace")).hexdigest()
    doc.simhash = simhash(voters(doc.words))
