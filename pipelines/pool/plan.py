"""What a pool was asked for: how many workers, how they are made ready, when one has to go."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pipelines.pool.frames import Chunk

Initializer = Callable[[], object]
GIB = 1 << 30


class Setup(NamedTuple):
    """The initializer, pickled once for all workers."""

    chunks: list[Chunk]
    buffers: int


class Plan(NamedTuple):
    """Settings of a pool; see `WorkerPool` for what they mean. None for no limit."""

    size: int
    name: str = "pool"
    preload: tuple[str, ...] = ()
    setup: Setup | None = None
    nice: int = 0
    memory_limit: int | None = None
    address_space_limit: int | None = None
    recycle_after: int | None = None
    recycle_above: int | None = None
    max_result_bytes: int | None = None
    has_spare: bool = True
    forks: bool = False

    def check(self) -> Plan:
        """Return this plan. Raises ValueError."""
        if self.size < 1:
            raise ValueError(f"workers: expected at least 1, got {self.size}")
        for name in ("memory_limit", "address_space_limit", "recycle_after", "recycle_above", "max_result_bytes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        return self

    @property
    def address_space(self) -> int:
        """Bytes of RLIMIT_AS for a worker; 0 for no limit."""
        if self.address_space_limit is not None:
            return self.address_space_limit
        return 0 if self.memory_limit is None else 4 * self.memory_limit + GIB
