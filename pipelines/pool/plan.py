"""What a pool was asked for: how many workers, how they are made ready, when one has to go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipelines.pool.frames import Chunk
from pipelines.pool.task import pickled

Initializer = Callable[[], object]
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Setup:
    """The initializer, pickled once for all workers."""

    chunks: list[Chunk]
    buffers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Settings of a pool; see `WorkerPool` for what they mean."""

    size: int
    name: str = "pool"
    preload: tuple[str, ...] = ()
    nice: int = 0
    memory_limit: int | None = None
    address_space: int | None = None
    recycle_after: int | None = None
    recycle_above: int | None = None
    has_spare: bool = True
    setup: Setup | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"workers: expected at least 1, got {self.size}")
        for name in ("memory_limit", "address_space", "recycle_after", "recycle_above"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")


def plan_of(
    size: int,
    *,
    name: str,
    preload: Sequence[str],
    initializer: Initializer | None,
    nice: int,
    memory_limit: int | None,
    address_space_limit: int | None,
    recycle_after: int | None,
    recycle_above: int | None,
    spare: bool,
) -> Plan:
    """Return a checked plan. Raises ValueError, and TaskNotPicklable for the initializer."""
    if address_space_limit is None and memory_limit is not None:
        address_space_limit = 4 * memory_limit + GIB
    return Plan(
        size=size,
        name=name,
        preload=tuple(preload),
        nice=nice,
        memory_limit=memory_limit,
        address_space=address_space_limit,
        recycle_after=recycle_after,
        recycle_above=recycle_above,
        has_spare=spare,
        setup=None if initializer is None else Setup(*pickled(initializer)),
    )
