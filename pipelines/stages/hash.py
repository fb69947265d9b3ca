"""The digests of a page: SHA-256 of the body and of the text, and a simhash to find near duplicates by."""

from __future__ import annotations

from hashlib import sha256

from pipelines.page import Document
from pipelines.stages.options import StageOptions
from pipelines.stages.words import simhash, voters


class Hash:
    """The hash stage. Computes what the record, or somebody's stage behind it, is to have."""

    def __init__(self, options: StageOptions, *, is_read: bool = False) -> None:
        """`is_read`: a stage of the user's may look at any digest."""
        self._has_text = is_read or options.records("text_sha256")
        self._has_simhash = is_read or options.records("simhash")

    def __call__(self, doc: Document) -> None:
        doc.sha256 = sha256(doc.body).hexdigest()
        text = doc.text
        if text is None:
            return
        if self._has_text:
            doc.text_sha256 = sha256(text.encode("utf-8", "replace")).hexdigest()
        if self._has_simhash:
            doc.simhash = simhash(voters(doc.words))


_all = Hash(StageOptions())


def hash_page(doc: Document) -> None:
    """Fill in `sha256`, `text_sha256` and `simhash`; a Pipeline replaces it by one with its own options.

    `sha256` is of the decoded body, before any charset conversion; `text_sha256` of the record's `text` in UTF-8, so
    that anyone can check it from the record alone.
    """
    _all(doc)
