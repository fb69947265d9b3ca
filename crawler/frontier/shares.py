"""How the fetches that a crawl may have under way are shared among its hosts, so that none keeps the others waiting.

Each host has a limit of its own, but that may be as large as the whole crawl's. A host that stops answering would then
take one slot after the other and keep them all until its requests time out. A slot that was given away cannot be taken
back, so this is about giving:

- with others at work, no host gets the last slots: whoever dies with all its requests under way leaves an eighth;
- a host has two requests under way that were sent since its last answer. What goes beyond is a bet that it is well:
  all hosts together may bet a quarter of the slots, and one in trouble none. A host that answers is never short of
  them, since each answer settles its bets.

A host with nothing under way always gets a slot, and a host alone gets all of them. So whoever is turned away has a
request under way, and is asked again when that ends.
"""

from __future__ import annotations

from typing import Final

from crawler.frontier.host import Host

NO_LIMIT: Final = 1 << 30
SENT_FREELY: Final = 2  # politeness.per_host by default; and with two for each answer a host soon has all it may


class Shares:
    """Says which host may have another of the crawl's slots. One instance a frontier."""

    __slots__ = ("_at_work", "_bets", "_largest_share", "_most_bets")

    def __init__(self, slots: int = NO_LIMIT) -> None:
        self._largest_share = slots - max(1, slots // 8)
        self._most_bets = slots // 4
        self._bets = 0
        self._at_work: dict[Host, None] = {}  # an ordered set; who has become idle leaves it when that is noticed

    def at_work(self, host: Host) -> None:
        """Note that a host has something to do."""
        self._at_work[host] = None

    def forget(self, host: Host) -> None:
        """Note that this object stands for its host no more."""
        self._at_work.pop(host, None)

    def started(self, host: Host) -> None:
        """Note that a host got a slot."""
        host.fetching += 1
        self._note_unanswered(host, host.unanswered + 1)

    def ended(self, host: Host, *, is_answer: bool) -> None:
        """Note that a host gives a slot back, and whether because it answered."""
        assert host.fetching > 0, "ended without started"
        host.fetching -= 1
        self._note_unanswered(host, 0 if is_answer else min(host.unanswered, host.fetching))

    def has_room(self, host: Host) -> bool:
        """Return whether a host may have another slot, as far as the others are concerned."""
        return host.fetching == 0 or self._is_modest(host) or not self._others_work(host)

    def _is_modest(self, host: Host) -> bool:
        if host.fetching >= self._largest_share:
            return False
        return host.unanswered < SENT_FREELY or (self._bets < self._most_bets and not host.clock.in_trouble)

    def _others_work(self, host: Host) -> bool:
        idle = []
        found = False
        for other in self._at_work:
            if other is not host:
                found = not other.is_idle()
                if found:
                    break
                idle.append(other)
        for other in idle:
            del self._at_work[other]
        return found

    def _note_unanswered(self, host: Host, count: int) -> None:
        self._bets += max(0, count - SENT_FREELY) - max(0, host.unanswered - SENT_FREELY)
        host.unanswered = count
