"""What one task may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one task; None for none.

    `deadline`: seconds from the moment a worker starts on it (receiving it included) until it is killed.
    `memory`: bytes of resident size above which its worker is killed; None for the pool's own limit.
    """

    deadline: float | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.deadline is not None and not self.deadline > 0:
            raise ValueError(f"deadline: expected seconds > 0, got {self.deadline!r}")
        if self.memory is not None and self.memory <= 0:
            raise ValueError(f"memory_limit: expected bytes > 0, got {self.memory!r}")


UNLIMITED = Limits()
