"""Who fetches which bytes next, so that a file is there as soon as its connections allow, and its prefix even sooner.

A plan belongs to one version of one file of known size. Positions are handed out as orders: first, end (half-open); an
order is one request. The rules:

- **In order, with a bounded lead.** `take` gives the first bytes that nobody has. At most `lead` bytes that were
  fetched or ordered here lie ahead of the hash, which follows the frontier (`hashed`).
- **Large first, small last.** Orders are as large as `piece`, as long as each connection will have several; then half
  of a fair share, down to what is worth a request at this latency. A slow connection gets small orders.
- **Steal.** When nothing is left to take and a connection is idle, the order with the longest *time* left is cut where
  both will end together, by measured rates. **Hedge**: below 256 KiB the rest is fetched twice; the first wins.
- **Fewer connections when more do not help**: `capacity`.

Hedges hold their bytes in memory until the order they race was stopped (`rival`), so no byte is ever written by two.

How to drive it. An idle connection asks `take`, then `rescue`; if both say None it asks again after the next report of
anybody, and every POLL seconds: a stall is no event. All calls carry `now`, of one monotonic clock. Workers report the
first bytes at once and then at least every 0.2 s. Every order ends with `landed` or `failed`; both return orders that
are void from then on, to be stopped. Reports about void or unknown orders are ignored.

Not for it: a file of unknown length has no plan; its one stream is its own frontier, and begins again at 0. One stream
of known length (the server ignores ranges) is a plan with `segments=1` and `begun(0, size)`; when it breaks, say
`failed(id, 0, now)`, since what was written cannot be continued. The first request of a file is made before its size
is known: tell it by `begun`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from crawler.download.plan.capacity import Capacity
from crawler.download.plan.holdings import Holdings
from crawler.download.plan.rates import Rates
from crawler.download.plan.refusals import Refusal
from crawler.download.plan.rescue import Race, cut_or_race
from crawler.download.plan.run import Run
from crawler.download.plan.sizes import GRAIN, MIB, SMALLEST, order_size
from crawler.download.plan.spans import Spans

MIN_PIECE: Final = 1 * MIB
MAX_PIECE: Final = 16 * MIB
POLL: Final = 0.1  # seconds after which an idle connection asks again


class Order(NamedTuple):
    """Fetch positions [first, end) and write them there. The overlap that `Seams` compares is asked for on top."""

    id: int
    first: int
    end: int


class Steal(NamedTuple):
    """Cut `victim` at `cut`; what is behind goes to another connection.

    Tell the victim's worker, and `Plan.cut_applied` what it answers: where the victim really ends. That returns the
    order to start; `order` only tells what it will be if the victim is not there yet.
    """

    victim: int
    cut: int
    order: Order


class Hedge(NamedTuple):
    """Fetch the rest of order `of` a second time, into memory.

    When all of it is there: stop `rival(order.id)`, if any, and report it `failed`; then write what `order(order.id)`
    tells (less than was fetched: compare the rest with what the rival wrote), then report `landed`.
    """

    of: int
    order: Order


def piece_for(size: int, segments: int) -> int:
    """Return how large pieces of a file should be: 16 for each of the segments, from 1 MiB to 16 MiB, whole MiB."""
    fair = size // (16 * max(1, segments))
    return min(max(fair // MIB * MIB, MIN_PIECE), MAX_PIECE)


class Plan:
    """The state of one file: what is on disk, who fetches what. Owned by one task; never blocks, never waits."""

    def __init__(
        self, size: int, done: Spans, segments: int, piece: int, lead: int, refusal: Refusal | None = None
    ) -> None:
        """Plan the rest of a file.

        Takes its size, what is on disk already (copied), the most connections, the usual size of an order, and how many
        bytes fetched here may lie ahead of the hash (`size` when nobody hashes), all in bytes; and what its server was
        seen to refuse before, if anything (owned from now on).
        """
        assert size >= 0, "of unknown length there is no plan"
        assert piece > 0, "an order has bytes"
        assert lead > 0, "without a lead nothing could begin"
        self.size = size
        self._piece = piece
        self._lead = lead
        self._held = Holdings(size, done)
        self._hashed = 0
        self._rates = Rates()
        self._capacity = Capacity(segments, refusal)

    # -- what is known

    @property
    def frontier(self) -> int:
        """The first position that is not on disk. It goes back only in `discard` and when `failed` takes bytes back."""
        return self._held.frontier

    @property
    def is_complete(self) -> bool:
        """Whether all is on disk and every order that wrote has ended: its report may still tell of a wrong seam."""
        return self._held.done.total == self.size and not self._held.running

    @property
    def done(self) -> Spans:
        """What is on disk: a copy."""
        return self._held.done.copy()

    @property
    def written(self) -> int:
        """How many bytes are on disk, those from before this plan included."""
        return self._held.done.total

    @property
    def active(self) -> int:
        """How many orders are under way, hedges and thieves that wait for their cut included."""
        return self._held.active

    @property
    def capacity(self) -> int:
        """How many connections help."""
        return self._capacity.current

    @property
    def is_reaching(self) -> bool:
        """Whether one of these connections is new, to see whether it helps."""
        return self._capacity.is_reaching

    @property
    def refused_above(self) -> int | None:
        """The server was seen to refuse more connections than this; None when it refused none, or all is forgiven."""
        return self._capacity.refused_above

    def order(self, number: int) -> Order | None:
        """Return an order as it is now, after cuts; of a hedge, what it has to write. None when it is void or ended."""
        run = self._held.find(number)
        return None if run is None else _order(run)

    def rival(self, number: int) -> int | None:
        """Return the order that must be stopped, and reported `failed`, before this hedge may write."""
        run = self._held.hedges.get(number)
        return None if run is None or run.victim is None else run.victim.id

    # -- what is to be done

    def begun(self, first: int, end: int, now: float, lane: int | None = None) -> Order:
        """Return the order for a request that was made before the plan was: nobody else may have its bytes."""
        assert first < end <= self.size, "an order has bytes"
        assert self._held.missing.covers(first, end), "these bytes are there or somebody's"
        return _order(self._held.start(first, end, lane, now))

    def take(self, now: float, lane: int | None = None) -> Order | None:
        """Return what an idle connection should fetch next, None when there is nothing, or not now.

        A lane is a number of the caller's for one connection after another; with it, slow ones get less.
        """
        span = self._held.missing.first()
        if span is None or self.active >= self.capacity:
            return None
        first, end = span
        size = self._fair(lane)
        if first == self.frontier:  # what the hash waits for, however much lies behind it
            room = size if self._unhashed(first) < self._lead else 0
        else:
            room = self._lead - self._ahead()
        if size == 0 or room <= 0 or room < size // 2:
            return None
        size = min(size, room)
        stop = (first + size) // GRAIN * GRAIN
        stop = stop if stop > first else first + size
        if end - stop < min(SMALLEST, size) // 2:
            stop = end  # no crumbs
        return _order(self._held.start(first, min(stop, end), lane, now))

    def rescue(self, now: float, lane: int | None = None) -> Steal | Hedge | None:
        """Return how an idle connection can shorten what is under way, once `take` gave None."""
        if self.active >= self.capacity:
            return None
        latency, mine = self._rates.latency, self._rates.lane(lane)
        for rate, run in self._longest_first(now):
            match cut_or_race(run.pace.guess(run.upto, run.end, rate, now), run.end, rate, mine, latency):
                case int(cut):
                    return Steal(run.id, cut, _order(self._held.steal(run, cut, lane, now)))
                case Race():
                    return Hedge(run.id, _order(self._held.hedge(run, lane, now)))
        return None

    # -- what happened

    def sent(self, number: int, now: float) -> None:
        """Note that the request of an order was sent only now: it had to wait for its turn at the host.

        Without it an order counts as sent when it was taken, and waiting looks like latency.
        """
        run = self._held.find(number)
        if run is not None:
            run.pace.sent(now)

    def progress(self, number: int, upto: int, now: float) -> None:
        """Note that everything of an order before `upto` is written (of a hedge: is in memory)."""
        run = self._held.find(number)
        if run is None or run.is_doomed:
            return
        upto = min(upto, run.end)
        if upto <= run.upto:
            return
        if run.pace.first_byte_at is None and upto < run.end:  # at its end it tells more than latency
            self._rates.began(now - run.pace.taken_at)
        if number in self._held.running:
            self._capacity.moved(upto - run.upto, self.active, now)
        self._held.advance(run, upto)
        run.pace.moved(upto, now)

    def landed(self, number: int, now: float) -> tuple[int, ...]:
        """Note that all bytes of an order are written; return the orders that are void now: stop them.

        An order whose cut was asked for but never applied has landed with all its bytes: its thief is void.
        """
        run = self._held.find(number)
        if run is None:
            return ()
        if run.is_doomed:
            return self.failed(number, run.first, now)
        self.progress(number, run.end, now)
        rate = run.pace.measured(run.first, run.end, now)
        if rate is not None:
            self._rates.reached(run.lane, rate)
        return self._held.land(run)

    def failed(self, number: int, upto: int, now: float) -> tuple[int, ...]:
        """Note that an order ended at `upto`, whatever the reason; what it wrote before counts, the rest is missing.

        `upto` may be less than was reported: the bytes from there on are taken back. Returns void orders: stop them.
        """
        run = self._held.find(number)
        return self._held.fail(run, upto) if run is not None else ()

    def refused(self, number: int, now: float) -> tuple[int, ...]:
        """Note that the server would not serve this order beside the others (429, 503, a reset): fewer from now on."""
        run = self._held.find(number)
        void = self.failed(number, run.upto if run is not None else 0, now)
        self._capacity.refused(self.active, now)
        return void

    def cut_applied(self, victim: int, end: int) -> Order | None:
        """Note where the victim of a steal really ends; return the thief's order, None when nothing is left for it."""
        run = self._held.running.get(victim)
        thief = self._held.cut(run, end) if run is not None else None
        return None if thief is None else _order(thief)

    def hashed(self, upto: int) -> None:
        """Note that the hash has come to `upto`; it may also go back."""
        self._hashed = min(upto, self.size)

    def discard(self, first: int, end: int) -> tuple[int, ...]:
        """Note that [first, end) on disk is not to be trusted, and is missing again.

        Returns the orders that wrote some of it or are void: stop them and report them `failed`. What they own stays
        theirs until then, so that no one else writes there meanwhile.
        """
        return self._held.discard(first, end)

    # -- inside

    def _ahead(self) -> int:
        """Return how many bytes fetched or ordered by this plan lie ahead of the hash."""
        return self._unhashed(self.size) - self._held.missing.count(self._hashed, self.size)

    def _unhashed(self, upto: int) -> int:
        """Return how many positions between the hash and `upto` were not there at the start."""
        return upto - self._hashed - self._held.found.count(self._hashed, upto)

    def _fair(self, lane: int | None) -> int:
        rates, segments = self._rates, self.capacity
        size = order_size(
            self._held.missing.total,
            segments,
            piece=self._piece,
            most=self._lead // (2 * segments),
            usual=rates.usual,
            mine=rates.lane(lane),
            latency=rates.latency,
            is_measured=rates.is_known,
        )
        return size if size or self._held.running else GRAIN  # slow is better than nobody

    def _longest_first(self, now: float) -> list[tuple[float, Run]]:
        """Return the orders that may be rescued with their rates, the one with the most time left first.

        While something is missing, `take` gave None because of the lead: only whoever holds up the frontier is worth a
        rescue, and nobody when it is the hash that is slow.
        """
        runs = [run for run in self._held.running.values() if run.is_eligible]
        if self._held.missing:
            if self._unhashed(self.frontier) > self._lead // 2:
                return []
            runs = [run for run in runs if run.upto == self.frontier]
        usual, latency = self._rates.usual, self._rates.latency
        rated = [(run.pace.rate(run.upto, now, usual, latency), run) for run in runs]
        return sorted(rated, key=lambda item: ((item[1].upto - item[1].end) / item[0], item[1].id))


def _order(run: Run) -> Order:
    return Order(run.id, run.first, run.end)
