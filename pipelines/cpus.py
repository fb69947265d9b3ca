"""How many CPUs this process may really use: affinity, cgroup quotas, an override.

`os.cpu_count()` tells what the machine has. In a container with a quota of 1.5 CPUs on a machine with 64 it makes 64
workers that take turns being throttled. Quotas: Documentation/admin-guide/cgroup-v2.rst, "cpu.max"; sched-bwc.rst for
version 1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from pipelines.cgroups import PROC, smallest_limit


@dataclass(frozen=True, slots=True)
class CpuLimit:
    """A number of CPUs, at least 1, and the reason for it."""

    count: int
    why: str


def available_cpus(override: int | None = None, *, proc: Path = PROC) -> CpuLimit:
    """Return how many CPUs this process may use; `override` wins over everything else."""
    if override is not None:
        if override < 1:
            raise ValueError(f"cpus: expected at least 1, got {override}")
        return CpuLimit(override, "set by hand")
    limit = _affinity()
    quota = smallest_limit("cpu", read_quota, proc=proc)
    if quota is not None and ceil(quota[0]) < limit.count:
        # Rounded up: with 1.5 CPUs, two workers use the quota and one does not.
        return CpuLimit(max(1, ceil(quota[0])), f"cgroup quota of {quota[0]:g} CPUs in {quota[1]}")
    return limit


def _affinity() -> CpuLimit:
    try:
        return CpuLimit(max(1, len(os.sched_getaffinity(0))), "CPU affinity of this process")
    except (AttributeError, OSError):  # not Linux
        return CpuLimit(os.cpu_count() or 1, "CPUs of this machine")


def read_quota(folder: Path, version: int) -> float | None:
    """Return the quota of one cgroup in CPUs; None for no limit."""
    try:
        if version == 2:
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        if quota in ("max", "-1") or int(period) <= 0 or int(quota) <= 0:
            return None
        return int(quota) / int(period)
    except (OSError, ValueError):  # no such controller here, or a format of the future
        return None
