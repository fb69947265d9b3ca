"""What a worker notices about itself while it runs tasks: its size, and what is logged or warned of.

Imported by a bare interpreter: no heavy imports here.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from time import time

from pipelines.pool.levels import WARNING

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BRIEF_SECONDS = 0.001
RESET_PEAK = b"5"  # proc_pid_clear_refs(5): resets the peak resident size


class Gauge:
    """Measures the peak resident size of each task, where the kernel lets it (Linux).

    `getrusage` is the cheap way (1 us), but a child inherits the peak of the process that started it; below that one
    only /proc tells (5 us). A task shorter than `BRIEF_SECONDS` cannot touch much and is given the size before it.
    """

    def __init__(self) -> None:
        self._statm = self._status = self._reset = -1
        self._inherited = 0
        try:
            self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
            self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
            self._reset = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
            peak = _max_rss()
            if self._from_status() < peak:
                self._inherited = peak
        except OSError:
            pass  # elsewhere, or forbidden: the peak is that of the process's whole life
        self._peak()
        self._size = self.rss()

    def peak_rss(self, run_s: float) -> int:
        """Return the bytes of the peak of a task that has just run for so long."""
        if run_s < BRIEF_SECONDS:
            return self._size
        peak = self._peak()
        self._size = self.rss()
        return peak

    def _peak(self) -> int:
        """Return the peak since the last call, and begin anew."""
        peak = _max_rss()
        if peak <= self._inherited:
            peak = self._from_status()
        if self._reset >= 0:
            try:
                os.pwrite(self._reset, RESET_PEAK, 0)
            except OSError:
                self._reset = -1  # a task closed our files
        return peak

    def rss(self) -> int:
        """Return the resident size now, in bytes; 0 where the kernel does not tell."""
        try:
            return int(os.pread(self._statm, 64, 0).split(None, 2)[1]) * PAGE_BYTES
        except (OSError, IndexError):
            return 0

    def _from_status(self) -> int:
        try:
            _, found, rest = os.pread(self._status, 4096, 0).partition(b"VmHWM:")
        except OSError:
            return 0  # a task closed our files
        return int(rest.split(None, 1)[0]) * 1024 if found else 0


class Ear:
    """Forwards log records and warnings, as soon as somebody in this process has what it takes to make them."""

    def __init__(self, tell: Callable[[dict[str, object]], None], level: int) -> None:
        """`tell` sends the fields of a record to the parent."""
        self._tell = tell
        self._level = level
        self._has_logging = self._has_warnings = False

    def listen(self) -> None:
        """Hook in where there is something new; cheap enough for every task."""
        modules = sys.modules
        if not self._has_logging and "logging" in modules:
            self._has_logging = True
            from pipelines.pool.logs import install

            install(self._tell, self._level)
        if not self._has_warnings and "warnings" in modules:
            self._has_warnings = True
            modules["warnings"].showwarning = self._warned  # type: ignore[attr-defined]  # as logging.captureWarnings

    def _warned(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: str | None = None,
    ) -> None:
        """Stand in for `warnings.showwarning`; needs no `logging` on this side."""
        now = time()
        self._tell(
            {
                "name": "py.warnings",
                "msg": f"{filename}:{lineno}: {category.__name__}: {message}",
                "levelno": WARNING,
                "levelname": "WARNING",
                "pathname": filename,
                "filename": os.path.basename(filename),  # noqa: PTH119 - pathlib is a slow import
                "module": os.path.basename(filename).removesuffix(".py"),  # noqa: PTH119 - as above
                "lineno": lineno,
                "funcName": None,
                "created": now,
                "msecs": now % 1 * 1000,
                "process": os.getpid(),
            }
        )


def _max_rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
