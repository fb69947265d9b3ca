"""Whether two answers speak of the same file: the validators that the first one is pinned by.

The ladder, strongest first: the size; a strong entity tag; the date of the last change. All that both answers have are
compared on every answer, whatever the server did with If-Range. What an answer does not have proves nothing: a 206 may
lawfully come without what its 200 had when If-Range was sent (RFC 9110 15.3.7), and many servers drop more.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from crawler.download.answers.fields import Fields, FieldTwice
from crawler.frontier.retry import http_date

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')  # RFC 9110 8.8.3, entity-tag

STRONG_AFTER = 1.0  # second; RFC 9110 8.8.2.2: Last-Modified at least that much before Date is a strong validator


class Identity(NamedTuple):
    """What a file was pinned by."""

    size: int | None
    """In bytes; None when the answer did not tell."""
    etag: str | None = None
    """The strong entity tag, with its quotes."""
    weak: str | None = None
    """The opaque part of a weak entity tag, with its quotes, without `W/`."""
    last_modified: str | None = None
    """As it was sent; only if it is a valid date."""
    is_date_strong: bool = False
    """Whether no second version can have the same date: it was older than the answer that told it."""

    def if_range(self) -> str | None:
        """Return the value for If-Range; None when nothing known is strong enough (RFC 9110 13.1.5).

        Without it a changed file answers 206, so each 206 has to be compared all the same.
        """
        if self.etag is not None:
            return self.etag
        return self.last_modified if self.is_date_strong else None

    @property
    def is_strong(self) -> bool:
        """Whether equal validators mean equal bytes, as far as a server can be believed."""
        return self.etag is not None or self.is_date_strong


NOTHING = Identity(None)


def identity_of(fields: Fields, total: int | None) -> Identity:
    """Return the validators of an answer about a file of `total` bytes; what is malformed counts as absent."""
    etag = weak = None
    match = _TAG.fullmatch(_one(fields, "etag") or "")
    if match is not None and match[1] is None:
        etag = match[2]
    elif match is not None:
        weak = match[2]
    last_modified = _one(fields, "last-modified")
    changed_at = http_date(last_modified) if last_modified is not None else None
    if changed_at is None:
        return Identity(total, etag, weak)
    sent_at = http_date(_one(fields, "date") or "")
    is_strong = sent_at is not None and sent_at - changed_at >= STRONG_AFTER
    return Identity(total, etag, weak, last_modified, is_strong)


def changed(pinned: Identity, seen: Identity) -> str | None:
    """Return how `seen` differs from what the file was pinned by, in a sentence; None when nothing says so.

    A date is not asked when strong tags agree: the nodes of a mirror often hold equal bytes of different age.
    """
    if pinned.size is not None and seen.size is not None and pinned.size != seen.size:
        return f"the size was {pinned.size} and is {seen.size}"
    if pinned.etag is not None and seen.etag is not None:
        return None if pinned.etag == seen.etag else f"ETag was {pinned.etag} and is {seen.etag}"
    old, new = pinned.etag or pinned.weak, seen.etag or seen.weak
    if old is not None and new is not None and old != new:
        return f"ETag was {_spelled(pinned)} and is {_spelled(seen)}"
    before, after = pinned.last_modified, seen.last_modified
    if before is not None and after is not None and http_date(before) != http_date(after):
        return f"Last-Modified was {before} and is {after}"
    return None


def is_same(pinned: Identity, seen: Identity) -> bool:
    """Return whether two places say that they have the same version: by the same strong tag, or the same date.

    RFC 9110 8.8.3 compares tags of one resource only; equal ones of two are made of the same size and date, or of the
    bytes. Mirrors keep dates, and what copies files to them goes by size and date itself (rsync).
    """
    if changed(pinned, seen) is not None or pinned.size is None or pinned.size != seen.size:
        return False
    if pinned.etag is not None and pinned.etag == seen.etag:
        return True
    return pinned.last_modified is not None and seen.last_modified is not None


def _spelled(identity: Identity) -> str:
    return identity.etag or f"W/{identity.weak}"


def _one(fields: Fields, name: str) -> str | None:
    try:
        return fields.one(name)
    except FieldTwice:  # two different validators identify nothing
        return None
