"""One order under way, as the plan keeps it."""

from __future__ import annotations

from crawler.download.rates import Pace


class Run:
    """Positions [first, end) in the hands of one request. Changed by the plan only."""

    __slots__ = ("end", "first", "hedge", "id", "is_doomed", "lane", "pace", "thief", "upto", "victim")

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
        self.is_doomed = False
        """Whether its bytes are not trusted: it keeps its positions until it has stopped."""

    @property
    def is_eligible(self) -> bool:
        """Whether somebody may help it."""
        return self.thief is None and self.hedge is None and not self.is_doomed and self.upto < self.end
