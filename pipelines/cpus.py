"""How many CPUs this process may really use: affinity, cgroup quotas, an override.

`os.cpu_count()` tells what the machine has. In a container with a quota of 1.5 CPUs on a machine with 64 it makes 64
workers that take turns being throttled. The kernel enforces the quota of every cgroup on the way from the root to the
process (Documentation/admin-guide/cgroup-v2.rst, "cpu.max"; sched-bwc.rst for v1), so the smallest one counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path, PurePosixPath
from typing import NamedTuple

PROC = Path("/proc/self")


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
    quota = _smallest_quota(proc)
    if quota is not None and ceil(quota[0]) < limit.count:
        # Rounded up: with 1.5 CPUs, two workers use the quota and one does not.
        return CpuLimit(max(1, ceil(quota[0])), f"cgroup quota of {quota[0]:g} CPUs in {quota[1]}")
    return limit


def _affinity() -> CpuLimit:
    try:
        return CpuLimit(max(1, len(os.sched_getaffinity(0))), "CPU affinity of this process")
    except (AttributeError, OSError):  # not Linux
        return CpuLimit(os.cpu_count() or 1, "CPUs of this machine")


def _smallest_quota(proc: Path) -> tuple[float, Path] | None:
    try:
        cgroup = (proc / "cgroup").read_text()
        mounts = parse_mounts((proc / "mountinfo").read_text())
    except OSError:
        return None
    quotas: list[tuple[float, Path]] = []
    for version, path in parse_cgroup(cgroup).items():
        for mount in mounts:
            if mount.version == version:
                quotas += _quotas(mount, path)
    return min(quotas, default=None)


def _quotas(mount: Mount, path: PurePosixPath) -> Iterator[tuple[float, Path]]:
    for folder in folders(mount, path):
        quota = read_quota(folder, mount.version)
        if quota is not None:
            yield quota, folder


class Mount(NamedTuple):
    """A mounted cgroup hierarchy that can limit CPU time."""

    version: int
    root: PurePosixPath
    """The cgroup that is visible at `point`."""
    point: Path


def parse_mounts(mountinfo: str) -> list[Mount]:
    """Return the cgroup mounts in the text of /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    mounts = []
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if not separator or len(fields) < 5 or len(kind) < 3:
            continue
        version = {"cgroup2": 2, "cgroup": 1}.get(kind[0])
        if version == 2 or (version == 1 and "cpu" in kind[2].split(",")):
            mounts.append(Mount(version, PurePosixPath(_unescaped(fields[3])), Path(_unescaped(fields[4]))))
    return mounts


def parse_cgroup(text: str) -> dict[int, PurePosixPath]:
    """Return this process's cgroup by version, from the text of /proc/self/cgroup (cgroups(7))."""
    paths: dict[int, PurePosixPath] = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            paths[2] = PurePosixPath(path)
        elif "cpu" in controllers.split(","):
            paths[1] = PurePosixPath(path)
    return paths


def folders(mount: Mount, path: PurePosixPath) -> list[Path]:
    """Return the folders of a cgroup and all its ancestors, as far as they are visible here, innermost first.

    Inside a container the path may lie outside of what is mounted (no cgroup namespace): then the mount point itself
    is the innermost cgroup to be seen.
    """
    try:
        below = path.relative_to(mount.root)
    except ValueError:
        below = PurePosixPath()
    if ".." in below.parts:  # a cgroup namespace whose root is below this process
        below = PurePosixPath()
    inner = mount.point / below
    return [inner, *(parent for parent in inner.parents if parent.is_relative_to(mount.point))]


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


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
