"""What one task may take."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Limits of one task; None for none."""

    deadline: float | None = None
    """Seconds from the moment a worker starts on it (receiving it included) until it is killed."""
    memory: int | None = None
    """Bytes of resident size above which its worker is killed."""

    def check(self) -> Limits:
        """Return these limits. Raises ValueError."""
        if self.deadline is not None and not self.deadline > 0:
            raise ValueError(f"deadline: expected seconds > 0, got {self.deadline!r}")
        if self.memory is not None and self.memory <= 0:
            raise ValueError(f"memory_limit: expected bytes > 0, got {self.memory!r}")
        return self
