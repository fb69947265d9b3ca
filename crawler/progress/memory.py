"""How much memory processes hold, from /proc; 0 where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def resident_bytes(pid: int) -> int:
    """Return the resident set of a process (proc(5), statm); 0 when it has gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def resident_bytes_of_all(pids: Iterable[int]) -> int:
    """Return the sum; what processes share is counted for each, so this is an upper bound."""
    return sum(map(resident_bytes, pids))
