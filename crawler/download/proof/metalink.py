"""Metalink: a file that says where files are and what they hash to. RFC 5854, the older version 3, and RFC 6249.

Read with expat, as a stranger's document: no DOCTYPE and so no entity, a bounded size and depth. A name that leads out
of the directory condemns the whole document (RFC 5854 4.2.8.3, 9): who writes one is not believed in the rest either.
What is merely wrong is left out and said in `problems`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from xml.parsers import expat

from crawler.download.names import UnsafeName, safe_relative
from crawler.download.proof.digests import Digest, decode, strength
from pipelines.url import canonicalize

MAX_BYTES = 10 * 2**20
MAX_DEPTH = 16  # version 3 needs seven
MAX_FILES = 10_000
MAX_URLS = 1_000  # of a file
LOWEST_PRIORITY = 999_999  # RFC 5854 4.2.16.1, and what a missing one means here

_NAMESPACES = ("urn:ietf:params:xml:ns:metalink", "http://www.metalinker.org/")


class MetalinkError(ValueError):
    """A document is no Metalink that we read. The message says why."""


class Mirror(NamedTuple):
    """One place of a file."""

    url: str
    priority: int = LOWEST_PRIORITY
    """1 is best."""
    location: str | None = None
    """The country, as ISO 3166-1 has it, in lower case."""
    is_preferred: bool = False
    """Whether it has the same entity tags as the server that names it (RFC 6249 3.4, `pref`)."""


class Pieces(NamedTuple):
    """Digests of the pieces of a file, in order; the last piece may be shorter."""

    length: int
    """Bytes of a piece."""
    digests: tuple[Digest, ...]


class MetalinkFile(NamedTuple):
    """One file of a Metalink."""

    name: str
    """A safe relative path."""
    size: int | None
    digests: tuple[Digest, ...]
    mirrors: tuple[Mirror, ...]
    """http and https only, the best first."""
    pieces: Pieces | None
    """Of the strongest algorithm; their number fits to `size` where that is known."""
    problems: tuple[str, ...] = ()
    """What was left out, and why."""


class Links(NamedTuple):
    """What RFC 6249 finds in the Link fields of an answer."""

    mirrors: tuple[Mirror, ...]
    """`rel=duplicate`, the best first."""
    metalinks: tuple[str, ...]
    """`rel=describedby` of a Metalink type."""


class _Building:
    """A file while its elements come."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size: int | None = None
        self.digests: list[Digest] = []
        self.mirrors: list[Mirror] = []
        self.pieces: Pieces | None = None
        self.problems: list[str] = []

    def problem(self, text: str) -> None:
        if len(self.problems) < 20:  # a document of ten million bytes could have a million
            self.problems.append(text)

    def built(self) -> MetalinkFile:
        pieces = self.pieces
        if pieces is not None and self.size is not None and len(pieces.digests) != -(-self.size // pieces.length):
            self.problem(f"{len(pieces.digests)} pieces of {pieces.length} bytes do not make {self.size} bytes")
            pieces = None
        mirrors = tuple(sorted(self.mirrors, key=lambda mirror: mirror.priority))
        digests = tuple(dict.fromkeys(self.digests))
        return MetalinkFile(self.name, self.size, digests, mirrors, pieces, tuple(self.problems))


class _Reader:
    """Takes what expat reports and builds files."""

    def __init__(self, base: str | None) -> None:
        self.files: list[MetalinkFile] = []
        self._base = base
        self._path: list[str] = []
        self._attributes: list[dict[str, str]] = []
        self._text: list[str] = []
        self._file: _Building | None = None
        self._hashes: dict[int, str] = {}

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        local = _local(name)
        if len(self._path) >= MAX_DEPTH:
            raise MetalinkError(f"elements are nested deeper than {MAX_DEPTH}")
        if not self._path and local != "metalink":
            raise MetalinkError(f"the document is no Metalink but {name[:80]!r}")
        self._path.append(local)
        self._attributes.append(attributes)
        self._text.clear()
        if local == "file" and self._path[-2:-1] in (["files"], ["metalink"]) and self._file is None:
            if len(self.files) >= MAX_FILES:
                raise MetalinkError(f"more than {MAX_FILES:,} files")
            self._file = _Building(_file_name(attributes.get("name", "")))
        elif local == "pieces":
            self._hashes = {}

    def text(self, text: str) -> None:
        self._text.append(text)

    def end(self, _: str) -> None:
        local, attributes = self._path.pop(), self._attributes.pop()
        text = "".join(self._text).strip()
        self._text.clear()
        file = self._file
        if file is None:
            return
        match self._path[-1], local:
            case "files" | "metalink", "file":
                self.files.append(file.built())
                self._file = None
            case "file", "size":
                file.size = _size(file, text)
            case "pieces", "hash":
                index = attributes.get("piece", "")  # version 3 numbers them
                self._hashes[int(index) if _is_small(index) else len(self._hashes)] = text
            case "file" | "verification", "hash":
                self._hash(file, attributes.get("type", ""), text)
            case "file" | "verification", "pieces":
                file.pieces = self._pieces(file, attributes)
            case "file" | "resources", "url":
                self._url(file, attributes, text)
            case _:
                pass  # what we do not need: among them the url of a publisher

    def _hash(self, file: _Building, algorithm: str, text: str) -> None:
        digest = decode(algorithm, text)
        if digest is not None:
            file.digests.append(digest)
        else:
            file.problem(f"hash of type {algorithm[:40]!r}: unknown, or not of its length")

    def _pieces(self, file: _Building, attributes: dict[str, str]) -> Pieces | None:
        hashes, self._hashes = self._hashes, {}
        length, algorithm = attributes.get("length", ""), attributes.get("type", "")
        digests = tuple(digest for _, text in sorted(hashes.items()) if (digest := decode(algorithm, text)) is not None)
        if (
            not _is_small(length)
            or int(length) == 0
            or len(digests) != len(hashes)
            or set(hashes) != {*range(len(hashes))}
        ):
            file.problem(f"pieces of type {algorithm[:40]!r} and length {length[:20]!r}: not to be used")
            return file.pieces
        if not digests or (
            file.pieces is not None and strength(file.pieces.digests[0].algorithm) >= strength(digests[0].algorithm)
        ):
            return file.pieces
        return Pieces(int(length), digests)

    def _url(self, file: _Building, attributes: dict[str, str], text: str) -> None:
        url = canonicalize(text, self._base)
        if url is None or attributes.get("type", "http") not in ("http", "https"):  # version 3 has "bittorrent" as well
            file.problem(f"url {text[:80]!r}: not http or https")
        elif len(file.mirrors) >= MAX_URLS:
            file.problem(f"more than {MAX_URLS:,} urls")
        else:
            file.mirrors.append(Mirror(url, _priority(attributes), attributes.get("location", "").lower()[:8] or None))


def parse(data: bytes, base: str | None = None) -> list[MetalinkFile]:
    """Return the files of a Metalink document, of version 4 or 3; relative URLs are resolved against `base`.

    Raises `MetalinkError`.
    """
    if len(data) > MAX_BYTES:
        raise MetalinkError(f"longer than {MAX_BYTES:,} bytes")
    reader = _Reader(base)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as exc:
        raise MetalinkError(f"no well-formed XML: {exc}") from exc
    except (ValueError, LookupError) as exc:  # an encoding that is declared and cannot be used
        raise exc if isinstance(exc, MetalinkError) else MetalinkError(f"unreadable: {exc}") from exc
    return reader.files


def _refuse_doctype(*_: object) -> None:
    raise MetalinkError("a DOCTYPE: a Metalink has none, and entities are refused")


def _local(name: str) -> str:
    """Return the local name of an element of Metalink; empty for one of another namespace."""
    namespace, _, local = name.rpartition(" ")
    return local if namespace in ("", *_NAMESPACES) else ""


def _file_name(name: str) -> str:
    try:
        return str(safe_relative(name))
    except UnsafeName as exc:
        raise MetalinkError(f"file name {exc}") from exc


def _is_small(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _size(file: _Building, text: str) -> int | None:
    if _is_small(text):
        return int(text)
    file.problem(f"size {text[:40]!r}: no number of bytes")
    return None


def _priority(attributes: dict[str, str]) -> int:
    """Return the priority; version 3 has a preference instead, of which 100 is best."""
    if _is_small(priority := attributes.get("priority", "")):
        return min(max(int(priority), 1), LOWEST_PRIORITY)
    if _is_small(preference := attributes.get("preference", "")):
        return 101 - min(int(preference), 100)
    return LOWEST_PRIORITY


# -- RFC 6249: Metalink in header fields


_LINK = re.compile(
    r"""\s*<([^>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]*))?)*)\s*(?:,|$)"""
)
_LINK_PARAMETER = re.compile(r""";\s*([\w!#$&+.^`|~*-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*)))?""")
_METALINK_TYPES = ("application/metalink4+xml", "application/metalink+xml")


def links_of(lines: Sequence[tuple[str, str]], url: str) -> Links:
    """Return the mirrors and Metalinks that the Link fields (RFC 8288) of an answer for `url` name. Never raises."""
    mirrors: list[Mirror] = []
    metalinks: list[str] = []
    for target, parameters in _links(lines):
        resolved = canonicalize(target, url)
        relations = parameters.get("rel", "").lower().split()
        if resolved is None or len(mirrors) + len(metalinks) >= MAX_URLS:
            continue
        if "anchor" in parameters and canonicalize(parameters["anchor"], url) != canonicalize(url):
            continue  # it is told of something else (RFC 8288 3.2)
        if "duplicate" in relations:
            pri = parameters.get("pri", "")
            country = parameters.get("geo", "").lower()[:8] or None
            mirrors.append(Mirror(resolved, _priority({"priority": pri}), country, "pref" in parameters))
        elif "describedby" in relations and parameters.get("type", "").lower() in _METALINK_TYPES:
            metalinks.append(resolved)
    return Links(tuple(sorted(mirrors, key=lambda mirror: mirror.priority)), tuple(dict.fromkeys(metalinks)))


def _links(lines: Sequence[tuple[str, str]]) -> list[tuple[str, dict[str, str]]]:
    found = []
    for name, value in lines:
        at = 0
        while name == "link" and (match := _LINK.match(value, at)):
            parameters: dict[str, str] = {}
            for key, quoted, token in _LINK_PARAMETER.findall(match[2]):
                parameters.setdefault(key.lower(), quoted or token)
            found.append((match[1], parameters))
            at = match.end()
    return found
