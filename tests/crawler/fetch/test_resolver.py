"""Names: only permitted addresses leave the resolver, and the connection goes to exactly those."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from crawler.fetch.addresses import AddressPolicy
from crawler.fetch.fetcher import Fetcher
from crawler.fetch.outcome import Failed, Outcome, Refused
from crawler.fetch.resolver import MAX_ADDRESSES, AddressBlocked, NameNotResolved, Resolver, is_own_address
from crawler.frontier.reasons import Reason
from tests.support.faults import FaultServer, page
from tests.support.fetching import LOOPBACK, a_request, fetched, options


class Names:
    """A name server of the test's own: answers from a table, remembers what it was asked."""

    def __init__(self, **table: list[str] | Exception) -> None:
        self.table = table
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, family: int) -> list[str]:
        self.asked.append(host)
        answer = self.table[host]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def addresses(
    lookup: Callable[[str, int, int], list[str]], host: str = "name", allow: tuple[str, ...] = ()
) -> list[str]:
    resolver = Resolver(AddressPolicy(allow), lookup=lookup, timeout=0.2)
    try:
        return [result["host"] for result in await resolver.resolve(host, 80)]
    finally:
        await resolver.close()


async def test_private_addresses_are_dropped_from_a_mixed_answer() -> None:
    """C27."""
    names = Names(name=["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1", "8.8.8.8"])
    assert await addresses(names) == ["8.8.8.8", "2606:4700::1"]


async def test_a_name_without_a_permitted_address_is_blocked() -> None:
    """C27, C31: a metadata server is a name like any other."""
    with pytest.raises(AddressBlocked) as caught:
        await addresses(Names(name=["169.254.169.254", "fe80::1%eth0"]))
    assert "169.254" not in str(caught.value)  # C32


async def test_a_trusted_name_is_not_filtered() -> None:
    resolver = Resolver(AddressPolicy(), lookup=Names(proxy=["10.0.0.1"]), trusted=frozenset({"proxy"}))
    assert (await resolver.resolve("proxy", 3128))[0]["host"] == "10.0.0.1"
    await resolver.close()


async def test_too_many_addresses_are_cut() -> None:
    """C35: 500 A records."""
    assert len(await addresses(Names(name=[f"8.8.{n // 250}.{n % 250}" for n in range(500)]))) == MAX_ADDRESSES


@pytest.mark.parametrize(
    "answer",
    [socket.gaierror(socket.EAI_NONAME, "Name or service not known"), socket.gaierror(socket.EAI_AGAIN, "later"), []],
    ids=["NXDOMAIN", "SERVFAIL", "no answer"],
)
async def test_a_failed_lookup_is_remembered_for_a_while(answer: Exception | list[str]) -> None:
    """C35: a page with a thousand links to a dead host costs one lookup."""
    names = Names(name=answer)
    resolver = Resolver(AddressPolicy(), lookup=names)
    for _ in range(3):
        with pytest.raises(NameNotResolved):
            await resolver.resolve("name", 80)
    assert names.asked == ["name"]
    await resolver.close()


async def test_an_overlong_label_is_a_name_that_does_not_resolve() -> None:
    """C04: the idna codec inside getaddrinfo raises a bare UnicodeError."""
    with pytest.raises(NameNotResolved, match="no valid host name"):
        await addresses(Names(name=UnicodeError("label too long")))


async def test_a_dead_name_server_holds_up_no_other_lookup() -> None:
    """C35: lookups have threads of their own, more than a few."""
    release = threading.Event()

    def lookup(host: str, port: int, family: int) -> list[str]:
        if host.startswith("dead"):
            release.wait(5)
        return ["8.8.8.8"]

    resolver = Resolver(AddressPolicy(), lookup=lookup, timeout=0.5)
    dead = [asyncio.create_task(resolver.resolve(f"dead{n}", 80)) for n in range(20)]
    async with asyncio.timeout(0.4):
        assert (await resolver.resolve("alive", 80))[0]["host"] == "8.8.8.8"
    assert all(isinstance(result, NameNotResolved) for result in await asyncio.gather(*dead, return_exceptions=True))
    release.set()
    await resolver.close()


async def fetch_name(names: Names, server: FaultServer, allow: tuple[str, ...], host: str = "name") -> Outcome:
    policy = AddressPolicy(allow)
    resolver = Resolver(policy, lookup=names)
    async with Fetcher(options(allow_addresses=allow), resolver=resolver) as fetcher:
        outcome = await fetcher.fetch(a_request(server.url(host=host)))
    await resolver.close()
    return outcome


async def test_the_connection_goes_to_the_checked_address() -> None:
    """C28: a name server that answers differently the second time is never asked a second time."""
    names = Names(name=["10.0.0.1", "127.0.0.1"])
    with FaultServer({"/": [page(b"here")]}) as server:
        assert fetched(await fetch_name(names, server, LOOPBACK)).body == b"here"
    assert names.asked == ["name"]
    assert server.seen[0].header("host") == f"name:{server.port}"


async def test_a_blocked_name_gets_no_packet() -> None:
    """C27, C29: the canary on loopback hears nothing."""
    with FaultServer({"/": [page()]}) as canary:
        outcome = await fetch_name(Names(name=["127.0.0.1", "::1"]), canary, ())
    assert outcome == Refused(Reason.ADDRESS_BLOCKED, "no address that the crawl may reach")
    assert canary.connections == 0


async def test_a_name_that_does_not_resolve_is_a_failure_of_dns() -> None:
    with FaultServer({}) as server:
        outcome = await fetch_name(Names(name=socket.gaierror(socket.EAI_NONAME, "not known")), server, LOOPBACK)
    assert outcome == Failed(Reason.DNS, "not known")


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]", "localhost", "127。0。0。1", "0"])
async def test_closed_literals_get_no_packet(host: str) -> None:
    """C24, C25, C26."""
    with FaultServer({"/": [page()]}) as canary:
        async with Fetcher(options(allow_addresses=())) as fetcher:
            outcome = await fetcher.fetch(a_request(canary.url(host=host)))
    assert outcome == Refused(Reason.ADDRESS_BLOCKED, "no address that the crawl may reach")
    assert canary.connections == 0


async def test_a_second_address_is_tried_when_the_first_is_dead() -> None:
    """C36: nothing listens on 127.0.0.2."""
    with FaultServer({"/": [page(b"here")]}) as server:
        outcome = await fetch_name(Names(name=["127.0.0.2", "::1", "127.0.0.1"]), server, LOOPBACK)
    assert fetched(outcome).body == b"here"


@pytest.mark.parametrize("port", [1, 22, 6379 - 379, 10080])
async def test_bad_ports_are_refused(port: int) -> None:
    """C33."""
    async with Fetcher(options()) as fetcher:
        outcome = await fetcher.fetch(a_request(f"http://127.0.0.1:{port}/"))
    assert outcome == Refused(Reason.PORT_BLOCKED, f"port {port}")


async def test_a_bad_port_may_be_allowed() -> None:
    async with Fetcher(options(allow_ports=frozenset({1}))) as fetcher:
        outcome = await fetcher.fetch(a_request("http://127.0.0.1:1/"))
    assert outcome == Failed(Reason.CONNECT, "connection refused")


async def test_an_own_address_is_told_by_the_routing_table() -> None:
    """C31."""
    assert is_own_address(ip_address("127.0.0.1"))
    assert not is_own_address(ip_address("192.0.2.1"))
