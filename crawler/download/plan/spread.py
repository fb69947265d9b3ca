"""Which of several places gets the next order of a file: the one that it was pinned at, while that has room.

The place that pinned the file is its home. Another one is asked

- when home is not free: it has as many requests as it was seen to serve, it asked for a pause, or a turn there does not
  come (the caller waits for it and then asks the next of what `ranked` returns);
- when `Capacity` tries one connection more: the one that might help is one at another place. It stays if it helps.

With one place, all this is that place.

A place has to be joined to the version first. It gets one order at a time, and no second one before the bytes of the
first were held against those of a place that is joined (`Seams`) and fit. One whose bytes do not fit is foreign: it
gets nothing more while any joined place is there. One that is doubtful (nothing tells that it has this version, and no
digest would find out) or far slower than the others gets nothing, either.

A lane stays where it is: its connection is open, and its rate is known. No connection is counted twice, and a refusal
counts for the place that refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from crawler.download.plan.refusals import Refusal

FAR: Final = 8
"""Times slower, a connection, than the best other place: its pieces would only be in the way of those behind them."""


class _Place:
    """What was experienced at one of them."""

    __slots__ = ("active", "is_awaited", "is_doubtful", "is_foreign", "is_joined", "number", "rate", "refusal")

    def __init__(self, number: int, refusal: Refusal) -> None:
        self.number = number
        self.refusal = refusal
        self.active = 0
        self.rate: float | None = None
        self.is_joined = self.is_awaited = self.is_foreign = self.is_doubtful = False


class Spread:
    """The places of one version of one file, by their URLs. Never blocks, never waits."""

    def __init__(self, home: str, segments: int) -> None:
        """`home`: the place that the file was pinned at. `segments`: the most connections, at all places together."""
        self.home = home
        self._segments = segments
        self._places: dict[str, _Place] = {}
        self._lanes: dict[int, str] = {}
        self._reached: tuple[int, int] | None = None
        """The lane that is elsewhere because one connection more is tried, and how many there are with it."""

    # -- what is to be done

    def ranked(
        self,
        lane: int,
        ready: Sequence[str],
        now: float,
        *,
        is_anchored: bool = True,
        avoid: str | None = None,
        reach: int = 0,
    ) -> list[str]:
        """Return where an idle lane should ask for its turn: at the first, and at the next when that does not come.

        `ready`: the places that may be asked now, best first; `is_anchored`: a place that is joined is there, though it
        may be resting. `avoid`: where the order that it helps is fetched. `reach`: how many connections there will be
        when one more than helped before is tried; 0 when that is not so. Nothing: not now.
        """
        places = [(url, self._places[url]) for url in ready]
        good = [url for url, place in places if self.is_joined(url) and not (place.is_doubtful or self._is_far(url))]
        probes: list[str] = []
        if good:
            probes = [url for url, place in places if self._may_probe(url, place)]
        else:  # those that are joined are gone or resting: the next best has to do
            good = _best([(url, place) for url, place in places if not (is_anchored and place.is_foreign)])[:1]
        wants_other = reach > 0 and self._reached is None
        mine = self._lanes.get(lane, self.home)

        def rank(url: str) -> tuple[bool, ...]:
            return wants_other and url == self.home, url in probes and not wants_other, url == avoid, url != mine

        return sorted((url for url in [*good, *probes] if self._is_free(url, now)), key=rank)

    def lane(self, lane: int, place: str) -> int:
        """Return the number of a lane at a place: what it reaches elsewhere says nothing of it here."""
        return lane + self._segments * self._places[place].number

    # -- what happened

    def meet(self, place: str, refusal: Refusal) -> None:
        """Take a place in, once; `refusal`: what it was seen to refuse before (owned from now on)."""
        if place not in self._places:
            known = self._places[place] = _Place(len(self._places), refusal)
            known.is_joined = place == self.home

    def knows(self, place: str) -> bool:
        """Return whether a place was taken in."""
        return place in self._places

    def entered(self, place: str) -> None:
        """Note that a lane waits for its turn at a place, or has it."""
        self._places[place].active += 1

    def left(self, place: str) -> None:
        """Note that it does so no more."""
        self._places[place].active -= 1

    def settled(self, lane: int, place: str, *, reach: int = 0) -> None:
        """Note that a lane works at a place from now on."""
        if reach and self._reached is None and place != self.home:
            self._reached = lane, reach
        self._lanes[lane] = place

    def tried(self, connections: int) -> None:
        """Note that no more connections than help are tried now; so many of them are known to help."""
        if self._reached is not None:
            lane, wanted = self._reached
            self._reached = None
            if connections < wanted:  # it brought nothing: back home
                self._lanes.pop(lane, None)

    def measured(self, place: str, rate: float) -> None:
        """Note how fast a request at a place was, in bytes a second."""
        known = self._places[place]
        known.rate = rate if known.rate is None else (known.rate + rate) / 2

    def refused(self, place: str, others: int, now: float) -> None:
        """Note that a place refused a request beside `others` that are under way there."""
        self._places[place].refusal.refused(others, now)

    def landed(self, place: str) -> None:
        """Note that bytes of a place are on disk, and not yet held against anybody else's."""
        self._places[place].is_awaited = True

    def joined(self, one: str, other: str) -> None:
        """Note that bytes of two places fit: if one is joined to the version, so is the other."""
        places = self._places[one], self._places[other]
        if any(place.is_joined for place in places):
            for place in places:
                place.is_joined = True

    def is_joined(self, place: str) -> bool:
        """Return whether a place has shown that it has this version."""
        known = self._places[place]
        return known.is_joined and not known.is_foreign

    def is_foreign(self, place: str) -> bool:
        """Return whether a place has something else."""
        return self._places[place].is_foreign

    def foreign(self, place: str) -> None:
        """Note that a place has something else."""
        self._places[place].is_foreign = True

    def doubtful(self, place: str) -> None:
        """Note that nothing would tell whether a place has something else."""
        self._places[place].is_doubtful = True

    # -- inside

    def _is_far(self, url: str) -> bool:
        rate = self._places[url].rate
        if rate is None or url == self.home:
            return False
        others = (place for other, place in self._places.items() if other != url and place.is_joined)
        return rate * FAR < max((place.rate or 0.0 for place in others), default=0.0)

    def _may_probe(self, url: str, place: _Place) -> bool:
        is_new = not (place.is_joined or place.is_foreign or place.is_doubtful)
        return is_new and not (place.active or place.is_awaited or self._is_far(url))

    def _is_free(self, url: str, now: float) -> bool:
        place = self._places[url]
        place.refusal.forgive(self._segments, now)
        return place.refusal.above is None or place.active < place.refusal.above


def _best(places: list[tuple[str, _Place]]) -> list[str]:
    """Return the places of which least speaks against."""
    least = min(((place.is_foreign, place.is_doubtful) for _, place in places), default=None)
    return [url for url, place in places if (place.is_foreign, place.is_doubtful) == least]
