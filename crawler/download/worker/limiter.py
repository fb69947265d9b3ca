"""A rate that is kept on average: whoever takes bytes pays for them afterwards, by waiting."""

from __future__ import annotations

from math import inf

BURST_SECONDS = 0.1
"""How much of an unused rate may be made up for."""


class Limiter:
    """How long to wait after each portion. No clock: `now` is in seconds."""

    def __init__(self, bytes_per_second: float = 0.0) -> None:
        """0: no limit."""
        self._rate = bytes_per_second
        self._paid = -inf

    def change(self, bytes_per_second: float, now: float) -> None:
        """Use another rate from now on; what is owed is owed at the new one."""
        owed = max(0.0, self._paid - now) * self._rate
        self._rate = bytes_per_second
        self._paid = now + (owed / bytes_per_second if bytes_per_second else 0.0)

    @property
    def is_unlimited(self) -> bool:
        """Whether nobody ever has to wait."""
        return not self._rate

    def take(self, size: int, now: float) -> float:
        """Return the seconds to wait after having taken `size` bytes."""
        if not self._rate:
            return 0.0
        self._paid = max(self._paid, now - BURST_SECONDS) + size / self._rate
        return max(0.0, self._paid - now)
