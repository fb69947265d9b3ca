"""Collects what code writes to the standard streams, by Python and below it."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator

MAX_BYTES = 2000


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """Fill the list that is yielded with what was written, when the block ends. For a process of one thread."""
    found: list[str] = []
    text = io.StringIO()
    kept = [(fd, os.dup(fd)) for fd in (1, 2)]
    with tempfile.TemporaryFile() as file:
        for fd, _ in kept:
            os.dup2(file.fileno(), fd)
        try:
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                yield found
        finally:
            for fd, copy in kept:
                os.dup2(copy, fd)
                os.close(copy)
            file.seek(0)
            found += [text.getvalue(), file.read(MAX_BYTES).decode("utf-8", "replace")]
