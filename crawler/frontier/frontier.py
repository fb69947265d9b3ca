"""Which URL is fetched next, and when: the frontier.

It decides and does nothing else. `next(now)` returns one step for the engine to take; every event comes back in as a
call that carries the time. Nothing here waits, reads a clock or touches the disk.

The shape follows BUbiNG's workbench (Boldi, Marino, Santini, Vigna: "BUbiNG: Massive Crawling for the Masses", 2018): a
queue of hosts ordered by the time each may be visited next. A host that has no room for another request is not in the
queue, so it cannot be chosen: politeness is a matter of where a host stands, not of a check. Hosts that are ready take
turns, and `Shares` keeps slots back for the others, so one slow, large or dead host never holds up another.

Memory is bounded: at most `max_hosts` hosts with at most `window` URLs in all; everything else is on disk, in the same
order, and is asked for by `Refill` and `MoreHosts` steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import inf

from crawler.frontier.host import HOST, NAME, URL, Host, Origin, Row, busiest, request_of, row_of
from crawler.frontier.politeness import HostClock, Verdict
from crawler.frontier.request import Kind, Request
from crawler.frontier.robots import RobotsRules
from crawler.frontier.shares import NO_LIMIT, Shares
from crawler.frontier.steps import Denied, Done, FileFound, MoreHosts, NeedRobots, Refill, Slot, Step, Wait
from pipelines.url import origin_of

MAX_HOSTS = 4096
WINDOW = 32_768
STEPS_BETWEEN_LOOKS = 512  # for hosts on disk, while those in memory keep the crawl busy
SMALLEST_WINDOW, LARGEST_WINDOW = 16, 2048  # URLs of one host in memory


class Frontier:
    """The order of a crawl. See the module's text; one instance a crawl, used from one thread."""

    def __init__(
        self,
        clock: Callable[[], HostClock],
        *,
        pending: int = 0,
        use_robots: bool = True,
        slots: int = NO_LIMIT,
        max_hosts: int = MAX_HOSTS,
        window: int = WINDOW,
        is_file: Callable[[Row], bool] | None = None,
    ) -> None:
        """Start with `pending` URLs known to the store and none in memory. `clock` makes the clock of a new host.

        `slots` are the fetches that the crawl may have under way, whichever the hosts. Who asks has one to give.
        `is_file` tells of a URL that may be fetched whether it is a file; without it, all of them are pages.
        """
        self._clock = clock
        self._is_file = is_file
        self._use_robots = use_robots
        self._shares = Shares(slots)
        self._max_hosts = max_hosts
        self._window = window
        self.pending = pending
        self._hosts: dict[int, Host] = {}
        self._by_name: dict[str, Host] = {}
        self._origins: dict[str, Origin] = {}
        self._ready: list[tuple[float, int, Host]] = []
        self._delayed: list[tuple[float, int, Host, Row | Request]] = []
        self._refills: deque[Host] = deque()
        self._turn = 0
        self._hosts_on_disk = pending > 0
        self._hosts_missed = False
        self._asking_hosts = False
        self._cursor = 0
        self._steps = 0
        self._strangers = 0  # hosts met only by a robots.txt redirect or as a mirror; their ids are negative
        self._wishing: dict[int, Host] = {}  # hosts by the ticket of a download that waits for its turn

    # -- what is known

    def add(self, rows: Sequence[Row], now: float) -> None:
        """Take URLs that became pending. They are on disk already; what does not fit is read again later."""
        self.pending += len(rows)
        for row in rows:
            host = self._hosts.get(row[HOST])
            if host is None:
                elsewhere = self._hosts_on_disk  # URLs of this host may have been left on disk when there was no room
                host = self._admit(row[HOST], row[NAME], now)
                if host is None:
                    continue
                if elsewhere:
                    host.on_disk = True
                    self._ask_refill(host)
            if host.offer(row):
                if not host.queued:
                    self._enqueue(host)
                if len(host.window) > 2 * LARGEST_WINDOW:
                    host.trim(self._share())

    def settled(self, request: Request) -> None:
        """Note that a page's URL reached an end in the store and is no longer pending there."""
        host = self._by_name[request.host]
        if host.settled(request.id):
            self._enqueue(host)
        self.pending -= 1
        assert self.pending >= 0, "more URLs ended than were pending"

    # -- the next step

    def next(self, now: float) -> Step:
        """Return the one thing to do now."""
        if self._wishing and (slot := self.grant(now)):
            return slot
        while self._delayed and self._delayed[0][0] <= now:
            _, _, host, waiting = heappop(self._delayed)
            if isinstance(waiting, Request):
                host.urgent.append(waiting)
            else:
                host.offer(waiting)
            host.delayed -= 1
            self._enqueue(host)
        if self._refills:
            return self._refill(self._refills.popleft())
        self._steps += 1
        if self._hosts_on_disk and self._steps % STEPS_BETWEEN_LOOKS == 0 and self._may_ask_hosts(now):
            return self._ask_hosts()
        while self._ready and self._ready[0][0] <= now:
            host = heappop(self._ready)[2]
            host.queued = False
            if host.clock.ready_at > now or not self._shares.has_room(host):
                self._enqueue(host)
                continue
            step = self._visit(host, now)
            if isinstance(step, Request):
                host.clock.started(now)
                self._shares.started(host)
            self._enqueue(host)
            if step is not None:
                return step
            if self._refills:
                return self._refill(self._refills.popleft())
        if self.pending == 0 and not self._asking_hosts and not self._wishing:
            return Done()
        if self._hosts_on_disk and self._may_ask_hosts(now):
            return self._ask_hosts()
        times = [queue[0][0] for queue in (self._ready, self._delayed) if queue]
        times += [at for at in (self._slot_at(),) if at is not None]
        return Wait(min(times) if times else None)

    def next_slot(self, now: float) -> Slot | Wait:
        """Return the one thing to do now for downloads that are under way; nothing else is begun."""
        return self.grant(now, in_turns=False) or Wait(self._slot_at())

    def _visit(self, host: Host, now: float) -> Request | NeedRobots | Denied | FileFound | None:
        """Take one URL of a host whose clock agrees; None when it had to be parked."""
        host.slot_last = False
        if host.urgent:
            return host.urgent.popleft()
        if not host.has_work():
            return None
        row = host.take()
        if host.on_disk and not host.refilling and len(host.window) < self._share() // 2:
            self._ask_refill(host)
        if self._use_robots:
            origin_url = origin_of(row[URL])
            origin = self._origins.get(origin_url)
            if origin is None or (origin.rules is not None and origin.expires_at <= now):
                self._origins[origin_url] = origin = Origin()
                host.met(origin_url)
                origin.park(host, row)
                return NeedRobots(origin_url, host.id)
            if origin.rules is None:
                origin.park(host, row)
                return None
            if not origin.rules.allows(row[URL]):
                return Denied(request_of(row), origin.rules.reason)
        if self._is_file is not None and self._is_file(row):
            return FileFound(request_of(row))
        return request_of(row)

    # -- what happened

    def sent(self, request: Request, now: float) -> None:
        """Note that a request goes out now: for the server, this is when it starts."""
        self._by_name[request.host].clock.sent(now)

    def fetched(self, request: Request, now: float, verdict: Verdict, pause_until: float | None = None) -> None:
        """Note that a request ended: its place at the host is free, unless the host backs off or asked for a pause."""
        host = self._by_name[request.host]
        host.clock.ended(now, verdict)
        self._shares.ended(host, is_answer=verdict is Verdict.ALIVE)
        if pause_until is not None:
            host.clock.pause_until(pause_until)
        self._enqueue(host)

    def retry(self, request: Request, when: float) -> None:
        """Queue a request again, not before `when`; the URLs that wait for a robots.txt go on waiting."""
        host = self._by_name[request.host]
        self._turn += 1
        host.delayed += 1
        waiting = request if request.kind is Kind.ROBOTS else row_of(request, host.id)
        heappush(self._delayed, (when, self._turn, host, waiting))

    # -- downloads

    def began_file(self, request: Request) -> bool:
        """Note that a URL is a file, until it is settled; return whether its host may have no more of them for now."""
        return self._by_name[request.host].began_file(request.id)

    def want_slot(self, ticket: int, host_name: str) -> None:
        """Queue the wish of a download to send one request to a host. `next` answers with `Slot`."""
        host = self._by_name.get(host_name) or self._stranger(host_name)
        host.wishes.append(ticket)
        self._shares.at_work(host)
        self._wishing[ticket] = host

    def withdraw(self, ticket: int) -> bool:
        """Forget a wish; False when it was granted already, so that the place has to be given back."""
        host = self._wishing.pop(ticket, None)
        if host is not None:
            host.wishes.remove(ticket)
        return host is not None

    def slowed_down(self, host_name: str, now: float, pause_until: float | None) -> None:
        """Note that a host told a download to slow down."""
        host = self._by_name.get(host_name) or self._stranger(host_name)
        host.clock.overloaded(now)
        if pause_until is not None:
            host.clock.pause_until(pause_until)

    def left(self, host_name: str, now: float) -> None:
        """Note that a request of a download ended. What it says about the host is told apart from it."""
        host = self._by_name[host_name]
        host.clock.ended(now, Verdict.UNKNOWN)
        self._enqueue(host)

    def delivered(self, host_name: str) -> None:
        """Note that a host delivered a file, whatever happened on the way."""
        if host := self._by_name.get(host_name):
            host.clock.recovered()

    def _slot_at(self) -> float | None:
        soonest = min((host.clock.ready_at for host in self._wishing.values()), default=inf)
        return soonest if soonest < inf else None

    def grant(self, now: float, *, in_turns: bool = True) -> Slot | None:
        """Give a download its turn, at a host that is ready; `in_turns` with pages that wait there."""
        for host in self._wishing.values():  # as many as downloads are under way: few
            waits = in_turns and host.slot_last and (host.window or host.urgent)
            if host.clock.ready_at <= now and not waits:
                ticket = host.wishes.popleft()
                del self._wishing[ticket]
                host.slot_last = True
                host.clock.started(now)
                return Slot(ticket)
        return None

    # -- robots.txt

    def want_robots(self, request: Request, now: float) -> None:
        """Queue a robots.txt request (also one that follows a redirect) before all pages of its host."""
        assert request.kind is Kind.ROBOTS
        host = self._by_name.get(request.host) or self._stranger(request.host)
        host.urgent.append(request)
        self._enqueue(host)

    def _stranger(self, name: str) -> Host:
        """Make a host without pages of its own: it gets a clock, so that it is asked politely."""
        self._strangers += 1
        return self._make_host(-self._strangers, name)

    def robots(self, origin_url: str, rules: RobotsRules, *, expires_at: float, crawl_delay: float) -> None:
        """Note what an origin allows, and let go of the URLs that waited for it. `crawl_delay` is clamped already."""
        origin = self._origins.get(origin_url)
        if origin is None:
            return
        origin.rules = rules
        origin.expires_at = expires_at
        parked, origin.parked = origin.parked, []
        for row in parked:
            host = self._hosts[row[HOST]]
            host.parked -= 1
            host.offer(row)
            if crawl_delay > host.clock.crawl_delay:
                host.clock.crawl_delay = crawl_delay
            self._enqueue(host)

    # -- what is on disk

    def refilled(self, host_id: int, rows: list[Row], limit: int) -> None:
        """Take the store's answer to `Refill`."""
        host = self._hosts[host_id]
        if rows and not host.name:
            host = self._named(host, rows[0][NAME])
        host.refilled(rows, more=len(rows) >= limit)
        if not host.window and host.on_disk:
            self._ask_refill(host)
        self._enqueue(host)

    def _named(self, host: Host, name: str) -> Host:
        """Give a host read from disk its name; one known from a robots.txt redirect takes its place, clock and all."""
        known = self._by_name.get(name)
        if known is None:
            host.name = name
            self._by_name[name] = host
            return host
        self._shares.forget(host)
        del self._hosts[known.id]
        known.id = host.id
        self._hosts[known.id] = known
        known.on_disk, known.refilling, known.missed, known.tail = True, host.refilling, host.missed, host.tail
        return known

    def more_hosts(self, after: int, ids: list[int], limit: int, now: float) -> None:
        """Take the store's answer to `MoreHosts`."""
        self._asking_hosts = False
        for host_id in ids:
            if host_id in self._hosts:
                continue
            host = self._admit(host_id, "", now)
            if host is None:
                self._cursor = host_id - 1
                return
            host.on_disk = True
            self._ask_refill(host)
        if len(ids) >= limit:
            self._cursor = ids[-1]
            return
        self._cursor = 0
        if after == 0:  # one look at all of them: none is left out
            self._hosts_on_disk = self._hosts_missed
            self._hosts_missed = False

    # -- inside

    def _share(self) -> int:
        return max(SMALLEST_WINDOW, min(LARGEST_WINDOW, self._window // max(1, len(self._hosts))))

    def _may_ask_hosts(self, now: float) -> bool:
        """Whether there is room for further hosts, after forgetting those that are drained."""
        if self._asking_hosts:
            return False
        room = self._max_hosts * 3 // 4
        return len(self._hosts) <= room or (self._evict(now) and len(self._hosts) <= room)

    def _ask_hosts(self) -> MoreHosts:
        self._asking_hosts = True
        return MoreHosts(self._cursor, min(512, self._max_hosts))

    def _ask_refill(self, host: Host) -> None:
        host.refilling = True
        self._refills.append(host)
        self._shares.at_work(host)

    def _refill(self, host: Host) -> Refill:
        return Refill(host.id, *host.tail, self._share())

    def _enqueue(self, host: Host) -> None:
        """Put a host into the queue of ready hosts if it has work and room; it stands there at most once."""
        if host.queued or not host.has_work():
            return
        self._shares.at_work(host)
        if host.clock.ready_at == inf or not self._shares.has_room(host):
            return
        host.queued = True
        self._turn += 1
        heappush(self._ready, (host.clock.ready_at, self._turn, host))

    def _admit(self, host_id: int, name: str, now: float) -> Host | None:
        """Make room for a host in memory, or note that it waits on disk."""
        if len(self._hosts) >= self._max_hosts and not self._evict(now):
            self._hosts_on_disk = True
            self._hosts_missed = True
            return None
        if name and (host := self._by_name.get(name)):  # known from a robots.txt redirect: keep its clock
            self._hosts[host_id] = self._hosts.pop(host.id)
            host.id = host_id
            return host
        return self._make_host(host_id, name)

    def _make_host(self, host_id: int, name: str) -> Host:
        host = self._hosts[host_id] = Host(host_id, name, self._clock())
        if name:
            self._by_name[name] = host
        return host

    def _evict(self, now: float) -> bool:
        """Forget hosts that are drained and owe no pause; their robots.txt stays in the store."""
        idle = [
            host for host in self._hosts.values() if not host.queued and host.clock.ready_at <= now and host.is_idle()
        ]
        for host in idle:
            del self._hosts[host.id]
            self._by_name.pop(host.name, None)
            self._shares.forget(host)
            for origin in host.origins:
                self._origins.pop(origin, None)
        return bool(idle)

    def busiest(self, count: int) -> list[tuple[str, int, int]]:
        """Return `(host, in flight, in memory)` of the busiest hosts, for a person to look at."""
        return busiest(self._hosts.values(), count)
