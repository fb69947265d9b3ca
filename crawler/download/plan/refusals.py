"""What hosts were seen to refuse (429, 503, a reset above K connections), kept for their other files, and forgiven.

A host that refuses the K+1st connection gets at most K. After a pause one more is allowed, and another after each
further pause; when that is refused as well the pause doubles. Where as many are allowed as anybody wants, nothing is
left to remember.
"""

from __future__ import annotations

from copy import copy
from math import inf
from typing import Final

FORGIVE: Final = 30.0  # seconds before one connection more is allowed after a refusal
LAST_PAUSE: Final = 300.0  # seconds; the pause doubles up to this
MAX_HOSTS: Final = 4096  # remembered; of more, those that refused last


class Refusal:
    """What one host was seen to refuse."""

    __slots__ = ("_forgive_at", "_is_tried", "_pause", "above")

    def __init__(self) -> None:
        self.above: int | None = None
        """It refused more connections than this; None when it never did, or all is forgiven."""
        self._pause = FORGIVE
        self._forgive_at = inf
        self._is_tried = False  # one connection more was allowed since the last refusal

    def refused(self, others: int, now: float) -> None:
        """Note that the host refused a connection beside `others`. Of several at once, the least counts."""
        known = max(1, others)
        self.above = known if self.above is None else min(self.above, known)
        if self._is_tried:
            self._is_tried = False
            self._pause = min(2 * self._pause, LAST_PAUSE)
        self._forgive_at = now + self._pause

    def forgive(self, limit: int, now: float) -> bool:
        """Allow one connection more for each pause that went by; return whether any did. `limit`: all anybody wants."""
        if now < self._forgive_at:
            return False
        assert self.above is not None, "only a refusal is forgiven"
        pauses = 1 + int((now - self._forgive_at) // self._pause)
        self.above += pauses
        self._forgive_at += pauses * self._pause
        self._is_tried = True
        if self.above >= limit:
            self.above, self._forgive_at = None, inf
        return True


class Refusals:
    """What all hosts of a downloader were seen to refuse, over all of its files. Never more than MAX_HOSTS."""

    def __init__(self, limit: int) -> None:
        """`limit`: the most connections that are ever opened to one host."""
        self._limit = limit
        self._hosts: dict[str, Refusal] = {}
        """The one that refused last is the last."""

    def __len__(self) -> int:
        return len(self._hosts)

    def refused(self, host: str, others: int, now: float) -> None:
        """Note that a host refused a connection beside `others`, whosever these were."""
        refusal = self._find(host, now) or Refusal()
        refusal.refused(others, now)
        self._hosts.pop(host, None)
        self._hosts[host] = refusal
        if len(self._hosts) > MAX_HOSTS:
            del self._hosts[next(iter(self._hosts))]

    def above(self, host: str, now: float) -> int | None:
        """Return how many connections a host may have; None when it refused none."""
        refusal = self._find(host, now)
        return None if refusal is None else refusal.above

    def of(self, host: str, now: float) -> Refusal:
        """Return what is known of a host for a file to begin with: a copy, which goes its own way."""
        return copy(self._find(host, now) or Refusal())

    def _find(self, host: str, now: float) -> Refusal | None:
        """Return what is not forgiven of a host."""
        refusal = self._hosts.get(host)
        if refusal is not None and refusal.forgive(self._limit, now) and refusal.above is None:
            del self._hosts[host]
            return None
        return refusal
