"""The access log of the demo server: one line of JSON per request, whole even after a kill."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as the server saw it."""

    start: float
    """Monotonic seconds (CLOCK_MONOTONIC, one clock for all processes of a machine) when the request was complete."""
    end: float
    """Monotonic seconds when the last byte of the answer was handed to the kernel, or the connection ended."""
    wall: float
    """Seconds since 1970 at `start`."""
    host: str
    path: str
    """Path and query as sent."""
    status: int
    """Status sent; 0 when the connection ended before one was."""
    user_agent: str
    connection: int
    """Counts the connections of this server."""
    complete: bool
    """The whole answer was sent."""


class AccessLog:
    """Collects entries in a list, a file, or both. Owns the file between `open` and `close`.

    A line is one `write` to a file opened for appending, so a kill of the server leaves whole lines, and a
    second server may append to the same file.
    """

    def __init__(self, path: Path | None = None, *, keep: bool = True) -> None:
        self.entries: list[Entry] = []
        self._keep = keep
        self._path = path
        self._fd: int | None = None

    def open(self) -> None:
        """Open the file, if there is to be one. Raises OSError."""
        if self._path is not None:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def add(self, entry: Entry) -> None:
        """Record one finished request."""
        if self._keep:
            self.entries.append(entry)
        if self._fd is not None:
            os.write(self._fd, orjson.dumps(asdict(entry), option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Close the file; the list stays."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def read_log(path: Path) -> list[Entry]:
    """Read the entries of a log file, in the order in which the requests ended."""
    return [Entry(**orjson.loads(line)) for line in path.read_bytes().splitlines()]
