"""Bodies whose every byte is known without holding them: position-coded, non-periodic, any size, many versions.

A body is made of blocks of 4 KiB. Each begins with a stamp of its key and its number, so no two blocks of any two
bodies are equal; the rest is a window of a table of pseudo-random bytes, at a place that a hash of key and number
chooses. So bytes that are shifted, repeated, swapped or of another version differ from the right ones in nearly every
byte, and for certain within 4,112 bytes. A read costs about as much as copying memory, wherever it starts: 5 GiB need
no more room than 5 bytes.

Nothing here touches a network or a clock.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

BLOCK_BYTES = 4096
_TABLE_BITS = 20
_STAMP = struct.Struct(">QQ")
_WINDOW_BYTES = BLOCK_BYTES - _STAMP.size
_READ_BYTES = 1024 * 1024
_MASK = (1 << 64) - 1


class Source(Protocol):
    """Bytes that can be read at any offset."""

    @property
    def size(self) -> int:
        """Bytes in total."""

    def read(self, first: int, end: int) -> bytes:
        """Return the bytes from `first` up to, and without, `end`; those beyond the size are absent."""

    def __hash__(self) -> int:
        """Sources are values."""


@cache
def _table() -> bytes:
    return hashlib.shake_128(b"position-coded bodies").digest((1 << _TABLE_BITS) + _WINDOW_BYTES)


def _mix(value: int) -> int:
    """Scatter 64 bits (the finaliser of SplitMix64; Steele, Lea and Flood, 2014)."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Body(NamedTuple):
    """The bytes of one version of one file."""

    size: int
    version: str = "A"

    @property
    def key(self) -> int:
        """What tells the bytes of this version from those of others; the size plays no part, so A grown begins as A."""
        return int.from_bytes(hashlib.sha256(self.version.encode()).digest()[:8], "big")

    def read(self, first: int, end: int) -> bytes:
        """Return the bytes from `first` up to, and without, `end`; those beyond the size are absent."""
        end = min(end, self.size)
        if first >= end:
            return b""
        table, key, shift = _table(), self.key, 64 - _TABLE_BITS
        parts: list[bytes] = []
        for number in range(first // BLOCK_BYTES, (end - 1) // BLOCK_BYTES + 1):
            mixed = _mix((key + number) & _MASK)  # one to one: no two numbers have the same
            at = mixed >> shift
            parts += (_STAMP.pack(key, mixed), table[at : at + _WINDOW_BYTES])
        start = first % BLOCK_BYTES
        return b"".join(parts)[start : start + end - first]


class Patched(NamedTuple):
    """Another source with some of its bytes replaced: a flipped bit, a block of zeros, a block that moved."""

    source: Source
    patches: tuple[tuple[int, bytes], ...]
    """(offset, bytes that stand there instead); a later one wins."""

    @property
    def size(self) -> int:
        """Bytes in total."""
        return self.source.size

    def read(self, first: int, end: int) -> bytes:
        """Return the bytes from `first` up to, and without, `end`."""
        data = bytearray(self.source.read(first, end))
        for offset, patch in self.patches:
            low, high = max(first, offset), min(first + len(data), offset + len(patch))
            if low < high:
                data[low - first : high - first] = patch[low - offset : high - offset]
        return bytes(data)


class Shifted(NamedTuple):
    """Another source, read `by` bytes too late: what a server sends that counts wrongly."""

    source: Source
    by: int

    @property
    def size(self) -> int:
        """Bytes in total."""
        return self.source.size

    def read(self, first: int, end: int) -> bytes:
        """Return the bytes from `first` up to, and without, `end`; beyond the end it starts again at the beginning."""
        wanted = end - first
        data = self.source.read(first + self.by, end + self.by)
        return data + self.source.read(0, wanted - len(data))


class Literal(NamedTuple):
    """Bytes that are held."""

    data: bytes

    @property
    def size(self) -> int:
        """Bytes in total."""
        return len(self.data)

    def read(self, first: int, end: int) -> bytes:
        """Return the bytes from `first` up to, and without, `end`."""
        return self.data[first:end]


def flipped(source: Source, offset: int) -> Patched:
    """Return a source with the lowest bit of one byte flipped."""
    (byte,) = source.read(offset, offset + 1)
    return Patched(source, ((offset, bytes([byte ^ 1])),))


def swapped(source: Source, one: int, other: int, length: int) -> Patched:
    """Return a source in which two stretches of `length` bytes have changed places."""
    return Patched(source, ((one, source.read(other, other + length)), (other, source.read(one, one + length))))


def doubled(source: Source, offset: int, length: int) -> Patched:
    """Return a source of the same size in which a stretch of `length` bytes stands twice, over what followed it."""
    return Patched(source, ((offset + length, source.read(offset, offset + length)),))


def zeroed(source: Source, offset: int, length: int) -> Patched:
    """Return a source in which `length` bytes are zero: a hole that was never written."""
    return Patched(source, ((offset, bytes(length)),))


def chunks(source: Source, first: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of a source in pieces of 1 MiB."""
    stop = source.size if end is None else end
    for at in range(first, stop, _READ_BYTES):
        yield source.read(at, min(at + _READ_BYTES, stop))


@lru_cache(maxsize=1024)
def digest(source: Source, algorithm: str = "sha256") -> str:
    """Return the hex digest of all bytes, by a name that hashlib knows. Remembered: sources are values."""
    state = hashlib.new(algorithm, usedforsecurity=False)
    for data in chunks(source):
        state.update(data)
    return state.hexdigest()


class Damage(NamedTuple):
    """A stretch of a file that is not as it should be, from `first` up to, and without, `end`."""

    first: int
    end: int


def damage(path: Path, source: Source) -> list[Damage]:
    """Return where a file differs from a source, to the byte at both ends of each stretch of blocks; empty if nowhere.

    A file that is too short or too long differs from there to the longer end. Raises OSError when it cannot be read.
    """
    found: list[Damage] = []
    with path.open("rb") as file:
        at = 0
        while True:
            have = file.read(BLOCK_BYTES)
            want = source.read(at, at + BLOCK_BYTES)
            if not have and not want:
                return found
            longest = max(len(have), len(want))
            if have != want:
                bad = [i for i in range(longest) if have[i : i + 1] != want[i : i + 1]]
                first, end = at + bad[0], at + bad[-1] + 1
                if found and found[-1].end == at and first == at:
                    found[-1] = Damage(found[-1].first, end)
                else:
                    found.append(Damage(first, end))
            at += longest
