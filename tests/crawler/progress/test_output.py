"""Trouble with a descriptor that people read stays with that descriptor."""

from __future__ import annotations

import os
import threading

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
