"""What can be done for what takes long: an idle connection cuts an order so that both end together, or races it.

Both cost something. The victim of a cut has asked for more than it may write, so its connection is lost (HTTP/1.1 has
no way to end an answer early): a rescue has to save more than that. Little is not worth two requests: it is fetched
twice, and the first to have it wins.

A stream of the whole file has nobody beside it, and begins again at 0 wherever it is given up. Where it crawls although
other connections were fast, that is worth a few seconds.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

PAGE: Final = 4096  # bytes; cuts are made between pages
HEDGE: Final = 256 * 1024  # bytes; less than this is raced instead of cut
GAIN: Final = 0.05  # seconds that a rescue must save at least

SLOWER: Final = 16  # times slower than the best connection of the same file: this one is unlucky, not the line
WORTH: Final = 10.0  # seconds that a stream has to go on for, to be given up
LOOK: Final = 3.0  # seconds over which the rate of a stream is taken
MOST_STREAMS: Final = 2  # given up for one file; the next may be as slow as it likes


class Race(Enum):
    """Fetch all that is left a second time."""

    RACE = "race"


def cut_or_race(upto: int, end: int, rate: float, mine: float, latency: float) -> int | Race | None:
    """Return where to cut an order that has come to `upto` of `end`, or RACE; None when neither is worth it.

    `rate` is the order's, `mine` that of the idle connection, in bytes a second; `latency` is what a request costs
    before its first byte, in seconds. Both end together where (cut - upto) / rate = latency + (end - cut) / mine.
    """
    left = end - upto
    seconds = left / rate
    if left < HEDGE:
        return Race.RACE if seconds > 2 * (latency + left / mine) + GAIN else None
    share = int(mine * (left - latency * rate) / (mine + rate))
    cut = max(end - share, upto + 1)
    cut = -(-cut // PAGE) * PAGE
    if cut >= end:
        return None
    saved = seconds - max((cut - upto) / rate, latency + (end - cut) / mine)
    return cut if saved > max(GAIN, 2 * latency) else None


def is_unlucky(rate: float, best: float, left: int) -> bool:
    """Return whether a stream with `left` bytes to come is better asked for again, on another connection.

    `rate` is the stream's over the last seconds, `best` what a connection has reached for this file, in bytes a second.
    """
    return rate * SLOWER < best and left > rate * WORTH
