"""One run a job: an advisory lock on a file in the output directory, which the kernel drops when the process dies."""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from crawler.errors import LockedError

LOCK_FILE = ".lock"


class JobLock:
    """Holds `directory/.lock` from construction to `release`. Raises LockedError when another run holds it.

    The lock is the kernel's (`flock`), not the file's existence: a killed run leaves nothing to clean up, and the file
    only tells a person who holds it.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / LOCK_FILE
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"pid {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode(), 0)
        except BlockingIOError as exc:
            holder = os.pread(self._fd, 200, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise LockedError(f"another run ({holder}) holds {path}; let it finish or stop it") from exc
        except BaseException:
            os.close(self._fd)
            raise

    def release(self) -> None:
        """Let go; further calls do nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> JobLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
