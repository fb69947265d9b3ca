"""Which URL is a file, and where a file goes: decided on URL and media type alone.

A file is asked for by the downloads instead of the pages' fetches, through the same queue. A URL is one when it is
listed, when a pattern says so, or when it was found by a redirect from one: the place behind `/latest` is as much a
file as `/latest` is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Final
from unicodedata import normalize
from urllib.parse import unquote

import orjson

from crawler.frontier.host import REDIRECTS, URL, Row
from pipelines.stages.globs import path_matcher

MAX_NAME_BYTES: Final = 200  # of 255: the temporary name beside it is longer
MAX_PLACE_BYTES: Final = 1500  # what is longer goes into one folder whose name tells them apart
_UNSAFE: Final = frozenset('"*/:<>?\\|\ufffd')  # and whatever cannot be seen
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)", re.IGNORECASE)
_INDEX: Final = "index"
_DIGEST_CHARS: Final = 12


class Files:
    """Says which URLs are files. One instance a crawl."""

    def __init__(self, globs: Sequence[str] = (), types: Sequence[str] = (), listed: Collection[str] = ()) -> None:
        """`globs` as in `pipelines.stages.globs`; `types` are media types, `image/*` for all of a kind."""
        self._matches = path_matcher(globs)
        self._listed = frozenset(listed)
        self._types = frozenset(name for name in types if not name.endswith("/*"))
        self._kinds = frozenset(name[:-1] for name in types if name.endswith("/*"))

    def is_file(self, url: str) -> bool:
        """Tell whether this URL is a file by itself."""
        return url in self._listed or self._matches(url)

    def is_listed(self, url: str, redirects: Sequence[str] = ()) -> bool:
        """Tell whether somebody listed this file, by this URL or by one that redirected to it."""
        return url in self._listed or any(hop in self._listed for hop in redirects)

    def is_file_row(self, row: Row) -> bool:
        """Tell whether a pending URL is a file, by itself or by what redirected to it."""
        if self.is_file(row[URL]):
            return True
        return bool(row[REDIRECTS]) and any(self.is_file(hop) for hop in orjson.loads(row[REDIRECTS]))

    def is_file_type(self, content_type: str) -> bool:
        """Tell whether a response with this Content-Type is a file."""
        essence = content_type.partition(";")[0].strip().lower()
        return essence in self._types or essence[: essence.find("/") + 1] in self._kinds

    @property
    def has_types(self) -> bool:
        """Whether the head of a response may say that it is a file."""
        return bool(self._types or self._kinds)


def place_of(url: str) -> str:
    """Return the relative path under which the file of a canonical URL is kept: host, folders, name.

    The same URL has the same place in every run, and different URLs nearly always have different ones. No part of it
    is hidden, reserved, longer than 200 bytes, or leads anywhere else.
    """
    _, _, rest = url.partition("://")
    location, mark, query = rest.partition("?")
    host, *folders = location.split("/")
    name = folders.pop() if folders else ""
    name = _safe(name or _INDEX)
    if mark:
        name = _tagged(name, _short(query))
    top, *inner = [_safe(host.replace(":", "_")), *(_safe(folder) for folder in folders if folder)]
    place = "/".join([top, *inner, name])
    return place if len(place.encode()) <= MAX_PLACE_BYTES else f"{top}/{_short('/'.join(folders))}/{name}"


def _safe(part: str) -> str:
    """Return a part of a path as a name. What had to change, and what is too long, gets a tag of what it was."""
    plain = unquote(part, errors="replace")
    name = "".join(char if char.isprintable() and char not in _UNSAFE else "_" for char in normalize("NFC", plain))
    if name[0] in ". ":
        name = "_" + name[1:]
    if name[-1] in ". ":
        name = name[:-1] + "_"
    if _RESERVED.match(name):
        name = "_" + name
    if len(name.encode()) > MAX_NAME_BYTES:
        name = _cut(name)
    return name if name == plain else _tagged(name, _short(part))


def _tagged(name: str, tag: str) -> str:
    """Put a tag before the extension."""
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem or len(extension) > _DIGEST_CHARS:
        return f"{name}-{tag}"
    if stem.endswith(".tar"):
        stem, extension = stem[:-4], f"tar.{extension}"
    return f"{stem}-{tag}.{extension}"


def _cut(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    tail = f"{dot}{extension}" if stem and len(extension) <= _DIGEST_CHARS else ""
    head = (stem if tail else name).encode()[: MAX_NAME_BYTES - len(tail.encode()) - _DIGEST_CHARS - 1]
    return head.decode(errors="ignore") + tail


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_DIGEST_CHARS]
