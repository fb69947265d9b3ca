"""How much memory this process has had at most, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path


def forget_peak() -> None:
    """Have the kernel count the peak from now on (proc(5), clear_refs)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # not Linux, or not allowed: the peak so far counts, and hides some of the growth


def peak_bytes() -> int:
    """Return the peak of the resident size; 0 where there is no /proc, and nothing seems to grow."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
