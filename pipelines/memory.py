"""How much memory this process may really use: cgroup limits, RLIMIT_AS, what the machine has, an override.

The machine's size tells little in a container: above the limit of its cgroup the kernel kills processes
(Documentation/admin-guide/cgroup-v2.rst, "memory.max"; cgroup-v1/memory.rst, "limit_in_bytes"), and above "memory.high"
it slows them down until they give memory back, which is no place to work at either.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.cgroups import PROC, smallest_limit

MIN_SHARE_BYTES = 256 << 20
"""A worker that has imported a large library holds 100 MiB and more before it does anything."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """An amount of memory in bytes, at least 1, and the reason for it.

    A limit for all processes of the cgroup or of the machine together, not what is free now; `RLIMIT_AS` is for each
    process alone.
    """

    bytes: int
    why: str


def available_memory(override: int | None = None, *, has_address_space: bool = True, proc: Path = PROC) -> MemoryLimit:
    """Return how much memory this process may use, in bytes; `override` wins over everything else.

    Without `has_address_space` RLIMIT_AS does not count: what this process and its children may use together.
    Raises OSError on a system that tells nothing at all about its memory.
    """
    if override is not None:
        if override < 1:
            raise ValueError(f"memory: expected at least 1 byte, got {override}")
        return MemoryLimit(override, "set by hand")
    limit = min(_limits(proc, has_address_space=has_address_space), key=lambda limit: limit.bytes, default=None)
    if limit is None:
        raise OSError("this system does not tell how much memory it has; set the amount by hand")
    return limit


def share_of_memory(workers: int, override: int | None = None, *, proc: Path = PROC) -> MemoryLimit:
    """Return what each of so many worker processes may use, in bytes: `available_memory * 4/5 / workers`.

    One fifth is for this process and for all that nobody thought of. Never less than 256 MiB, even where the workers
    together may go too far then. `override`: instead of what is available. Raises OSError as `available_memory`.
    """
    limit = available_memory(override, has_address_space=False, proc=proc)
    share = limit.bytes * 4 // 5 // workers
    if share < MIN_SHARE_BYTES:
        return MemoryLimit(MIN_SHARE_BYTES, f"the least; 4/5 of {_mebibytes(limit.bytes)} by {workers}: {limit.why}")
    return MemoryLimit(share, f"4/5 of {_mebibytes(limit.bytes)} by {workers}: {limit.why}")


def _limits(proc: Path, *, has_address_space: bool) -> Iterator[MemoryLimit]:
    """Yield every limit; of equal ones the first is the reason given."""
    total = _machine(proc)
    if total is not None:
        yield MemoryLimit(total, "memory of this machine")
    group = smallest_limit("memory", read_limit, proc=proc)
    if group is not None:
        yield MemoryLimit(group[0], f"cgroup limit of {_mebibytes(group[0])} in {group[1]}")
    space = _address_space() if has_address_space else None
    if space is not None:
        yield MemoryLimit(space, f"address space limit (RLIMIT_AS) of {_mebibytes(space)}")


def _machine(proc: Path) -> int | None:
    try:
        for line in (proc.parent / "meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "MemTotal":
                return int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass  # no such file here, or a format of the future; the next one may know
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not a POSIX system, or one that does not tell
        return None


def _address_space() -> int | None:
    try:
        import resource
    except ImportError:  # not a POSIX system
        return None
    soft, _hard = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else max(1, soft)


def read_limit(folder: Path, version: int) -> int | None:
    """Return the limit of one cgroup in bytes; None for no limit.

    Version 1 says "no limit" with the largest number of pages there is, which is above what any machine has.
    """
    names = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
    limits = []
    for name in names:
        try:
            text = (folder / name).read_text().strip()
            if text != "max" and int(text) > 0:
                limits.append(int(text))
        except (OSError, ValueError):
            continue  # no such controller here, or a format of the future
    return min(limits, default=None)


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 20):,.0f} MiB"
