"""Who has which bytes of a file: each position is missing, owned by one order that may write it, or on disk.

Hedges own nothing while the order they race is under way: they hold their bytes in memory. So no position ever has two
writers. An order keeps its positions until it is known to have stopped, even when its bytes are not wanted any more.
"""

from __future__ import annotations

from crawler.download.plan.run import Run
from crawler.download.plan.spans import Spans


class Holdings:
    """The positions of one file and the orders under way. Changed by its plan only."""

    def __init__(self, size: int, done: Spans) -> None:
        self.size = size
        self.done = Spans(done.within(0, size))
        """What is on disk."""
        self.found = self.done.copy()
        """What of it was there at the start."""
        self.missing = Spans(self.done.gaps(0, size))
        """What nobody has."""
        self.running: dict[int, Run] = {}
        """Orders that write."""
        self.hedges: dict[int, Run] = {}
        """Orders that hold their bytes in memory."""
        self.waiting: dict[int, Run] = {}
        """Thieves whose victims are not cut yet: they own nothing."""
        self._next_id = 1

    @property
    def frontier(self) -> int:
        """The first position that is not on disk."""
        return self.done.first_gap(0)

    @property
    def active(self) -> int:
        """How many orders there are, of all three kinds."""
        return len(self.running) + len(self.hedges) + len(self.waiting)

    def find(self, number: int) -> Run | None:
        """Return an order that writes or a hedge; None when there is none of that number."""
        return self.running.get(number) or self.hedges.get(number)

    def start(self, first: int, end: int, lane: int | None, now: float) -> Run:
        """Give missing positions to a new order."""
        run = self._new(first, end, lane, now)
        self.missing.remove(first, end)
        self.running[run.id] = run
        return run

    def steal(self, victim: Run, cut: int, lane: int | None, now: float) -> Run:
        """Let a new order wait for what is behind the cut."""
        thief = self._new(cut, victim.end, lane, now)
        thief.victim, victim.thief = victim, thief
        self.waiting[thief.id] = thief
        return thief

    def hedge(self, victim: Run, lane: int | None, now: float) -> Run:
        """Let a new order race another."""
        hedge = self._new(victim.upto, victim.end, lane, now)
        hedge.victim, victim.hedge = victim, hedge
        victim.races += 1
        self.hedges[hedge.id] = hedge
        return hedge

    def advance(self, run: Run, upto: int) -> None:
        """Note that an order has come to `upto`."""
        if run.id in self.running:
            self.done.add(run.upto, upto)
        run.upto = upto

    def land(self, run: Run) -> tuple[int, ...]:
        """Note that all of an order is on disk; return the orders that are void now."""
        if run.id in self.running:
            self.done.add(run.first, run.end)
            del self.running[run.id]
            return self._void(run)
        del self.hedges[run.id]
        self.done.add(run.first, run.end)
        if run.victim is None:
            return ()
        del self.running[run.victim.id]
        return (run.victim.id,)

    def fail(self, run: Run, upto: int) -> tuple[int, ...]:
        """Note that an order has stopped at `upto`; what it leaves is missing, or its hedge's. Return void orders."""
        if run.id in self.hedges:
            self._lose(run)
            return ()
        del self.running[run.id]
        upto = run.first if run.is_doomed else min(max(upto, run.first), run.end)
        self.done.add(run.first, upto)
        self.done.remove(upto, run.end)
        hedge, run.hedge = run.hedge, None
        void = self._void(run)
        if hedge is None:
            self.missing.add(upto, run.end)
            return void
        hedge.victim = None
        self.missing.add(upto, hedge.first)  # taken back: the hedge does not have it
        hedge.first = max(hedge.first, upto)
        if hedge.first < hedge.end:
            return void
        del self.hedges[hedge.id]  # its rival had all when it was stopped
        return (*void, hedge.id)

    def cut(self, victim: Run, end: int) -> Run | None:
        """Give what is behind `end` to the thief that waits for it; None when nothing is left, or nobody waits."""
        thief, victim.thief = victim.thief, None
        if thief is None:
            return None
        del self.waiting[thief.id]
        end = max(end, victim.upto)
        if end >= victim.end:
            return None
        victim.end = thief.first = thief.upto = end
        thief.victim = None
        self.running[thief.id] = thief
        return thief

    def discard(self, first: int, end: int) -> tuple[int, ...]:
        """Note that what is on disk there is missing again; return who wrote some of it, and who is void with them."""
        first, end = max(first, 0), min(end, self.size)
        self.done.remove(first, end)
        self.found.remove(first, end)
        void: list[int] = []
        for run in self.running.values():
            if run.first < end and run.upto > first:
                run.is_doomed = True
                self.done.remove(run.first, run.upto)
                void += [run.id, *self._void(run)]
        for hedge in self.hedges.values():
            if hedge.victim is None and hedge.first < end and hedge.end > first:  # it writes, or is about to
                hedge.is_doomed = True
                void.append(hedge.id)
        owned = Spans((run.first, run.end) for run in (*self.running.values(), *self.hedges.values()))
        for start, stop in owned.gaps(first, end):
            self.missing.add(start, stop)
        return tuple(void)

    def _new(self, first: int, end: int, lane: int | None, now: float) -> Run:
        run = Run(self._next_id, first, end, lane, now)
        self._next_id += 1
        return run

    def _void(self, run: Run) -> tuple[int, ...]:
        """Forget the thief and the hedge of an order; return their numbers."""
        void = []
        if run.thief is not None:
            del self.waiting[run.thief.id]
            void.append(run.thief.id)
            run.thief = None
        if run.hedge is not None:
            del self.hedges[run.hedge.id]
            void.append(run.hedge.id)
            run.hedge = None
        return tuple(void)

    def _lose(self, hedge: Run) -> None:
        """Forget a hedge; what only it had is missing again."""
        del self.hedges[hedge.id]
        if hedge.victim is None:
            self.missing.add(hedge.first, hedge.end)
        else:
            hedge.victim.hedge = None
