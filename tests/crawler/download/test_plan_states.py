"""Whatever happens in whatever order: every byte has one owner, is written once, and the download ends."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crawler.download.plan.plan import Hedge, Order, Plan, Steal
from crawler.download.plan.sizes import KIB, MIB, SMALLEST
from crawler.download.plan.spans import Spans

FRACTION = st.floats(0, 1)
LANE = st.none() | st.integers(0, 5)
PICK = st.integers(0, 1000)


class Worker:
    """Who executes an order: writes, and stops when told."""

    def __init__(self, order: Order, *, is_hedge: bool = False) -> None:
        self.order = order
        self.at = order.first
        self.end = order.end
        self.is_hedge = is_hedge


class Download(RuleBasedStateMachine):
    """Random events against a plan; the disk is a set of positions."""

    @initialize(
        size=st.integers(0, 6 * MIB) | st.integers(0, 200 * MIB),
        segments=st.integers(1, 6),
        piece=st.integers(64 * KIB, 2 * MIB) | st.integers(4 * MIB, 32 * MIB),
        lead=st.integers(1, 8 * MIB) | st.integers(64 * MIB, 256 * MIB),
        found=st.lists(st.tuples(FRACTION, FRACTION), max_size=3),
    )
    def begin(self, size: int, segments: int, piece: int, lead: int, found: list[tuple[float, float]]) -> None:
        self.disk = Spans()
        for start, length in found:
            first = int(start * size)
            self.disk.add(first, min(size, first + int(length * size / 3)))
        self.size, self.piece, self.lead, self.now = size, piece, lead, 0.0
        self.found = self.disk.copy()
        self.plan = Plan(size, self.disk, segments, piece, lead)
        self.workers: dict[int, Worker] = {}
        self.hashed = 0
        self.ids: set[int] = set()

    def pick(self, number: int, **want: Any) -> Worker | None:
        some = [w for w in self.workers.values() if all(getattr(w, key) == value for key, value in want.items())]
        return some[number % len(some)] if some else None

    def void(self, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            worker = self.workers.pop(number, None)
            assert worker is None or worker.is_hedge, "only those who never wrote may be dropped like that"

    def write(self, worker: Worker, upto: int) -> None:
        assert upto <= worker.end
        assert self.disk.count(worker.at, upto) == 0, "written twice"
        for other in self.workers.values():
            if other is not worker and not other.is_hedge:
                assert other.end <= worker.at or other.at >= upto or worker.at >= upto, "two writers"
        self.disk.add(worker.at, upto)
        worker.at = upto

    def start(self, order: Order, *, is_hedge: bool = False) -> None:
        assert order.id not in self.ids, "an id is used once"
        assert 0 <= order.first < order.end <= self.size
        self.ids.add(order.id)
        self.workers[order.id] = Worker(order, is_hedge=is_hedge)

    @rule(lane=LANE, seconds=st.floats(0, 0.5))
    def take(self, lane: int | None, seconds: float) -> None:
        self.now += seconds
        free = self.plan.capacity - self.plan.active
        order = self.plan.take(self.now, lane)
        if order is not None:
            assert free > 0
            assert self.disk.count(order.first, order.end) == 0
            # In order: what nobody has before it does not exist.
            owned = Spans((w.at, w.end) for w in self.workers.values())
            assert all(owned.covers(*gap) for gap in self.disk.gaps(0, order.first))
            self.start(order)

    @rule(kept=st.integers(1, 3))
    def go_on_until_little_is_left(self, kept: int) -> None:
        """All but a few orders land, until nothing is left to take: the time of rescues."""
        for _ in range(40):
            self.hash_on(1.0)
            self.take(None, 0.05)
            writers = [worker for worker in self.workers.values() if not worker.is_hedge]
            for worker in writers[kept:]:
                self.finish(worker)
            if not self.plan._held.missing:
                break

    @rule(lane=LANE, seconds=st.floats(0, 4) | st.floats(10, 100), reached=FRACTION)
    def rescue(self, lane: int | None, seconds: float, reached: float) -> None:
        self.now += seconds
        match self.plan.rescue(self.now, lane):
            case Steal(victim, cut, order):
                assert order.first == cut
                worker = self.workers[victim]
                assert worker.at < cut < worker.end == order.end
                self.stealing = (victim, cut)
                if reached < 0.8:
                    self.cut(victim, cut, reached)
            case Hedge(of, order):
                worker = self.workers[of]
                assert (worker.at, worker.end) == (order.first, order.end)
                self.start(order, is_hedge=True)

    def cut(self, victim: int, cut: int, reached: float) -> None:
        worker = self.workers[victim]
        end = max(cut, worker.at + int(reached * (worker.end - worker.at)))
        order = self.plan.cut_applied(victim, end)
        if order is None:
            assert end == worker.end
        else:
            assert (order.first, order.end) == (end, worker.end)
            worker.end = end
            self.start(order)

    @rule(number=PICK, fraction=FRACTION, seconds=st.floats(0, 1))
    def move(self, number: int, fraction: float, seconds: float) -> None:
        self.now += seconds
        worker = self.pick(number, is_hedge=False)
        if worker is not None:
            self.write(worker, worker.at + int(fraction * (worker.end - worker.at)))
            self.plan.progress(worker.order.id, worker.at, self.now)

    @rule(number=PICK)
    def land(self, number: int) -> None:
        worker = self.pick(number, is_hedge=False)
        if worker is not None:
            self.finish(worker)

    def finish(self, worker: Worker) -> None:
        self.write(worker, worker.end)
        del self.workers[worker.order.id]
        self.void(self.plan.landed(worker.order.id, self.now))

    @rule(number=PICK)
    def land_hedge(self, number: int) -> None:
        worker = self.pick(number, is_hedge=True)
        if worker is not None:
            self.finish_hedge(worker)

    def finish_hedge(self, worker: Worker) -> None:
        rival = self.plan.rival(worker.order.id)
        if rival is not None:
            other = self.workers.pop(rival)
            self.void(self.plan.failed(rival, other.at, self.now))
        mine = self.plan.order(worker.order.id)
        if mine is None:
            assert worker.order.id not in self.workers
            return
        assert mine.first >= worker.order.first
        worker.is_hedge, worker.at = False, mine.first
        self.finish(worker)

    @rule(number=PICK, fraction=FRACTION)
    def fail(self, number: int, fraction: float) -> None:
        worker = self.pick(number)
        if worker is not None:
            self.lose(worker, fraction)

    def lose(self, worker: Worker, fraction: float = 0.0) -> None:
        """End an order; what was written since the last report counts, and now and then some is taken back."""
        del self.workers[worker.order.id]
        upto = worker.at
        if not worker.is_hedge:
            upto = (
                worker.order.first + int(fraction * (worker.at - worker.order.first)) if fraction > 0.5 else worker.at
            )
            self.disk.remove(upto, worker.at)
        self.void(self.plan.failed(worker.order.id, upto, self.now))

    @rule(number=PICK)
    def refuse(self, number: int) -> None:
        worker = self.pick(number, is_hedge=False)
        if worker is not None:
            del self.workers[worker.order.id]
            self.void(self.plan.refused(worker.order.id, self.now))
            assert self.plan.capacity >= 1

    @rule(start=FRACTION, length=FRACTION)
    def discard(self, start: float, length: float) -> None:
        """A seam does not fit: those who wrote there are stopped one after another, others go on meanwhile."""
        self.distrust(int(start * self.size), min(self.size, int((start + length / 4) * self.size)))

    @rule(number=PICK, before=st.integers(0, 300 * KIB), after=st.integers(1, 300 * KIB))
    def discard_at_a_seam(self, number: int, before: int, after: int) -> None:
        worker = self.pick(number)
        if worker is not None:
            first = worker.order.first
            self.distrust(max(0, first - before), min(self.size, first + after))

    def distrust(self, first: int, end: int) -> None:
        stop = self.plan.discard(first, end)
        self.disk.remove(first, end)
        self.found.remove(first, end)
        for number in stop:
            worker = self.workers.pop(number, None)
            if worker is not None:
                if not worker.is_hedge:
                    self.disk.remove(worker.order.first, worker.at)
                self.plan.progress(number, worker.end, self.now)  # still on its way: must not count
                assert self.plan.landed(number, self.now) == ()

    @rule(fraction=FRACTION)
    def hash_on(self, fraction: float) -> None:
        self.hashed = min(self.hashed, self.plan.frontier)
        self.hashed += int(fraction * (self.plan.frontier - self.hashed))
        self.plan.hashed(self.hashed)

    @rule(number=st.integers(0, 200))
    def hear_of_strangers(self, number: int) -> None:
        """Late reports about orders that are over change nothing."""
        if number not in self.workers and not self.is_thief(number):
            self.plan.progress(number, self.size, self.now)
            assert self.plan.landed(number, self.now) == ()
            assert self.plan.failed(number, 0, self.now) == ()
            assert self.plan.cut_applied(number, 0) is None
            assert self.plan.order(number) is None

    def is_thief(self, number: int) -> bool:
        return number in self.plan._held.waiting

    @invariant()
    def every_byte_has_one_state(self) -> None:
        if not hasattr(self, "plan"):
            return
        plan = self.plan
        assert plan._held.done == self.disk
        spans = [*self.disk, *plan._held.missing]
        spans += [(run.upto, run.end) for run in plan._held.running.values()]
        spans += [(run.first, run.end) for run in plan._held.hedges.values() if run.victim is None]
        spans = sorted(span for span in spans if span[0] < span[1])
        assert sum(end - first for first, end in spans) == self.size
        assert all(left[1] == right[0] for left, right in pairwise(spans))
        assert plan.frontier == self.disk.first_gap(0)
        assert plan.is_complete == (self.disk.total == self.size and all(w.is_hedge for w in self.workers.values()))

    @precondition(lambda self: hasattr(self, "plan"))
    @invariant()
    def the_lead_is_bounded(self) -> None:
        ahead = self.size - self.hashed - self.plan._held.missing.count(self.hashed, self.size)
        assert ahead - self.found.count(self.hashed, self.size) <= self.lead + 32 * MIB

    def teardown(self) -> None:
        """From wherever it is, a download with working connections ends in a bounded number of steps."""
        if not hasattr(self, "plan"):
            return
        steps = 0
        while not self.plan.is_complete:
            steps += 1
            order = min(self.piece, SMALLEST)  # with a short lead no order is larger
            assert steps < 500 + 2 * self.size // order, "it never ends"
            self.now += 0.05
            self.hashed = self.plan.frontier
            self.plan.hashed(self.hashed)
            self.take(None, 0.0)
            for worker in list(self.workers.values()):
                if worker.order.id in self.workers:
                    if worker.is_hedge:
                        self.finish_hedge(worker)
                    else:
                        self.finish(worker)
            self.every_byte_has_one_state()
        assert self.disk.total == self.size
        assert self.plan.active == len(self.workers) == 0


TestDownload = Download.TestCase
TestDownload.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
