"""A server, its connections and a hash in simulated time, driven by a plan: how long would this download take?

Steps of a few milliseconds; a connection has a speed, a latency before the first byte of each answer, and a cost to be
opened again. Reports come every 0.1 s, as from a worker. Every write is checked: nothing may be written twice.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from crawler.download.plan.plan import POLL, Hedge, Order, Plan, Steal
from crawler.download.plan.spans import Spans

STEP = 0.002  # seconds
REPORT = 0.1  # seconds


class Connection:
    """One lane: idle, waiting for the head of an answer, or in its body."""

    def __init__(self, lane: int, speed: Callable[[float], float], latency: float) -> None:
        self.lane = lane
        self.speed = speed
        self.latency = latency
        self.order: Order | None = None
        self.at = 0.0  # position
        self.end = 0
        self.written = 0  # everything before was written
        self.ready_at = 0.0  # first byte
        self.told_at = -inf
        self.asked_at = -inf
        self.is_hedge = False
        self.reopen = 0.0  # what the next request costs on top

    def start(self, order: Order, now: float, *, is_hedge: bool = False) -> None:
        self.order, self.at, self.end, self.written = order, float(order.first), order.end, order.first
        self.ready_at = now + self.latency + self.reopen
        self.reopen = 0.0
        self.told_at = -inf
        self.is_hedge = is_hedge

    def stop(self) -> None:
        self.order = None
        self.reopen = 2 * self.latency


class World:
    """All of it."""

    def __init__(
        self,
        plan: Plan,
        speeds: list[float | Callable[[float], float]],
        *,
        latency: float = 0.001,
        link: float = inf,
        hash_rate: float = inf,
        most: int | None = None,
    ) -> None:
        self.plan = plan
        self.connections = [Connection(lane, _function(speed), latency) for lane, speed in enumerate(speeds)]
        self.link = link
        self.hash_rate = hash_rate
        self.most = most  # connections that the server serves at once
        self.now = 0.0
        self.hashed = 0.0
        self.wrote = Spans()
        self.twice = 0  # bytes written again
        self.fetched = 0.0  # bytes over the line
        self.steals = self.hedges = self.orders = self.refusals = 0
        self.widest_lead = 0
        self.seen_capacity: list[int] = []
        self.waiting: dict[int, Connection] = {}  # thieves by victim

    def run(self, limit: float = 1000.0) -> float:
        """Download; return the seconds until the last byte was written."""
        while not self.plan.is_complete:
            assert self.now < limit, "it never ends"
            self.now += STEP
            self._move()
            self._hash()
            self._ask()
        assert self.wrote == Spans([(0, self.plan.size)] if self.plan.size else [])
        return self.now

    def begin(self, end: int) -> None:
        """Let the first request of the file be under way, as it is when the size becomes known."""
        self.connections[0].start(self.plan.begun(0, end, self.now, 0), self.now)

    @property
    def tail(self) -> float:
        """Seconds that the hash needs after the last byte."""
        return (self.plan.size - self.hashed) / self.hash_rate

    def _move(self) -> None:
        busy = [c for c in self.connections if c.order is not None and self.now >= c.ready_at]
        speeds = [c.speed(self.now) for c in busy]
        share = min(1.0, self.link / total) if (total := sum(speeds)) else 1.0
        for connection, speed in zip(busy, speeds, strict=True):
            if connection.order is None:
                continue  # stopped by another in this step
            before = connection.at
            connection.at = min(connection.at + speed * share * STEP, float(connection.end))
            self.fetched += connection.at - before
            if connection.at >= connection.end:
                self._landed(connection)
            elif connection.at > before and self.now - connection.told_at >= REPORT:
                connection.told_at = self.now
                self._wrote(connection, int(connection.at))
                self.plan.progress(connection.order.id, int(connection.at), self.now)

    def _wrote(self, connection: Connection, upto: int) -> None:
        if not connection.is_hedge:
            self.twice += self.wrote.count(connection.written, upto)
            self.wrote.add(connection.written, upto)
        connection.written = max(upto, connection.written)

    def _landed(self, connection: Connection) -> None:
        order = connection.order
        assert order is not None
        if connection.is_hedge:
            rival = self.plan.rival(order.id)
            if rival is not None:
                other = self._on(rival)
                self._wrote(other, int(other.at))
                other.stop()
                self._void(self.plan.failed(rival, other.written, self.now))
            mine = self.plan.order(order.id)
            if mine is None:
                connection.order = None
                return
            connection.is_hedge = False
            connection.written = mine.first
        self._wrote(connection, connection.end)
        connection.order = None
        if connection.end < order.end:
            connection.reopen = 2 * connection.latency
        self._void(self.plan.landed(order.id, self.now))

    def _on(self, number: int) -> Connection:
        return next(c for c in self.connections if c.order is not None and c.order.id == number)

    def _void(self, numbers: tuple[int, ...]) -> None:
        for connection in self.connections:
            if connection.order is not None and connection.order.id in numbers:
                connection.stop()

    def _hash(self) -> None:
        self.hashed = min(self.hashed + self.hash_rate * STEP, float(self.plan.frontier))
        self.plan.hashed(int(self.hashed))

    def _ask(self) -> None:
        for connection in self.connections:
            if connection.order is not None or self.now - connection.asked_at < POLL / 10:
                continue
            connection.asked_at = self.now
            order = self.plan.take(self.now, connection.lane)
            if order is not None:
                self._take(connection, order)
                continue
            match self.plan.rescue(self.now, connection.lane):
                case Steal(victim, cut, _):
                    self._steal(connection, victim, cut)
                case Hedge(_, order):
                    self.hedges += 1
                    connection.start(order, self.now, is_hedge=True)
        self.seen_capacity.append(self.plan.capacity)

    def _take(self, connection: Connection, order: Order) -> None:
        self.orders += 1
        at_work = sum(c.order is not None for c in self.connections)
        if self.most is not None and at_work >= self.most:
            self.refusals += 1
            self.plan.refused(order.id, self.now)
            return
        self.widest_lead = max(self.widest_lead, order.end - int(self.hashed))
        connection.start(order, self.now)

    def _steal(self, connection: Connection, victim: int, cut: int) -> None:
        self.steals += 1
        other = self._on(victim)
        end = max(cut, int(other.at))
        order = self.plan.cut_applied(victim, end)
        if order is not None:
            other.end = end
            connection.start(order, self.now)


def _function(speed: float | Callable[[float], float]) -> Callable[[float], float]:
    return speed if callable(speed) else lambda _: speed
