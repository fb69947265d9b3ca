"""A descriptor that people read, written so that trouble with it never becomes trouble with the crawl."""

from __future__ import annotations

import errno
import os
import select
from typing import Final

_READER_HAS_GONE: Final = frozenset({errno.EPIPE, errno.EIO, errno.ECONNRESET})
"""`| head` has seen enough; the terminal was closed; the other end of a socket went."""


class Output:
    """Writes text to a descriptor it does not own. Once the reader has gone, everything more is dropped.

    Any other trouble, such as a full disk, costs the text that met it, and is remembered.

    Writes go to the descriptor itself: a thread that waits for a stopped terminal then holds no lock of `sys.stderr`
    that the interpreter would want at exit. What the encoding cannot say is written as an escape.
    """

    def __init__(self, fd: int, encoding: str | None = None) -> None:
        self.fd = fd
        self.encoding = encoding or "utf-8"
        self.is_gone = False
        self.trouble: OSError | None = None
        """Why something was not written although somebody wants to read it; the first of such errors."""

    def write(self, text: str) -> int:
        """Write all of `text`; the return value is what a file's would be."""
        data = memoryview(text.encode(self.encoding, "backslashreplace"))
        while data and not self.is_gone:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:  # whoever made the pipe left it non-blocking
                select.select([], [self.fd], [])
            except OSError as exc:
                self.failed(exc)
                break
        return len(text)

    def failed(self, error: OSError) -> None:
        """Note that something could not be written."""
        if error.errno in _READER_HAS_GONE:
            self.is_gone = True
        elif self.trouble is None:
            self.trouble = error

    def line(self, text: str) -> None:
        """Write one line, in one piece."""
        self.write(text + "\n")

    def flush(self) -> None:
        """Do nothing: nothing is held back. Files have it, and rich asks for it."""

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        return os.isatty(self.fd)

    def fileno(self) -> int:
        """Return the descriptor; rich asks it for the size of the terminal."""
        return self.fd


def has_terminal(fd: int, term: str) -> bool:
    """Return whether the cursor can be moved about on `fd`. `term` is the variable TERM."""
    return os.isatty(fd) and term not in ("", "dumb", "unknown")


def is_in_foreground(fd: int) -> bool:
    """Return whether this process may draw on the terminal, which `crawl ... &` may not."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # not our controlling terminal: nobody else's foreground to disturb
        return True
