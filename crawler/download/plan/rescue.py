"""What an idle connection can do for an order that takes long: cut it so that both end together, or race it.

Both cost something. The victim of a cut has asked for more than it may write, so its connection is lost (HTTP/1.1 has
no way to end an answer early): a rescue has to save more than that. Little is not worth two requests: it is fetched
twice, and the first to have it wins.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

PAGE: Final = 4096  # bytes; cuts are made between pages
HEDGE: Final = 256 * 1024  # bytes; less than this is raced instead of cut
GAIN: Final = 0.05  # seconds that a rescue must save at least


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
