"""Trouble with a descriptor that people read stays with that descriptor."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from crawler.progress.output import Output, has_terminal


def test_a_reader_that_has_gone_is_told_nothing_more() -> None:
    read, write = os.pipe()
    os.close(read)
    output = Output(write)
    output.line("nobody hears")
    assert output.is_gone
    os.close(write)
    output.line("and nobody tries")


def test_a_non_blocking_pipe_gets_everything() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    text = "0123456789" * 50_000
    writer = threading.Thread(target=Output(write).write, args=(text,))
    writer.start()
    got = b""
    while len(got) < len(text):
        got += os.read(read, 65536)
    writer.join(5)
    assert got.decode() == text
    os.close(read)
    os.close(write)


def test_what_the_encoding_cannot_say_is_escaped() -> None:
    read, write = os.pipe()
    Output(write, "ascii").line("Grüße \ud800")
    assert os.read(read, 100) == b"Gr\\xfc\\xdfe \\ud800\n"
    os.close(read)
    os.close(write)


def test_a_pipe_is_no_terminal() -> None:
    read, write = os.pipe()
    assert not has_terminal(write, "xterm")
    os.close(read)
    os.close(write)
    ours, theirs = os.openpty()
    assert has_terminal(theirs, "xterm")
    assert not any(has_terminal(theirs, term) for term in ("dumb", "unknown", ""))
    os.close(ours)
    os.close(theirs)


def test_what_cannot_be_written_is_remembered_and_the_next_line_tried() -> None:
    """Whoever makes room on the disk reads on."""
    full = os.open("/dev/full", os.O_WRONLY)
    output = Output(full)
    output.line("no room")
    assert output.trouble is not None
    assert output.trouble.errno == errno.ENOSPC
    assert not output.is_gone
    read, write = os.pipe()
    os.dup2(write, full)
    output.line("room")
    assert os.read(read, 100) == b"room\n"
    assert output.trouble.errno == errno.ENOSPC, "what is missing stays missing"
    for fd in (full, read, write):
        os.close(fd)


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ECONNRESET])
def test_a_reader_that_has_gone_is_no_trouble(number: int) -> None:
    output = Output(1)
    output.failed(OSError(number, "gone"))
    assert (output.is_gone, output.trouble) == (True, None)
