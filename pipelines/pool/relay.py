"""What workers print, made safe and passed on to stderr line by line.

A page's text or a task's `print` must not drive the terminal of whoever runs the parent, so whatever is not printable
is escaped. A flood must not keep the supervisor from its deadlines, so each second has its share and the rest is
dropped, with a line that says how much. A stderr that takes nothing (a stopped terminal, a full pipe) gets nothing.
"""

from __future__ import annotations

import os
import select
import sys
from time import monotonic

TAIL_BYTES = 4096
"""How much of a worker's output is kept to explain its death."""
MAX_READS = 64
"""How often the pipe of a dead worker is read: one of its own children may still be writing."""
READ_BYTES = 64 * 1024  # the capacity of a pipe
MAX_LINE_BYTES = 4096
MAX_BYTES_PER_SECOND = 64 * 1024


class Relay:
    """The way to stderr, shared by all workers of a pool."""

    def __init__(self) -> None:
        # With no stderr at the start, descriptor 2 is by now anything: perhaps a database.
        self._has_stderr = sys.__stderr__ is not None
        self._second = 0
        self._left = MAX_BYTES_PER_SECOND
        self._dropped = 0

    def has_room(self, size: int) -> bool:
        """Whether this second's share allows for `size` bytes more; if not, they count as dropped."""
        second = int(monotonic())
        if second != self._second:
            self._second, self._left = second, MAX_BYTES_PER_SECOND
            self.report()
        if size > self._left:
            self._dropped += size
            return False
        self._left -= size
        return True

    def report(self) -> None:
        """Tell how much was dropped since the last time."""
        if self._dropped:
            self.write(f"[{self._dropped} bytes that workers printed were dropped]")
            self._dropped = 0

    def write(self, line: str) -> None:
        """Write one line, as far as stderr takes it at once."""
        data = printable(line).encode() + b"\n"
        try:
            for start in range(0, len(data) if self._has_stderr else 0, select.PIPE_BUF):
                # POLLOUT promises room for PIPE_BUF bytes.
                if select.select([], [2], [], 0)[1]:
                    os.write(2, data[start : start + select.PIPE_BUF])
        except (OSError, ValueError):
            pass  # it was closed since


class Output:
    """The pipe of one worker's stdout and stderr."""

    def __init__(self, fd: int, relay: Relay) -> None:
        self._fd = fd
        self._relay = relay
        self._line = b""
        self._tail = b""
        self.verdict = ""  # what the worker itself gave as the reason of its end

    def pump(self) -> bool:
        """Read once and pass on what is complete; False at end of file."""
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return True
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        if not data:
            self._pass_on([self._line] if self._line else [])
            self._line = b""
            return False
        if self._relay.has_room(len(data)):
            *lines, rest = (self._line + data).split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            self._line = rest
            self._pass_on(lines)
        return True

    def last_words(self) -> str:
        """Pass on the rest and return the end of what the worker printed, or the reason it gave."""
        for _ in range(MAX_READS):
            before = self._tail
            if not self.pump() or self._tail == before:
                break
        words = self.verdict or self._tail.decode("utf-8", "backslashreplace")
        return "\n".join(printable(line) for line in words.strip().splitlines())

    def _pass_on(self, lines: list[bytes]) -> None:
        for line in lines:
            self._relay.write(line.decode("utf-8", "backslashreplace").removesuffix("\r"))


def printable(text: str) -> str:
    """Return `text` with everything escaped that is not printable; tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode("ascii") for char in text
    )
