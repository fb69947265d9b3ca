"""The cgroups of this process: where their limits are to be read, version 1 and 2, from the innermost to the root.

The kernel enforces the limit of every cgroup on the way from the root to the process
(Documentation/admin-guide/cgroup-v2.rst, "Resource Distribution Models"), so the smallest one counts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

PROC = Path("/proc/self")

L = TypeVar("L", int, float)
Read = Callable[[Path, int], L | None]
"""Reads the limit in a cgroup's folder, of a hierarchy of version 1 or 2; None for no limit."""


class Mount(NamedTuple):
    """A mounted cgroup hierarchy that can limit what was asked for."""

    version: int
    root: PurePosixPath
    """The cgroup that is visible at `point`."""
    point: Path


def smallest_limit(controller: str, read: Read[L], *, proc: Path = PROC) -> tuple[L, Path] | None:
    """Return the smallest limit on the way from the root to this process, and the folder that sets it.

    `controller`: `cpu`, `memory`. None where nothing limits, or there are no cgroups.
    """
    try:
        cgroup = (proc / "cgroup").read_text()
        mounts = parse_mounts((proc / "mountinfo").read_text(), controller)
    except OSError:
        return None
    limits: list[tuple[L, Path]] = []
    for version, path in parse_cgroup(cgroup, controller).items():
        for mount in mounts:
            if mount.version == version:
                for folder in folders(mount, path):
                    limit = read(folder, version)
                    if limit is not None:
                        limits.append((limit, folder))
    return min(limits, default=None)


def parse_mounts(mountinfo: str, controller: str) -> list[Mount]:
    """Return the cgroup mounts in the text of /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    mounts = []
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if not separator or len(fields) < 5 or len(kind) < 3:
            continue
        version = {"cgroup2": 2, "cgroup": 1}.get(kind[0])
        if version == 2 or (version == 1 and controller in kind[2].split(",")):
            mounts.append(Mount(version, PurePosixPath(_unescaped(fields[3])), Path(_unescaped(fields[4]))))
    return mounts


def parse_cgroup(text: str, controller: str) -> dict[int, PurePosixPath]:
    """Return this process's cgroup by version, from the text of /proc/self/cgroup (cgroups(7))."""
    paths: dict[int, PurePosixPath] = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            paths[2] = PurePosixPath(path)
        elif controller in controllers.split(","):
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


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
