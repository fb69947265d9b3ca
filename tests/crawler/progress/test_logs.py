"""Log records reach the terminal as text, line by line."""

from __future__ import annotations

import logging

from crawler.progress.logs import logged

_log = logging.getLogger("crawler.somewhere")


def test_tracebacks_and_control_characters() -> None:
    lines: list[str] = []
    with logged(lines.append, quiet=False):
        try:
            raise ValueError("\x1b[31mred")
        except ValueError:
            _log.exception("unexpected error on %s", "http://x/\x07")
    assert lines[0] == "crawl: ERROR: crawler.somewhere: unexpected error on http://x/\\x07"
    assert lines[1] == "  Traceback (most recent call last):"
    assert lines[-1] == "  ValueError: \\x1b[31mred"
    assert all(line.isprintable() for line in lines)


def test_quiet_hears_errors_only() -> None:
    lines: list[str] = []
    with logged(lines.append, quiet=True):
        _log.warning("may be of interest")
        _log.error("must be known")
    assert lines == ["crawl: ERROR: crawler.somewhere: must be known"]


def test_nothing_is_left_of_it() -> None:
    before = list(logging.getLogger().handlers)
    with logged(print, quiet=False):
        pass
    assert logging.getLogger().handlers == before
