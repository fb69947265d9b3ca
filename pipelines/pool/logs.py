"""Log records and warnings on their way from a worker to the parent's loggers.

A record travels as a plain dict of strings and numbers, which always pickles. In a worker this module is imported only
once somebody there has imported `logging`: a worker that never logs does not pay for it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]  # LogRecord attributes: str, int, float, bool or None
_FORMATTED = frozenset({"args", "exc_info", "exc_text", "msg", "message"})


class Forwarder(logging.Handler):
    """The worker's root handler: sends every record to the parent."""

    def __init__(self, send: Callable[[Fields], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record; what goes wrong is told on stderr, as with every handler."""
        try:
            self._send(fields_of(record))
        except Exception:  # noqa: BLE001 - the protocol of logging: a handler never raises into the code that logs
            self.handleError(record)


def install(send: Callable[[Fields], None], level: int) -> None:
    """Forward what is logged in this process from now on, if it is at or above the parent's lowest level."""
    root = logging.getLogger()
    root.addHandler(Forwarder(send))
    if root.level == logging.WARNING:  # the default; otherwise somebody here knows better
        root.setLevel(level)


def fields_of(record: logging.LogRecord) -> Fields:
    """Return a record as values that always pickle; its arguments and its exception as text."""
    fields = {
        key: value if type(value) in (str, int, float, bool, type(None)) else repr(value)
        for key, value in record.__dict__.items()
        if key not in _FORMATTED
    }
    fields["msg"] = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        fields["exc_text"] = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
    return fields


def deliver(fields: Fields) -> None:
    """Hand a worker's record to the parent's logger of the same name, if that lets it through."""
    logger = logging.getLogger(fields["name"])
    if logger.isEnabledFor(fields["levelno"]):
        logger.handle(logging.makeLogRecord(fields))
