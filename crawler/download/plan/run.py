"""One order under way, as the plan keeps it."""

from __future__ import annotations

from typing import Final

from crawler.download.plan.rates import Pace

MAX_RACES: Final = 3  # of one order: where races are refused, more of them would be refused too


class Run:
    """Positions [first, end) in the hands of one request. Changed by the plan only."""

    __slots__ = ("end", "first", "hedge", "id", "is_doomed", "lane", "pace", "races", "thief", "upto", "victim")

    def __init__(self, number: int, first: int, end: int, lane: int | None, now: float) -> None:
        self.id = number
        self.first = first
        self.end = end
        self.upto = first
        """Everything before is on disk; of a hedge: in memory."""
        self.lane = lane if lane is not None else -number
        """Whose rate it is: a connection's place, or its own."""
        self.pace = Pace(now, first)
        self.thief: Run | None = None
        """Who waits for this one to be cut."""
        self.hedge: Run | None = None
        """Who races this one."""
        self.victim: Run | None = None
        """Whom this one races, or waits for to be cut."""
        self.races = 0
        """How often it was raced."""
        self.is_doomed = False
        """Whether its bytes are not trusted: it keeps its positions until it has stopped."""

    @property
    def is_eligible(self) -> bool:
        """Whether somebody may help it."""
        is_alone = self.thief is None and self.hedge is None
        return is_alone and not self.is_doomed and self.upto < self.end and self.races < MAX_RACES
