"""The wire between parent and worker: length-prefixed frames that carry one pickled object each.

A frame is a fixed header, the lengths of its out-of-band buffers, the pickle (protocol 5, PEP 574) and the buffers::

    kind u8 | place u8 | - | buffers u32 | ident u64 | size u64 | run seconds f64 | peak RSS u64
    || length u64 per buffer || pickle || buffer || buffer …

A frame with a place has its body on the tray (see tray.py) and only its header here. The last two fields of the header
mean something in answers only.

Both ends are on one machine and run the same code, so native byte order and no version field. The worker imports this
module before anything else: it must stay free of heavy imports.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from pickle import PickleBuffer, Pickler, loads
from typing import Any, Protocol

HEADER = struct.Struct("=BBxxIQQdQ")
MAX_VECTORS = 512
"""Buffers per system call; IOV_MAX is 1,024 on Linux."""

Chunk = bytes | bytearray | memoryview


class Kind(IntEnum):
    """What a frame means."""

    READY = 1
    """worker: warm-up is over."""
    OFFER = 2
    """parent: run this, if its token can still be claimed."""
    VALUE = 3
    """worker: the task returned this."""
    FAILURE = 4
    """worker: the task raised; see remote.py."""
    SKIPPED = 5
    """worker: the offer had been withdrawn."""
    UNSTARTABLE = 6
    """worker: warm-up failed with this traceback; the process ends."""
    EXHAUSTED = 7
    """worker: the task raised MemoryError; otherwise like FAILURE. The worker wants to be replaced."""
    SETUP = 8
    """parent: the initializer, before the first offer."""
    LOG = 9
    """worker: a log record or a warning, as a dict; see logs.py."""
    HEAVY = 10
    """worker: between two tasks it is larger than it should be."""


class _Writer(Protocol):
    write: Callable[[Chunk], object]


class _Chunks:
    """The file a Pickler writes to: a list. `bytes` of 64 KiB and more arrive here as they are, uncopied."""

    __slots__ = ("write",)

    def __init__(self, chunks: list[Chunk]) -> None:
        self.write = chunks.append


def encode(value: object) -> tuple[list[Chunk], int]:
    """Return the body of a frame and its number of out-of-band buffers; raises whatever pickling raises.

    The chunks alias large `bytes` and buffers of `value`: do not change those before the frame has left.
    """
    chunks: list[Chunk] = []
    buffers: list[PickleBuffer] = []
    Pickler(_Chunks(chunks), 5, buffer_callback=buffers.append).dump(value)
    if not buffers:
        return chunks, 0
    views = [buffer.raw() for buffer in buffers]
    table = struct.pack(f"={len(views)}Q", *map(len, views))
    return [table, *chunks, *views], len(views)


def size_of(chunks: list[Chunk]) -> int:
    """Return the bytes of a body."""
    return sum(map(len, chunks))


def decode(body: memoryview, buffers: int, *, copy: bool) -> Any:
    """Return the object in a frame's body; `copy` its buffers because `body` will be overwritten."""
    if not buffers:
        return loads(body)  # noqa: S301 - from our own process, over a private socket
    lengths = struct.unpack_from(f"={buffers}Q", body)
    views: list[Chunk] = []
    end = len(body)
    for length in reversed(lengths):
        part = body[end - length : end]
        views.append(bytearray(part) if copy else part)
        end -= length
    views.reverse()
    return loads(body[8 * buffers : end], buffers=views)  # noqa: S301 - as above


def after(chunks: list[Chunk], sent: int) -> list[Chunk]:
    """Return what is left of `chunks` once `sent` bytes are gone."""
    if sent == size_of(chunks):  # mostly
        return []
    for index, chunk in enumerate(chunks):
        if sent < len(chunk):
            return [memoryview(chunk)[sent:], *chunks[index + 1 :]]
        sent -= len(chunk)
    return []
