"""Where the frames of a zstd body end (RFC 8878 3.1), without decompressing it.

The library reads a body that is cut off without a word, and decodes any window it is asked to. So the frame and block
headers are walked first: they tell whether the body is whole, what follows it, and whether its window is within bounds.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_WINDOW_BYTES = 8 * 1024 * 1024  # RFC 9659: the window of the zstd content coding is at most 8 MB

_MAGIC = b"\x28\xb5\x2f\xfd"
_ID_BYTES = (0, 1, 2, 4)
_RLE, _RESERVED = 1, 3


class Frames(NamedTuple):
    """What the headers say."""

    end: int
    """Offset behind the last frame, or of the end of the data when it is cut off."""
    is_whole: bool
    trailing_bytes: int = 0
    error: str = ""


def walk(data: bytes) -> Frames:
    """Follow the frames of `data` from the first to the last."""
    at = frames = 0
    while at < len(data):
        magic = data[at : at + 4]
        if magic == _MAGIC:
            end, error = _skip_frame(data, at)
        elif len(magic) == 4 and magic[1:] == b"\x2a\x4d\x18" and 0x50 <= magic[0] <= 0x5F:  # skippable, 3.1.2
            size = data[at + 4 : at + 8]
            end = at + 8 + int.from_bytes(size, "little") if len(size) == 4 else None
            error = ""
        elif _MAGIC.startswith(magic):
            end, error = None, ""
        elif frames:
            return Frames(at, is_whole=True, trailing_bytes=len(data) - at)
        else:
            return Frames(0, is_whole=False, error="no zstd frame")
        if error:
            return Frames(at, is_whole=False, error=error)
        if end is None or end > len(data):
            return Frames(len(data), is_whole=False)
        at = end
        frames += 1
    return Frames(at, is_whole=frames > 0)


def _skip_frame(data: bytes, at: int) -> tuple[int | None, str]:
    """Return the offset behind the frame at `at`, None when the data ends before it, and what is wrong with it."""
    if at + 6 > len(data):
        return None, ""
    descriptor = data[at + 4]
    single_segment = descriptor >> 5 & 1
    id_bytes = _ID_BYTES[descriptor & 3]
    size_bytes = (single_segment, 2, 4, 8)[descriptor >> 6]
    position = at + 5
    window = 0
    if not single_segment:
        exponent, mantissa = data[position] >> 3, data[position] & 7
        window = (1 << 10 + exponent) * (8 + mantissa) // 8
        position += 1
    if any(data[position : position + id_bytes]):
        return None, "it needs a dictionary"
    position += id_bytes
    content = data[position : position + size_bytes]
    if len(content) < size_bytes:
        return None, ""
    if single_segment:
        window = int.from_bytes(content, "little") + (256 if size_bytes == 2 else 0)
    if window > MAX_WINDOW_BYTES:
        return None, f"a window of {window} bytes, at most {MAX_WINDOW_BYTES} are allowed"
    return _skip_blocks(data, position + size_bytes, checksum_bytes=4 * (descriptor >> 2 & 1))


def _skip_blocks(data: bytes, at: int, checksum_bytes: int) -> tuple[int | None, str]:
    is_last = False
    while not is_last:
        if at + 3 > len(data):
            return None, ""
        header = int.from_bytes(data[at : at + 3], "little")  # RFC 8878 3.1.1.2
        is_last = bool(header & 1)
        kind = header >> 1 & 3
        if kind == _RESERVED:
            return None, "a block of reserved type"
        at += 3 + (1 if kind == _RLE else header >> 3)
    return at + checksum_bytes, ""
