"""Connections: used again when they may be, never trusted further than that, and never too many of them."""

from __future__ import annotations

import asyncio

import pytest

from crawler.fetch.addresses import AddressPolicy
from crawler.fetch.fetcher import Fetcher
from crawler.fetch.resolver import Resolver
from crawler.fetch.session import MIN_IDLE
from crawler.frontier.reasons import Reason
from tests.support.faults import CLOSE, RESET, FaultServer, Script, Turns, Wait, page
from tests.support.fetching import LOOPBACK, a_request, failed, fetched, options


async def test_a_connection_serves_one_request_after_another() -> None:
    with FaultServer({"/": [page()]}) as server:
        async with Fetcher(options()) as fetcher:
            for _ in range(5):
                fetched(await fetcher.fetch(a_request(server.url())))
    assert [seen.connection for seen in server.seen] == [1] * 5


async def test_a_request_is_repeated_once_when_an_idle_connection_turns_out_to_be_closed() -> None:
    """A23: a server may close an idle connection in the moment in which we send (RFC 9112 9.3.1)."""
    for end in (CLOSE, RESET):
        scripts = Turns([[page(b"first")], [end], [page(b"second")]])
        with FaultServer({"/": scripts}) as server:
            async with Fetcher(options()) as fetcher:
                assert fetched(await fetcher.fetch(a_request(server.url()))).body == b"first"
                assert fetched(await fetcher.fetch(a_request(server.url()))).body == b"second"
        assert [seen.connection for seen in server.seen] == [1, 1, 2]


async def test_a_request_is_repeated_on_a_new_connection_only() -> None:
    """After a server restarts, every idle connection is dead; the one repetition must not be spent on another."""
    scripts = Turns([[Wait(0.1), page(b"first")], [Wait(0.1), page(b"first")], [CLOSE], [page(b"second")]])
    with FaultServer({"/": scripts}) as server:
        async with Fetcher(options()) as fetcher:
            await asyncio.gather(*(fetcher.fetch(a_request(server.url())) for _ in range(2)))
            assert server.connections == 2
            assert fetched(await fetcher.fetch(a_request(server.url()))).body == b"second"
    assert server.connections == 3


async def test_a_new_connection_that_breaks_is_not_asked_again() -> None:
    """A second request at once would come before the host's delay; retries are the frontier's."""
    for end in (CLOSE, RESET):
        with FaultServer({"/": [end]}) as server:
            async with Fetcher(options()) as fetcher:
                assert failed(await fetcher.fetch(a_request(server.url()))).reason is Reason.DISCONNECTED
        assert len(server.seen) == 1


async def test_a_response_that_nobody_asked_for_is_never_taken_for_an_answer() -> None:
    """A15: the second reply on the idle connection would otherwise be stored under the next URL."""
    scripts: dict[str, Script] = {"/one": [page(b"one"), Wait(0.1), page(b"intruder")], "/two": [page(b"two")]}
    with FaultServer(scripts) as server:
        async with Fetcher(options()) as fetcher:
            assert fetched(await fetcher.fetch(a_request(server.url("/one")))).body == b"one"
            await asyncio.sleep(0.3)
            assert fetched(await fetcher.fetch(a_request(server.url("/two")))).body == b"two"
    assert [seen.connection for seen in server.seen] == [1, 2]


async def test_a_pipelined_extra_response_is_dropped_with_its_connection() -> None:
    """A15, both in one segment."""
    scripts: dict[str, Script] = {"/one": [page(b"one") + page(b"intruder")], "/two": [page(b"two")]}
    with FaultServer(scripts) as server:
        async with Fetcher(options()) as fetcher:
            assert fetched(await fetcher.fetch(a_request(server.url("/one")))).body == b"one"
            assert fetched(await fetcher.fetch(a_request(server.url("/two")))).body == b"two"
    assert [seen.connection for seen in server.seen] == [1, 2]


async def test_a_connection_with_more_than_was_declared_is_not_used_again() -> None:
    """A03."""
    scripts: dict[str, Script] = {"/one": [page(b"one"), Wait(0.05), b"more"], "/two": [page(b"two")]}
    with FaultServer(scripts) as server:
        async with Fetcher(options()) as fetcher:
            assert fetched(await fetcher.fetch(a_request(server.url("/one")))).body == b"one"
            await asyncio.sleep(0.2)
            assert fetched(await fetcher.fetch(a_request(server.url("/two")))).body == b"two"
    assert [seen.connection for seen in server.seen] == [1, 2]


async def test_idle_connections_are_capped() -> None:
    """I08: aiohttp keeps each one for the keep-alive time, and a crawl of many hosts would run out of descriptors."""
    many = MIN_IDLE + 10
    resolver = Resolver(AddressPolicy(LOOPBACK), lookup=lambda host, port, family: ["127.0.0.1"])
    with FaultServer({"/": [page()]}) as server:
        hosts = [f"http://name{number}:{server.port}/" for number in range(many)]
        async with Fetcher(options(concurrency=1), resolver=resolver) as fetcher:
            for host in hosts:
                fetched(await fetcher.fetch(a_request(host)))
            assert fetcher.idle_connections == MIN_IDLE
            fetched(await fetcher.fetch(a_request(hosts[-1])))
            assert server.connections == many  # the youngest are kept
            fetched(await fetcher.fetch(a_request(hosts[0])))
            assert server.connections == many + 1  # the oldest was closed
        await resolver.close()


@pytest.mark.parametrize(
    ("keepalive", "pause", "connections"),
    [(30.0, 0.0, 1), (0.1, 0.3, 2), (0.0, 0.0, 2)],
    ids=["kept", "too long", "off"],
)
async def test_an_idle_connection_is_kept_as_long_as_configured(
    keepalive: float, pause: float, connections: int
) -> None:
    with FaultServer({"/": [page()]}) as server:
        async with Fetcher(options(keepalive=keepalive)) as fetcher:
            fetched(await fetcher.fetch(a_request(server.url())))
            await asyncio.sleep(pause)
            fetched(await fetcher.fetch(a_request(server.url())))
    assert server.connections == connections


@pytest.mark.parametrize(
    ("dns_cache", "pause", "lookups"), [(300.0, 0.0, 1), (1.0, 1.2, 2), (0.0, 0.0, 2)], ids=["kept", "too long", "off"]
)
async def test_a_resolved_name_is_remembered_as_long_as_configured(
    dns_cache: float, pause: float, lookups: int
) -> None:
    """Each fetch makes a connection of its own, and only the first one has to ask for the address."""
    asked: list[str] = []

    def lookup(host: str, port: int, family: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    resolver = Resolver(AddressPolicy(LOOPBACK), lookup=lookup)
    with FaultServer({"/": [page(b"here", "200 OK", "Connection: close"), CLOSE]}) as server:
        async with Fetcher(options(dns_cache=dns_cache), resolver=resolver) as fetcher:
            fetched(await fetcher.fetch(a_request(server.url(host="name"))))
            await asyncio.sleep(pause)
            fetched(await fetcher.fetch(a_request(server.url(host="name"))))
        await resolver.close()
    assert server.connections == 2
    assert asked == ["name"] * lookups


async def test_several_fetchers_live_in_one_loop() -> None:
    with FaultServer({"/": [page()]}) as server:
        async with Fetcher(options()) as one, Fetcher(options(user_agent="other")) as two:
            outcomes = await asyncio.gather(*(f.fetch(a_request(server.url())) for f in (one, two) for _ in range(3)))
    assert [fetched(outcome).status for outcome in outcomes] == [200] * 6
    assert {seen.header("user-agent") for seen in server.seen} == {"crawlmill", "other"}
