"""The two descriptors of a command: the result to stdout, everything else to stderr; and whether the result got out."""

from __future__ import annotations

import sys

from crawler.errors import ExitCode
from crawler.progress.output import Output
from crawler.progress.text import printable


class Streams:
    """Made once by a command and passed on: what became of its result is known at its end."""

    def __init__(self) -> None:
        self.out = Output(1, getattr(sys.stdout, "encoding", None))
        self.err = Output(2, getattr(sys.stderr, "encoding", None))

    def result(self, text: str) -> None:
        """Write lines of the result, safe for a terminal already."""
        self.out.line(text)

    def say(self, text: str) -> None:
        """Write one line of the result."""
        self.out.line(printable(text))

    def tell(self, text: str) -> None:
        """Write one line that is no part of the result."""
        self.err.line(printable(text))

    def flush(self) -> None:
        """Write what the interpreter holds back: what argparse printed."""
        for stream, output in ((sys.stdout, self.out), (sys.stderr, self.err)):
            try:
                stream.flush()
            except OSError as exc:
                output.failed(exc)
            except (AttributeError, ValueError):
                pass  # closed: nobody left to tell

    def verdict(self, code: int) -> int:
        """Return the exit code that is true: a result that could not be written is told, and is no success."""
        if self.out.trouble is None:
            return code
        self.tell(f"crawl: stdout: {self.out.trouble.strerror}")
        return code or ExitCode.STATE
