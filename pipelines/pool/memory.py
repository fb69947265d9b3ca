"""Whether the kernel's OOM killer was at work: the only trace it leaves in the parent of its victim is a counter."""

from __future__ import annotations

from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
GROUPS = Path("/proc/self/cgroup")
VMSTAT = Path("/proc/vmstat")


class OomKills:
    """Watches the counters of this process's cgroup; of the whole machine where the cgroup has none.

    They count every victim in the group, not only workers, so this is a strong hint and no proof.
    """

    def __init__(self, files: list[Path] | None = None) -> None:
        self._files = _counters() if files is None else files
        self._seen = [_count(path) for path in self._files]

    def have_grown(self) -> str:
        """Return the counter that grew since the last call, or nothing."""
        before, self._seen = self._seen, [_count(path) for path in self._files]
        for path, old, new in zip(self._files, before, self._seen, strict=True):
            if new > old:
                return str(path)
        return ""


def _counters() -> list[Path]:
    """Return the files that count for this process: cgroup v2, else v1, else the machine's."""
    groups = [line.split(":", 2) for line in _read(GROUPS).splitlines()]
    for _, kinds, group in (fields for fields in groups if len(fields) == 3):
        if kinds == "":
            candidates = [CGROUPS / group.strip("/") / "memory.events", CGROUPS / "memory.events"]
        elif "memory" in kinds.split(","):
            v1 = CGROUPS / "memory"
            candidates = [v1 / group.strip("/") / "memory.oom_control", v1 / "memory.oom_control"]
        else:
            continue
        found = [path for path in candidates if "oom_kill " in _read(path)]
        if found:
            return found[:1]
    return [VMSTAT]


def _count(path: Path) -> int:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == "oom_kill":
            return int(value)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
