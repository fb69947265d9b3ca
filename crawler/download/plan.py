"""Who fetches which bytes next, so that a file is there as soon as its connections allow, and its prefix even sooner.

A plan belongs to one version of one file of known size. Positions are handed out as orders: first, end (half-open); an
order is one request. The rules:

- **In order, with a bounded lead.** `take` gives the first bytes that nobody has. At most `lead` bytes that were
  fetched or ordered here lie ahead of the hash, which follows the frontier (`hashed`).
- **Large first, small last.** Orders are as large as `piece`, as long as each connection will have several; then half
  of a fair share, down to what is worth a request at this latency. A slow connection gets small orders.
- **Steal.** When nothing is left to take and a connection is idle, the order with the longest *time* left is cut where
  both will end together, by measured rates. **Hedge**: below HEDGE bytes the rest is fetched twice; the first wins.
- **Fewer connections when more do not help**: `capacity`.

Every byte is in exactly one state: missing, owned by one order that may write it, or on disk. Hedges own nothing: they
hold their bytes in memory until the order they race was stopped (`rival`), so no byte is ever written by two.

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

from crawler.download.capacity import Capacity
from crawler.download.rates import Pace, Rates
from crawler.download.spans import Spans

KIB: Final = 1024
MIB: Final = 1024 * KIB
MIN_PIECE: Final = 1 * MIB
MAX_PIECE: Final = 16 * MIB
LARGEST: Final = 64 * MIB  # an order over a long line with much latency
SMALLEST: Final = 256 * KIB  # an order, unless less is left or its connection is slow
GRAIN: Final = 64 * KIB  # orders end at multiples of this, where they can
HEDGE: Final = 256 * KIB  # a rest below this is fetched twice instead of split
GAIN: Final = 0.05  # seconds that a rescue must save: it costs a connection
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


class _Run:
    """One order under way."""

    __slots__ = ("end", "first", "hedge", "id", "is_doomed", "lane", "pace", "thief", "upto", "victim")

    def __init__(self, number: int, first: int, end: int, lane: int | None, now: float) -> None:
        self.id = number
        self.first = first
        self.end = end
        self.upto = first  # everything before is on disk; for a hedge: in memory
        self.lane = lane
        self.pace = Pace(now, first)
        self.thief: _Run | None = None  # waits for the cut
        self.hedge: _Run | None = None
        self.victim: _Run | None = None  # of a hedge, while it is under way; of a thief, before the cut
        self.is_doomed = False

    @property
    def order(self) -> Order:
        return Order(self.id, self.first, self.end)


class Plan:
    """The state of one file: what is on disk, who fetches what. Owned by one task; never blocks, never waits."""

    def __init__(self, size: int, done: Spans, segments: int, piece: int, lead: int) -> None:
        """Plan the rest of a file.

        Takes its size, what is on disk already (copied), the most connections, the usual size of an order, and how many
        bytes fetched here may lie ahead of the hash (`size` when nobody hashes). All in bytes.
        """
        assert size >= 0, "of unknown length there is no plan"
        assert piece > 0, "an order has bytes"
        assert lead > 0, "without a lead nothing could begin"
        self.size = size
        self._piece = piece
        self._lead = lead
        self._done = Spans(done.within(0, size))
        self._found = self._done.copy()  # what was there at the start: no part of the lead
        self._missing = Spans(self._done.gaps(0, size))
        self._running: dict[int, _Run] = {}
        self._hedges: dict[int, _Run] = {}
        self._waiting: dict[int, _Run] = {}  # thieves before their cut
        self._hashed = 0
        self._next_id = 1
        self._rates = Rates()
        self._capacity = Capacity(segments)

    # -- what is known

    @property
    def frontier(self) -> int:
        """The first position that is not on disk. It goes back only in `discard` and when `failed` takes bytes back."""
        return self._done.first_gap(0)

    @property
    def is_complete(self) -> bool:
        """Whether all is on disk."""
        return self._done.total == self.size

    @property
    def done(self) -> Spans:
        """What is on disk: a copy."""
        return self._done.copy()

    @property
    def written(self) -> int:
        """How many bytes are on disk, those from before this plan included."""
        return self._done.total

    @property
    def active(self) -> int:
        """How many orders are under way, hedges and thieves that wait for their cut included."""
        return len(self._running) + len(self._hedges) + len(self._waiting)

    @property
    def capacity(self) -> int:
        """How many connections help."""
        return self._capacity.current

    @property
    def refused_above(self) -> int | None:
        """The server was seen to refuse more connections than this: to be remembered for its other files."""
        return self._capacity.refused_above

    def order(self, number: int) -> Order | None:
        """Return an order as it is now, after cuts; of a hedge, what it has to write. None when it is void or ended."""
        run = self._running.get(number) or self._hedges.get(number)
        return None if run is None else run.order

    def rival(self, number: int) -> int | None:
        """Return the order that must be stopped, and reported `failed`, before this hedge may write."""
        run = self._hedges.get(number)
        return None if run is None or run.victim is None else run.victim.id

    # -- what is to be done

    def begun(self, first: int, end: int, now: float, lane: int | None = None) -> Order:
        """Return the order for a request that was made before the plan was: nobody else may have its bytes."""
        assert first < end <= self.size, "an order has bytes"
        assert self._missing.covers(first, end), "these bytes are there or somebody's"
        return self._start(first, end, now, lane)

    def take(self, now: float, lane: int | None = None) -> Order | None:
        """Return what an idle connection should fetch next, None when there is nothing, or not now.

        A lane is a number of the caller's for one connection after another; with it, slow ones get less.
        """
        span = self._missing.first()
        if span is None or self.active >= self.capacity:
            return None
        room = self._lead - self._ahead()
        if room <= 0:
            return None
        first, end = span
        size = self._fair(lane)
        if first > self.frontier and room < size:
            if room < min(size, SMALLEST):
                return None
            size = room
        stop = (first + size) // GRAIN * GRAIN
        stop = stop if stop > first else first + size
        if end - stop < min(SMALLEST, size) // 2:
            stop = end  # no crumbs
        return self._start(first, min(stop, end), now, lane)

    def rescue(self, now: float, lane: int | None = None) -> Steal | Hedge | None:
        """Return how an idle connection can shorten what is under way, once `take` gave None."""
        if self.active >= self.capacity:
            return None
        latency, mine = self._rates.latency, self._rates.lane(lane)
        for seconds, rate, run in self._longest_first(now):
            left = run.end - run.upto
            if left < HEDGE:
                if seconds > 2 * (latency + left / mine) + GAIN:
                    return self._hedge(run, lane, now)
                continue
            share = int(mine * (left - latency * rate) / (mine + rate))
            cut = max(run.end - share, run.upto + 1)
            cut = min(-(-cut // GRAIN) * GRAIN, run.end)
            saved = seconds - max((cut - run.upto) / rate, latency + (run.end - cut) / mine)
            if run.end - cut >= GRAIN and saved > max(GAIN, 2 * latency):
                return self._steal(run, cut, lane, now)
        return None

    # -- what happened

    def progress(self, number: int, upto: int, now: float) -> None:
        """Note that everything of an order before `upto` is written (of a hedge: is in memory)."""
        run = self._running.get(number) or self._hedges.get(number)
        if run is None or run.is_doomed:
            return
        upto = min(upto, run.end)
        if upto <= run.upto:
            return
        if run.pace.first_byte_at is None:
            self._rates.began(now - run.pace.taken_at)
        if number in self._running:
            self._capacity.moved(upto - run.upto, self.active, now)
            self._done.add(run.upto, upto)
        run.upto = upto
        run.pace.moved(upto, now)

    def landed(self, number: int, now: float) -> tuple[int, ...]:
        """Note that all bytes of an order are written; return the orders that are void now: stop them.

        An order whose cut was asked for but never applied has landed with all its bytes: its thief is void.
        """
        run = self._running.get(number) or self._hedges.get(number)
        if run is None:
            return ()
        if run.is_doomed:
            return self.failed(number, run.first, now)
        self.progress(number, run.end, now)
        rate = run.pace.measured(run.first, run.end, now)
        if rate is not None:
            self._rates.reached(_lane(run), rate)
        if number in self._running:
            del self._running[number]
            return self._void(run)
        del self._hedges[number]
        self._done.add(run.first, run.end)
        if run.victim is None:
            return ()
        victim = self._running.pop(run.victim.id)
        return (victim.id,)

    def failed(self, number: int, upto: int, now: float) -> tuple[int, ...]:
        """Note that an order ended at `upto`, whatever the reason; what it wrote before counts, the rest is missing.

        `upto` may be less than was reported: the bytes from there on are taken back. Returns void orders: stop them.
        """
        if number in self._hedges:
            self._lose(self._hedges.pop(number))
            return ()
        run = self._running.pop(number, None)
        if run is None:
            return ()
        upto = run.first if run.is_doomed else min(max(upto, run.first), run.end)
        self._done.add(run.first, upto)
        self._done.remove(upto, run.end)
        hedge = run.hedge
        if hedge is None:
            self._missing.add(upto, run.end)
            return self._void(run)
        run.hedge = None
        hedge.victim = None
        self._missing.add(upto, hedge.first)
        hedge.first = max(hedge.first, upto)
        void = self._void(run)
        if hedge.first >= hedge.end:  # the victim was done in the moment it was stopped
            del self._hedges[hedge.id]
            return (*void, hedge.id)
        return void

    def refused(self, number: int, now: float) -> tuple[int, ...]:
        """Note that the server would not serve this order beside the others (429, 503, a reset): fewer from now on."""
        run = self._running.get(number) or self._hedges.get(number)
        void = self.failed(number, run.upto, now) if run is not None else ()
        self._capacity.refused(self.active, now)
        return void

    def cut_applied(self, victim: int, end: int) -> Order | None:
        """Note where the victim of a steal really ends; return the thief's order, None when nothing is left for it."""
        run = self._running.get(victim)
        if run is None or run.thief is None:
            return None
        thief, run.thief = run.thief, None
        del self._waiting[thief.id]
        end = max(end, run.upto)
        if end >= run.end:
            return None
        run.end = end
        thief.first = thief.upto = end
        thief.victim = None
        self._running[thief.id] = thief
        return thief.order

    def hashed(self, upto: int) -> None:
        """Note that the hash has come to `upto`; it may also go back."""
        self._hashed = min(upto, self.size)

    def discard(self, first: int, end: int) -> tuple[int, ...]:
        """Note that [first, end) on disk is not to be trusted, and is missing again.

        Returns the orders that wrote some of it or are void: stop them and report them `failed`. What they own stays
        theirs until then, so that no one else writes there meanwhile.
        """
        first, end = max(first, 0), min(end, self.size)
        self._done.remove(first, end)
        self._found.remove(first, end)
        void: list[int] = []
        owned = Spans()
        for run in list(self._running.values()):
            if run.first < end and run.upto > first:
                run.is_doomed = True
                self._done.remove(run.first, run.upto)
                void += [run.id, *self._void(run)]
            owned.add(run.first, run.end)
        for run in self._hedges.values():
            owned.add(run.first, run.end)
        for start, stop in owned.gaps(first, end):
            self._missing.add(start, stop)
        return tuple(void)

    # -- inside

    def _start(self, first: int, end: int, now: float, lane: int | None) -> Order:
        run = self._new(first, end, lane, now)
        self._missing.remove(first, end)
        self._running[run.id] = run
        return run.order

    def _new(self, first: int, end: int, lane: int | None, now: float) -> _Run:
        run = _Run(self._next_id, first, end, lane, now)
        self._next_id += 1
        return run

    def _ahead(self) -> int:
        """Return how many bytes fetched or ordered by this plan lie ahead of the hash."""
        at, size = self._hashed, self.size
        return size - at - self._missing.count(at, size) - self._found.count(at, size)

    def _fair(self, lane: int | None) -> int:
        """Return how large the next order of a lane should be."""
        rates, segments = self._rates, self.capacity
        per_latency = rates.usual * rates.latency if rates.is_known else 0.0
        least = min(max(SMALLEST, int(4 * per_latency)), self._piece)
        most = max(self._piece, min(int(20 * per_latency), LARGEST, self._lead // (4 * segments)))
        size = min(max(self._missing.total // (2 * segments), least), most)
        weight = min(rates.lane(lane) / rates.usual, 1.0)
        return max(int(size * weight), min(GRAIN, size))

    def _longest_first(self, now: float) -> list[tuple[float, float, _Run]]:
        """Return (seconds left, rate, run) of what may be rescued, the longest first.

        While something is missing, `take` gave None because of the lead: only whoever holds up the frontier is worth a
        rescue, and nobody when it is the hash that is slow.
        """
        runs = [run for run in self._running.values() if run.thief is None and run.hedge is None and not run.is_doomed]
        if self._missing:
            frontier = self.frontier
            if frontier - self._hashed > self._lead // 2:
                return []
            runs = [run for run in runs if run.upto == frontier]
        usual, latency = self._rates.usual, self._rates.latency
        rated = [(run.pace.rate(run.upto, now, usual, latency), run) for run in runs]
        longest = [((run.end - run.upto) / rate, rate, run) for rate, run in rated if run.upto < run.end]
        return sorted(longest, key=lambda item: (-item[0], item[2].id))

    def _steal(self, run: _Run, cut: int, lane: int | None, now: float) -> Steal:
        thief = self._new(cut, run.end, lane, now)
        thief.victim, run.thief = run, thief
        self._waiting[thief.id] = thief
        return Steal(run.id, cut, thief.order)

    def _hedge(self, run: _Run, lane: int | None, now: float) -> Hedge:
        hedge = self._new(run.upto, run.end, lane, now)
        hedge.victim, run.hedge = run, hedge
        self._hedges[hedge.id] = hedge
        return Hedge(run.id, hedge.order)

    def _void(self, run: _Run) -> tuple[int, ...]:
        """Forget the thief and the hedge of a run that ended; return their ids."""
        void = []
        if run.thief is not None:
            del self._waiting[run.thief.id]
            void.append(run.thief.id)
            run.thief = None
        if run.hedge is not None:
            del self._hedges[run.hedge.id]
            void.append(run.hedge.id)
            run.hedge = None
        return tuple(void)

    def _lose(self, hedge: _Run) -> None:
        """Forget a hedge that failed; what only it owned is missing again."""
        if hedge.victim is None:
            self._missing.add(hedge.first, hedge.end)
        else:
            hedge.victim.hedge = None


def _lane(run: _Run) -> int:
    return run.lane if run.lane is not None else -run.id
