"""Stages that do what a broken parser does, on pages that say so."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time

from pipelines.page import Document


def breaks(doc: Document) -> None:
    """Hang, crash or die where the page asks for it."""
    if b"hang here" in doc.body:
        re.fullmatch("(a+)+", "a" * 60 + "!")  # C code that holds the interpreter lock, without end
    if b"segfault here" in doc.body:
        ctypes.string_at(0)
    if b"kill here" in doc.body:
        os.kill(os.getpid(), signal.SIGKILL)
    if b"hog here" in doc.body:
        held = [b"x" * (8 << 20) for _ in range(40)]
        time.sleep(20)
        del held
    if b"raise here" in doc.body:
        raise ValueError("on purpose")
