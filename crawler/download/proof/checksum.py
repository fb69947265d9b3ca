"""The checksum of pieces: CRC-32C, for which processors have an instruction; CRC-32 where no compiled code has it.

Every byte of a download goes through it once more than through the hash, so it has to cost next to nothing: 26 GB/s
against the 3 of zlib's CRC-32, on the machine of docs/performance.md. It is there for accidents, on the disk and
between answers of one server. Against somebody who means it there are the digests.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import google_crc32c

Bytes = bytes | bytearray | memoryview
Checksum = Callable[[Bytes, int], int]

HAS_CRC32C = google_crc32c.implementation == "c"
"""Its fallback in Python does some 5 MB/s."""
CHECKSUM = "crc32c" if HAS_CRC32C else "crc32"
"""What journals and receipts are written with. They name it: one from another installation may have the other."""


def crc32c(data: Bytes, value: int = 0) -> int:
    """Return the CRC-32C of `data`, or go on from that of the bytes before."""
    found: int = google_crc32c.extend(value, data if isinstance(data, bytes) else bytes(data))  # no writable buffers
    return found


checksum: Checksum = crc32c if HAS_CRC32C else zlib.crc32
"""`checksum(data, value)`: that of a piece, by `CHECKSUM`; `value` is that of the bytes before, or 0."""


def named(name: str) -> Checksum | None:
    """Return what computes the checksum that a journal or receipt names; None when nothing here does."""
    if name == "crc32":
        return zlib.crc32
    return crc32c if name == "crc32c" and HAS_CRC32C else None
