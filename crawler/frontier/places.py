"""Which file is fetched next: how the places of a crawl's downloads are shared among the hosts.

A place is held until its file has come to an end, and a host that has fallen silent keeps those it has for all its
timeouts and retries. A place that was given away cannot be taken back, so this is about giving, as `Shares` is for
pages:

- a host has two files under way that were begun since it last delivered anything. Whoever delivers soon has all the
  places it can use; a host that never does has two;
- of four places or more, the last eighth, at least one, goes to hosts that have none. Whoever falls silent with all it
  may have under way leaves that much, also to hosts of which no file was known then. Of two or three it would be half
  or a third of what a host that is alone can use;
- the host with the fewest places gets the next one; among equals they take turns. Within a host, first come is first
  served.

Requests have limits of their own (`politeness.per_host`), and what is kept back is seldom more than what serves files
that are hashed, synced and named meanwhile: a host that is alone in a crawl loses little.
"""

from __future__ import annotations

from typing import Final

BEGUN_FREELY: Final = 2  # as `shares.SENT_FREELY`: with two for each file that ends, a host soon has all it may


FEWEST_SHARED: Final = 4
"""Places of which one is kept back."""


class _Host:
    """The files of one host that wait or have a place. Plain state."""

    __slots__ = ("held", "undelivered", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, None] = {}  # an ordered set of tickets
        self.held = 0
        self.undelivered = 0  # places given since it last delivered


class Places:
    """Says which of the files that wait is begun. It knows the hosts of these and of those under way, no others."""

    def __init__(self, count: int) -> None:
        """`count` files may be under way at once."""
        self.count = count
        self.free = count
        self._kept = max(1, count // 8) if count >= FEWEST_SHARED else 0
        self._hosts: dict[str, _Host] = {}
        self._waiting: dict[_Host, None] = {}  # an ordered set: who got a place goes to its end
        self._host_of: dict[int, str] = {}

    def want(self, ticket: int, host_name: str) -> None:
        """Queue a file. `grant` tells when its turn has come; a `leave` has to follow, whether it has or not."""
        assert ticket not in self._host_of, "a file twice"
        self._host_of[ticket] = host_name
        host = self._hosts.setdefault(host_name, _Host())
        host.waiting[ticket] = None
        self._waiting[host] = None

    def grant(self) -> int | None:
        """Give the next file its place and return its ticket; None while no file may have one."""
        if not self.free:
            return None
        # Hosts without a place may always have one, so those that are turned away here are fewer than the places.
        host = min((host for host in self._waiting if self._may_have(host)), key=lambda host: host.held, default=None)
        if host is None:
            return None
        ticket = next(iter(host.waiting))
        self._no_longer_waits(host, ticket)
        if host.waiting:
            self._waiting[host] = self._waiting.pop(host)
        self.free -= 1
        host.held += 1
        host.undelivered += 1
        return ticket

    def delivered(self, host_name: str) -> None:
        """Note that bytes of a file came, or all of it."""
        if host := self._hosts.get(host_name):
            host.undelivered = 0

    def leave(self, ticket: int) -> None:
        """Note that a file has come to an end, or waits no more."""
        name = self._host_of.pop(ticket)
        host = self._hosts[name]
        if ticket in host.waiting:
            self._no_longer_waits(host, ticket)
        else:
            self.free += 1
            host.held -= 1
            host.undelivered = min(host.undelivered, host.held)
        if not host.held and not host.waiting:
            del self._hosts[name]

    def _may_have(self, host: _Host) -> bool:
        return not host.held or (self.free > self._kept and host.undelivered < BEGUN_FREELY)

    def _no_longer_waits(self, host: _Host, ticket: int) -> None:
        del host.waiting[ticket]
        if not host.waiting:
            del self._waiting[host]
