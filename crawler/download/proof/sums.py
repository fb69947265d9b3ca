"""Checksum files: which digest does `SHA256SUMS` or `file.iso.sha256` give for a file?

Read are the lines of GNU coreutils (`HEX  name`, `HEX *name`, with a backslash in front where the name is escaped), of
the BSDs and OpenSSL (`SHA256 (name) = HEX`, `SHA2-256(name)= HEX`), a bare digest alone in its file, and all of these
within an OpenPGP cleartext signature (RFC 9580 7), of which only what is signed counts. Signatures are not checked.

Names in such a file are compared, never opened, so a hostile one does no harm. A file that gives two digests of one
algorithm for the same name says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from crawler.download.proof.digests import ALGORITHMS, Digest, by_length, canonical, decode

MAX_BYTES = 10 * 2**20
"""What of a checksum file is read: the rest is ignored. That is 100,000 names."""

MAX_BARE_BYTES = 16 * 1024
"""A file that is longer has more in it than one bare digest, signed or not."""


class Entry(NamedTuple):
    """One line: a digest and the name it is for; no name for a bare digest or one of standard input."""

    name: str | None
    digest: Digest


_GNU = re.compile(r"(\\?)([0-9a-fA-F]{32,128})(?: [ *](?=\S)|[ \t]+\*?)(\S.*)")
_BSD = re.compile(r"(\\?)([A-Za-z][A-Za-z0-9-]*) ?\((.+)\) ?= ?([A-Za-z0-9+/]+={0,2})")
_BARE = re.compile(r"\\?([0-9a-fA-F]{32,128})")
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_UNESCAPED = {"n": "\n", "r": "\r", "\\": "\\"}
_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_KIND = re.compile(r"(sha3?-?\d{1,3}(?:-\d{3})?|md5|b2|b3|blake2b|blake3)(?:sums?)?(?:\.(?:txt|asc))?$", re.IGNORECASE)
_SHORT_KINDS = {"b2": "blake2b", "b3": "blake3"}


def kind_of(url: str) -> str | None:
    """Return the algorithm that the name of a checksum file tells: `x.iso.sha256`, `SHA512SUMS`, `b2sums.txt`.

    None when it tells none.
    """
    name = url.partition("#")[0].partition("?")[0].rpartition("/")[2]
    match = _KIND.search(name)
    if match is None:
        return None
    word = match[1].lower()
    return _SHORT_KINDS.get(word) or canonical(word)


def entries(text: str | bytes, kind: str | None = None) -> list[Entry]:
    """Return every line that gives a digest; `kind` is the algorithm the file's name tells. Never raises."""
    return list(_entries(_lines(text), kind))


def find(text: str | bytes, name: str, kind: str | None = None) -> list[Digest]:
    """Return the digests for a file: at most one of each algorithm, the strongest first. Never raises.

    `name` is the file's path as seen from the checksum file, or its name. A line is for it when one of both paths ends
    with the other; the line that agrees in most of the path wins. A bare digest counts when it is all there is.
    """
    wanted = _components(name)
    if not wanted:
        return []
    best = 0
    found: list[Digest] = []
    likely = (line for line in _lines(text) if wanted[-1] in line or line.startswith("\\"))
    for entry in _entries(likely, kind):
        depth = _agreement(_components(entry.name or ""), wanted)
        if depth > best:
            best, found = depth, []
        if depth == best > 0:
            found.append(entry.digest)
    if not found and len(text) <= MAX_BARE_BYTES:
        found = _bare(entries(text, kind))
    return _without_contradictions(found)


def of_folder(text: str | bytes, kind: str | None = None) -> dict[str, list[Digest]]:
    """Return the digests of the files that lie beside a list, by their names; each as `find` gives them. Never raises.

    Names count as `sha256sum -c` takes them: one with a folder in it is that of another file, and a bare digest is
    nobody's.
    """
    listed: dict[str, list[Digest]] = {}
    for entry in entries(text, kind):
        parts = _components(entry.name or "")
        if len(parts) == 1:
            listed.setdefault(parts[0], []).append(entry.digest)
    return {name: _without_contradictions(found) for name, found in listed.items()}


def _bare(listed: list[Entry]) -> list[Digest]:
    """Return the digests of a file that names no other file."""
    return [entry.digest for entry in listed] if all(entry.name is None for entry in listed) else []


def _without_contradictions(found: list[Digest]) -> list[Digest]:
    by_algorithm: dict[str, set[Digest]] = {}
    for digest in found:
        by_algorithm.setdefault(digest.algorithm, set()).add(digest)
    return [digest for name in ALGORITHMS if len(same := by_algorithm.get(name, set())) == 1 for digest in same]


def _agreement(entry: list[str], wanted: list[str]) -> int:
    """Return how many components two paths share from their end; 0 when neither path ends with the other."""
    shared = min(len(entry), len(wanted))
    return shared if shared and entry[-shared:] == wanted[-shared:] else 0


def _components(name: str) -> list[str]:
    """Split a path at slashes of both kinds; `.` and empty components say nothing."""
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]


def _lines(text: str | bytes) -> Iterator[str]:
    """Yield the lines without their ends; of a signed text only what is signed."""
    is_cut = len(text) > MAX_BYTES
    if isinstance(text, bytes):
        text = text[:MAX_BYTES]
        encoding = "utf-16" if text[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = text.decode(encoding, "replace")
    text = text[:MAX_BYTES]
    if is_cut:
        text = text.rpartition("\n")[0]  # half a name is another name
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return _signed(lines) if _SIGNED in text else lines


def _signed(lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines of cleartext-signed messages, dashes unescaped (RFC 9580 7.1, 7.2)."""
    for line in lines:
        if line.rstrip() != _SIGNED:
            continue
        for header in lines:
            if not header.strip():
                break
        for signed in lines:
            if signed.rstrip() == _SIGNATURE:
                break
            yield signed.removeprefix("- ")


def _entries(lines: Iterator[str], kind: str | None) -> Iterator[Entry]:
    for line in lines:
        entry = _entry(line, kind)
        if entry is not None:
            yield entry


def _entry(line: str, kind: str | None) -> Entry | None:
    if match := _GNU.fullmatch(line):
        return _named(match[3], match[1], _by_kind(match[2], kind))
    if match := _BSD.fullmatch(line):
        return _named(match[3], match[1], decode(match[2], match[4]))
    if match := _BARE.fullmatch(line.strip()):
        return _named("-", "", _by_kind(match[1], kind))
    return None


def _by_kind(text: str, kind: str | None) -> Digest | None:
    return (decode(kind, text) if kind is not None else None) or by_length(text)


def _named(name: str, escaped: str, digest: Digest | None) -> Entry | None:
    if digest is None:
        return None
    if escaped:
        codes = _ESCAPE.findall(name)
        if any(code not in _UNESCAPED for code in codes):
            return None
        name = _ESCAPE.sub(lambda match: _UNESCAPED[match[1]], name)
    return Entry(None if name == "-" else name, digest)
