"""The proof that nothing is left would itself be nothing if it let these pass."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.leftovers import family, nothing_left

SECONDS = 0.1


def test_nothing_is_fine() -> None:
    with nothing_left(SECONDS):
        Path(os.devnull).open().close()


def _instead_of(number: int) -> int:
    """Close a descriptor and open another one."""
    os.close(number)
    return socket.socket().detach()


def test_a_descriptor_is_seen_also_behind_another_that_was_closed() -> None:
    """The number of descriptors is the same before and after, and so is the number of this one."""
    fine, leak = os.open(os.devnull, os.O_RDONLY), -1
    try:
        with pytest.raises(AssertionError, match="socket"), nothing_left(SECONDS):
            leak = _instead_of(fine)
        assert leak == fine
    finally:
        os.close(leak)


def test_a_thread_is_seen() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="left over")
    try:
        with pytest.raises(AssertionError, match="left over"), nothing_left(SECONDS):
            thread.start()
    finally:
        end.set()
        thread.join()


def test_a_process_whose_parent_died_is_seen() -> None:
    """It is nobody's child, so it is adopted; it would otherwise be gone from the family, and run on."""
    code = "import os, time\nif not os.fork(): time.sleep(60)"
    found: set[int] = set()
    before = family()
    try:
        with pytest.raises(AssertionError, match=r"frozenset\(\{\d+\}\)"), nothing_left(SECONDS):
            subprocess.run([sys.executable, "-c", code], check=True)
        found = set(family() - before)
        assert len(found) == 1
    finally:
        for pid in found:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def test_what_ends_in_time_is_not_left() -> None:
    with nothing_left():
        threading.Thread(target=time.sleep, args=(0.2,)).start()
