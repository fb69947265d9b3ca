"""What is known of a finished file: where it came from, what it hashes to, who said so, and each piece's checksum.

A receipt is one JSON file. It speaks of a file that has its name: it takes its own place only after the file did
(`crawler.download.disk.finish`). Values are plain, so that a receipt can be read without this program.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from crawler.download.disk.disk import DISK, Disk
from crawler.download.disk.journal import Plain
from crawler.download.proof.checksum import CHECKSUM

FORMAT = "crawlmill receipt"
VERSION = 1
MAX_RECEIPT_BYTES = 256 << 20

RANKS: Mapping[str, int] = {"configured": 3, "same_origin": 2, "other_origin": 1}
"""How much each trust is worth: `Trust` by name, in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One finished file. Times are UTC in ISO 8601; digests are hexadecimal."""

    url: str
    """As it was asked for."""
    path: str
    """Relative to the root, with slashes."""
    size: int
    digests: Mapping[str, str]
    """What was computed: algorithm to value. At least one, or `verify` has only the pieces to go by."""
    status: str = "unverified"
    """`verified` or `unverified`."""
    verified_by: Mapping[str, str] | None = None
    """The claim that decided: `algorithm`, `value`, `source`, `trust`."""
    claims: tuple[Mapping[str, str], ...] = ()
    """All claims that were found, in the same form."""
    final_url: str = ""
    """After redirects; empty if there were none."""
    mirrors: tuple[str, ...] = ()
    """Where bytes came from besides."""
    places: tuple[str, ...] = ()
    """Other URLs of the file, as whoever asked for it named them: a repair asks there as well."""
    identity: Mapping[str, Plain] = field(default_factory=dict)
    """`Identity._asdict()` of what was fetched."""
    checksum: str = CHECKSUM
    """What those of the pieces are."""
    pieces: tuple[tuple[int, int, int], ...] = ()
    """(first, end, checksum), by position, half-open."""
    finished: str = ""
    seconds: float = 0.0
    segments: int = 1
    retries: int = 0
    fetched_bytes: int = 0
    resumed_bytes: int = 0
    mtime_ns: int = 0
    """The file's own, when it got its name; `finish` sets it."""
    inode: int = 0
    """As `mtime_ns`. Of use only while the file gets its name: a copy of the folder has others."""

    @property
    def rank(self) -> int:
        """How well it is verified: 0 not at all, up to 3 by a digest that was configured."""
        if self.status != "verified":
            return 0
        return RANKS.get((self.verified_by or {}).get("trust", ""), 1)


def encode(receipt: Receipt) -> bytes:
    """Return a receipt as JSON."""
    values = {each.name: getattr(receipt, each.name) for each in fields(receipt)}
    found: dict[str, Any] = {"format": FORMAT, "version": VERSION, **values}
    pieces = found.pop("pieces")
    try:
        head = orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # a name or a field of bytes that are no UTF-8
        head = json.dumps(found, indent=2, ensure_ascii=False)
    rows = ",\n".join("    " + json.dumps(list(piece), separators=(",", ":")) for piece in pieces)
    return f'{head[:-2]},\n  "pieces": [{chr(10) if rows else ""}{rows}]\n}}\n'.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> Receipt | str:
    """Return a receipt, or why the bytes are none; never raises."""
    try:
        found: Any = json.loads(data.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return "it is no JSON"
    if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
        return "it is no receipt"
    if (version := found.pop("version", None)) != VERSION:
        return f"its version {str(version)[:20]} is not {VERSION}"
    known = {each.name for each in fields(Receipt)}
    values = {name: value for name, value in found.items() if name in known}
    trouble = _trouble(values)
    if trouble:
        return trouble
    values["pieces"] = tuple(tuple(piece) for piece in values.get("pieces", ()))
    values["claims"] = tuple(values.get("claims", ()))
    values["mirrors"] = tuple(values.get("mirrors", ()))
    values["places"] = tuple(values.get("places", ()))
    return Receipt(**values)


def load(path: Path, disk: Disk = DISK) -> Receipt | str | None:
    """Return a receipt from disk, why it is none, or None when there is no file. Raises OSError."""
    if disk.lstat(path) is None:
        return None
    data = disk.read_all(path, MAX_RECEIPT_BYTES)
    return "it is no file, or far too large" if data is None else decode(data)


def store(receipt: Receipt, path: Path, scrap: Path, disk: Disk = DISK) -> None:
    """Put a receipt in the place of another one, by way of `scrap`: one of the two is there at any instant.

    Raises OSError; then the old one stays.
    """
    try:
        fd = disk.open(scrap, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            disk.write_all(fd, encode(receipt), 0)
            disk.fsync(fd)
        finally:
            disk.close(fd)
        disk.rename(scrap, path)
    except BaseException:
        disk.unlink(scrap)
        raise


_TEXTS = ("url", "path", "status", "final_url", "checksum", "finished")
_COUNTS = ("size", "segments", "retries", "fetched_bytes", "resumed_bytes", "mtime_ns", "inode")


def _trouble(values: dict[str, Any]) -> str:
    """Return what is wrong with the values of a receipt; empty if nothing is."""
    for name in ("url", "path", "size", "digests"):
        if name not in values:
            return f"it has no {name}"
    checks = [(name, _is_text) for name in _TEXTS] + [(name, _is_count) for name in _COUNTS]
    checks += [("digests", _is_texts), ("identity", _is_mapping), ("pieces", _are_pieces), ("seconds", _is_number)]
    checks += [("claims", _are_claims), ("mirrors", _are_texts), ("places", _are_texts)]
    for name, is_right in checks:
        if name in values and not is_right(values[name]):
            return f"its {name} is not what belongs there"
    if values.get("verified_by") is not None and not _is_texts(values["verified_by"]):
        return "its verified_by is not what belongs there"
    at = 0
    for first, end, _ in values.get("pieces", ()):
        if not at <= first < end <= values["size"]:
            return f"a piece from {first} to {end}"
        at = end
    return ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _are_claims(value: Any) -> bool:
    return isinstance(value, list) and all(_is_texts(each) for each in value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _are_pieces(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(piece, list) and len(piece) == 3 and all(_is_count(each) for each in piece) for piece in value
    )
