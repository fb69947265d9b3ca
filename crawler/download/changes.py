"""What makes a file begin again: how often it was found to be another one than before, and when that is enough.

News comes in two ways: in the middle of an attempt, when an answer does not fit what was pinned; and between two, when
an attempt broke and the next one meets another version. Either way all that had come is lost. Places are not compared
with each other: the same bytes have other tags elsewhere.
"""

from __future__ import annotations

from typing import Final

from crawler.download.answers.identity import NOTHING, Identity, changed
from crawler.download.fault import Fault
from crawler.download.retry import GivenUp, Source

MAX_CHANGES: Final = 3
"""After which a file is begun once more; at the next it is given up."""


class FileChanged(Exception):
    """What comes now belongs to another file than what came before: all of it is to be discarded."""


class PartsRefused(Exception):
    """The server gives the whole file or nothing."""


def refuse_parts(source: Source, fault: Fault, detail: str) -> None:
    """Do without parts, or without a place that was only offered. Raises PartsRefused."""
    if not source.is_offered:
        raise PartsRefused(detail)
    source.end(fault, detail)


class Changes:
    """Those of one download."""

    def __init__(self) -> None:
        self.count = 0
        self._broke: tuple[Source | None, Identity] = None, NOTHING

    def broke(self, source: Source | None, identity: Identity) -> None:
        """Remember what an attempt was about that came to no end."""
        self._broke = source, identity

    def met(self, source: Source, identity: Identity) -> None:
        """Compare what the next attempt is about. Raises GivenUp when that is a change too many."""
        before, pinned = self._broke
        if source is before and (news := changed(pinned, identity)) is not None:
            self.noted(news)

    def noted(self, news: str) -> None:
        """Count a change, which is known by now. Raises GivenUp when it is one too many."""
        self._broke = None, NOTHING
        self.count += 1
        if self.count > MAX_CHANGES:
            raise GivenUp(Fault.CHANGED_TOO_OFTEN, f"{self.count} times, the last: {news}")
