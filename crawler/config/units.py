"""Sizes and times as people write them: "16MiB", "500ms".

A size becomes whole bytes, a time becomes seconds. Decimal and binary prefixes mean what IEC 80000-13 says (1 kB is
1000 B, 1 KiB is 1024 B); a bare "16M" is refused because half of its readers take it for the other one.
"""

from __future__ import annotations

import re
from math import isfinite

MAX_SIZE = 2**63 - 1  # what SQLite keeps in an INTEGER
MAX_SECONDS = 3650 * 86400.0  # ten years: beyond it a timer is a typing error, and event loops count milliseconds

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {
    "b": 1,
    "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4,
    "kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4,
}  # fmt: skip
_BYTES_SHOWN = [  # of two equally short spellings the earlier one is shown
    ("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024),
    ("TB", 1000**4), ("GB", 1000**3), ("MB", 1000**2), ("kB", 1000),
]  # fmt: skip

# Compiled on first use, and kept by `re`: reading a config is part of every start.
NUMBER = r"\d{1,19}(?:\.\d{1,9})?"
TIME_PATTERN = rf"^({NUMBER}) ?(ms|s|m|h|d)$"
SIZE_PATTERN = rf"^({NUMBER}) ?([KkMmGgTt][Ii]?[Bb]|[Bb])$"


def parse_time(text: str) -> float:
    """Return the seconds that `text` says, e.g. 0.5 for "500ms"; raise ValueError for none or more than ten years."""
    match = re.fullmatch(TIME_PATTERN, text, re.ASCII)
    if match is None:
        raise ValueError(text)
    number, unit = match.groups()
    seconds = float(number) / 1000 if unit == "ms" else float(number) * _SECONDS[unit]
    return checked_seconds(seconds)


def checked_seconds(seconds: float) -> float:
    """Return `seconds` as a float; raise ValueError for NaN, a negative number or more than ten years."""
    if not isfinite(seconds) or not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(seconds)
    return float(seconds)


def format_time(seconds: float) -> str:
    """Return a short exact spelling: `parse_time(format_time(x)) == x` for times in whole nanoseconds."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    if seconds == 0:
        return "0s"
    milliseconds = round(seconds * 1000)
    if milliseconds and milliseconds / 1000 == seconds:
        return f"{milliseconds}ms"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def parse_size(text: str) -> int:
    """Return the bytes that `text` says, e.g. 1536 for "1.5KiB"; raise ValueError for none or part of a byte."""
    match = re.fullmatch(SIZE_PATTERN, text, re.ASCII)
    if match is None:
        raise ValueError(text)
    number, unit = match.groups()
    whole, _, fraction = number.partition(".")
    scale = 10 ** len(fraction)
    size, rest = divmod(int(whole + fraction) * _BYTES[unit.lower()], scale)
    if rest:
        raise ValueError(text)
    return checked_size(size)


def checked_size(size: float) -> int:
    """Return `size` as an int; raise ValueError for a negative number, part of a byte or more than SQLite can hold."""
    whole = int(size)
    if whole != size or not 0 <= whole <= MAX_SIZE:
        raise ValueError(size)
    return whole


def format_size(size: int) -> str:
    """Return the shortest exact spelling: `parse_size(format_size(x)) == x`."""
    exact = [f"{size // length}{unit}" for unit, length in _BYTES_SHOWN if size >= length and size % length == 0]
    return min((*exact, f"{size}B"), key=len)
