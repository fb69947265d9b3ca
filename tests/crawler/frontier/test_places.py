"""No host keeps the places of the downloads from the others, and one that delivers gets all it can use."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.frontier.places import BEGUN_FREELY, Places


class Desk:
    """Files that wait and are under way, by their host's name."""

    def __init__(self, places: int) -> None:
        self.places = Places(places)
        self.under_way: list[tuple[int, str]] = []  # as they were begun
        self.waiting: dict[int, str] = {}
        self._tickets = count(1)

    def want(self, *hosts: str) -> None:
        """Find a file of each host."""
        for host in hosts:
            ticket = next(self._tickets)
            self.waiting[ticket] = host
            self.places.want(ticket, host)
            self.let_in()

    def let_in(self) -> None:
        while (ticket := self.places.grant()) is not None:
            self.under_way.append((ticket, self.waiting.pop(ticket)))

    def end(self, host: str, *, delivered: bool = True) -> None:
        """End the first file of a host that is under way."""
        ticket = next(ticket for ticket, name in self.under_way if name == host)
        self.under_way.remove((ticket, host))
        if delivered:
            self.places.delivered(host)
        self.places.leave(ticket)
        self.let_in()

    def at(self, host: str) -> int:
        return sum(name == host for _, name in self.under_way)


@given(st.integers(4, 64), st.integers(1, 4), st.booleans())
def test_silent_hosts_leave_places_for_whoever_comes_later(places: int, silent: int, is_first: bool) -> None:
    """Any one of them, and as many as two places for each leave room for."""
    silent = silent if BEGUN_FREELY * silent < places else 1
    desk = Desk(places)
    if is_first:
        desk.want(*["well"] * 20)
    for number in range(silent):
        desk.want(*[f"silent{number}"] * 3 * places)
    if not is_first:
        desk.want(*["well"] * 20)
    ended = 0
    while desk.at("well"):
        desk.end("well")
        ended += 1
    assert ended == 20


@pytest.mark.parametrize("places", [2, 3])
def test_of_few_places_a_host_that_is_alone_has_all(places: int) -> None:
    desk = Desk(places)
    desk.want(*["alone"] * 20)
    for _ in range(10):
        desk.end("alone")
    assert desk.at("alone") == places


@given(st.integers(4, 64))
def test_a_host_that_falls_silent_with_all_it_may_have_leaves_an_eighth(places: int) -> None:
    desk = Desk(places)
    desk.want(*["dies"] * 300)
    for _ in range(200):
        desk.end("dies")
    assert desk.at("dies") == places - max(1, places // 8), "as one that delivers it has all but these"
    desk.want("a", "b")
    assert desk.at("a") == 1
    desk.end("a")
    assert desk.at("b") == 1


def test_a_file_that_ends_badly_does_not_count_for_its_host() -> None:
    desk = Desk(8)
    desk.want(*["silent"] * 20)
    for _ in range(10):
        assert desk.at("silent") == 2
        desk.end("silent", delivered=False)


def test_bytes_count_before_the_file_has_ended() -> None:
    """Large files take long, and their hosts are well."""
    desk = Desk(8)
    desk.want(*["large"] * 20)
    for expected in (2, 4, 6, 7, 7):
        assert desk.at("large") == expected
        desk.places.delivered("large")
        desk.let_in()


def test_the_host_with_the_fewest_places_is_next() -> None:
    """So a slow host gets no more than the others, however many files it has, and however early they came."""
    desk = Desk(8)
    desk.want(*["slow"] * 50)
    for _ in range(20):
        desk.end("slow")
    assert desk.at("slow") == 7
    desk.want(*["well"] * 50)
    for _ in range(3):
        desk.end("slow")
        desk.places.delivered("well")
        desk.let_in()
    assert (desk.at("slow"), desk.at("well")) == (4, 3)


def test_one_place_goes_round() -> None:
    desk = Desk(1)
    desk.want("first", "a", "a", "a", "b", "b", "c")
    order = []
    while desk.under_way:
        ((_, host),) = desk.under_way
        order.append(host)
        desk.end(host)
    assert order == ["first", "a", "b", "c", "a", "b", "a"]


hosts_of = st.sampled_from("abcd")
events = st.lists(st.tuples(st.sampled_from(["want", "end", "fail", "withdraw", "bytes"]), hosts_of), max_size=80)


@settings(deadline=None)
@given(st.integers(1, 20), events)
def test_places_are_never_lost_nor_given_twice(places: int, happens: list[tuple[str, str]]) -> None:
    desk = Desk(places)
    for what, host in happens:
        first = next((ticket for ticket, name in desk.waiting.items() if name == host), None)
        if what == "want":
            desk.want(host)
        elif what == "bytes":
            desk.places.delivered(host)
            desk.let_in()
        elif what == "withdraw" and first is not None:
            del desk.waiting[first]
            desk.places.leave(first)
            desk.let_in()
        elif what in ("end", "fail") and desk.at(host):
            desk.end(host, delivered=what == "end")
        assert desk.places.free == places - len(desk.under_way) >= 0
        begun = {name: [ticket for ticket, owner in desk.under_way if owner == name] for name in "abcd"}
        assert all(tickets == sorted(tickets) for tickets in begun.values()), "first come, first served"
        assert all(desk.at(name) for name in desk.waiting.values() if desk.places.free), "nobody waits in vain"
    for ticket in [*desk.waiting, *(ticket for ticket, _ in desk.under_way)]:
        desk.places.leave(ticket)
    assert desk.places.free == places
    assert not desk.places._hosts, "hosts are forgotten with their last file"
    assert not desk.places._waiting
    assert not desk.places._host_of
