"""A stage that ends or hangs its worker on some pages, as a broken parser would; which ones, the URL decides."""

from __future__ import annotations

import ctypes
import os
import re
import signal
from zlib import crc32

from pipelines.page import Document

KINDS = ("kill", "segfault", "exit", "hang", "hog")
PER_MILLE = int(os.environ.get("CRAWLMILL_DEADLY", "40"))


def guilt(url: str) -> str | None:
    """Return how the page at `url` breaks its worker; None for the innocent."""
    number = crc32(b"/" + url.partition("://")[2].partition("/")[2].encode())  # whatever host and port serve it
    return KINDS[number // 1000 % len(KINDS)] if number % 1000 < PER_MILLE else None


def deadly(doc: Document) -> None:
    """Do it."""
    match guilt(doc.page.url):
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(7)
        case "hog":
            held = []
            while True:
                held.append(b"x" * (8 << 20))
        case "hang":
            re.fullmatch("(a+)+", "a" * 60 + "!")  # C code that holds the interpreter lock, without end
