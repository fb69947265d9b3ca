"""Segments of one file at several places: all give bytes, each within its limits, and a wrong one costs its own."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from crawler.download import Digest, Downloader, DownloadOptions, FileResult, Wanted
from crawler.download.disk.receipt import Receipt, load
from crawler.download.gate import HostGate
from crawler.download.plan.refusals import Refusals
from crawler.download.retry import Patience, Sources
from crawler.download.spreading import TURN, Spreading
from crawler.fetch.options import FetchOptions
from crawler.testing.bodies import Source, digest, flipped
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import ServedFile, serve, version
from crawler.testing.messages import End, Reply, Request, text
from pipelines.pool.pool import WorkerPool

MIB = 1 << 20
PATH = "/data.bin"
FILE = version("A", 24 * MIB)
SHA256 = Digest("sha256", bytes.fromhex(digest(FILE.body)))
RATE = 4 * MIB

Responder = Callable[[Request], Reply]


def options(**changes: object) -> DownloadOptions:
    """Two connections a host are fewer than segments: the first place has never room for all."""
    base = DownloadOptions(
        segments=4, per_host=2, retries=3, retry_delay=0.02, retry_delay_max=0.1, is_durable=False,
        fetch=FetchOptions(allow_addresses=("127.0.0.0/8",), read_timeout=5.0),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]  # of many types


def slowly(file: ServedFile = FILE, rate: float = RATE) -> Responder:
    return lambda request: replace(serve(request, file), rate=rate)


def mount(server: FaultServer, *places: Responder) -> None:
    """Each place answers at an address of its own."""
    server.mount(PATH, lambda request: places[request.origin](request))


async def fetched(
    server: FaultServer,
    root: Path,
    pool: WorkerPool,
    *,
    mirrors: int = 1,
    has_digest: bool = True,
    more: dict[str, object] | None = None,
) -> FileResult:
    urls = tuple(server.url(PATH, 1 + number) for number in range(mirrors))
    async with Downloader(root, options(**(more or {})), pool=pool) as downloader:
        return await downloader.fetch(Wanted(server.url(PATH), "x", (SHA256,) if has_digest else (), mirrors=urls))


def asked(server: FaultServer, origin: int) -> list[Request]:
    return [request for request in server.requests if request.origin == origin]


def gave(server: FaultServer, origin: int) -> int:
    return sum(exchange.sent for exchange in server.exchanges if exchange.request.origin == origin)


def most_at_once(server: FaultServer, origin: int) -> int:
    """The most requests that were under way at a place; those that ended unseen count until the end."""
    spans = [(each.request.at, each.ended) for each in server.exchanges if each.request.origin == origin]
    return max(sum(begun <= at and (end is None or end > at) for begun, end in spans) for at, _ in spans)


def openings(server: FaultServer) -> int:
    return sum(request.first == 0 and request.header("if-range") is None for request in asked(server, 0))


def is_right(root: Path) -> bool:
    return (root / "x").read_bytes() == FILE.body.read(0, FILE.body.size)


async def test_all_places_give_bytes_and_none_more_than_it_may(
    server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    mount(server, slowly(), slowly(replace(FILE, etag='"elsewhere"')), slowly(replace(FILE, etag=None)))
    result = await fetched(server, tmp_path, pool, mirrors=2, more={"segments": 6})
    assert (result.status, result.mirrors, result.retries) == ("verified", 3, 0), result
    assert 2 < result.segments <= 6
    for origin in range(3):
        assert gave(server, origin) > MIB
        assert most_at_once(server, origin) <= 2
    assert openings(server) == 1
    receipt = load(tmp_path / ".crawlmill/receipts/x.json")
    assert isinstance(receipt, Receipt)
    assert sorted(receipt.mirrors) == [server.url(PATH, 1), server.url(PATH, 2)]


@pytest.mark.parametrize(("name", "value"), [("per_host", 8), ("spread_mirrors", False), ("segments", 1)])
async def test_nobody_else_is_asked_where_that_is_not_needed(
    name: str, value: int, server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    """The first place has room for all segments; or it is not wanted."""
    mount(server, slowly(), slowly())
    result = await fetched(server, tmp_path, pool, more={name: value})
    assert (result.status, result.mirrors, asked(server, 1)) == ("verified", 1, [])


async def test_one_place_is_asked_as_if_there_was_nothing_else(
    server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    mount(server, slowly())
    result = await fetched(server, tmp_path, pool, mirrors=0)
    assert (result.status, result.mirrors, most_at_once(server, 0)) == ("verified", 1, 2)


@pytest.mark.parametrize("has_digest", [True, False])
async def test_a_mirror_of_another_version_costs_its_own_pieces_only(
    server: FaultServer, tmp_path: Path, pool: WorkerPool, *, has_digest: bool
) -> None:
    """D37: of the same size, and its answers say that it is the same one: only the seams tell.

    What it announces of its own bytes is not taken for the file's.
    """
    other = replace(version("B", FILE.body.size), etag=FILE.etag, last_modified=FILE.last_modified)
    announced = f"sha-256=:{b64encode(bytes.fromhex(digest(other.body))).decode()}:"
    other = replace(other, fields=(("Repr-Digest", announced),))
    mount(server, slowly(), slowly(other), slowly())
    result = await fetched(server, tmp_path, pool, mirrors=2, has_digest=has_digest)
    assert (result.fault, result.mirrors) == (None, 2), result
    assert is_right(tmp_path)
    assert len(asked(server, 1)) == 1
    assert openings(server) == 1
    assert result.fetched_bytes < FILE.body.size + gave(server, 1) + 3 * MIB
    receipt = load(tmp_path / ".crawlmill/receipts/x.json")
    assert isinstance(receipt, Receipt)
    assert receipt.mirrors == (server.url(PATH, 2),)


@pytest.mark.parametrize("named", [{"etag": '"else"', "last_modified": None}, {"etag": None, "last_modified": None}])
async def test_without_a_digest_a_mirror_has_to_say_that_it_has_this_version(
    named: dict[str, str | None], server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    """Bytes that differ far from any border would be put together: nothing of it is taken."""
    body: Source = FILE.body
    for piece in range(24):
        body = flipped(body, piece * MIB + 500_000)
    mount(server, slowly(), slowly(replace(FILE, body=body, **named)))  # type: ignore[arg-type]  # two texts
    result = await fetched(server, tmp_path, pool, has_digest=False)
    assert (result.status, result.mirrors, result.retries) == ("unverified", 1, 0), result
    assert is_right(tmp_path)
    assert len(asked(server, 1)) == 1


async def test_a_mirror_with_wrong_bits_costs_one_new_beginning_without_it(
    server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    """No seam shows them, the digest does: then the file comes from one place."""
    body: Source = FILE.body
    for piece in range(24):
        body = flipped(body, piece * MIB + 500_000)
    mount(server, slowly(), slowly(replace(FILE, body=body)))
    result = await fetched(server, tmp_path, pool)
    assert (result.status, openings(server), is_right(tmp_path)) == ("verified", 2, True), result
    assert result.final_url == server.url(PATH)
    again = [request.number for request in asked(server, 0) if request.header("if-range") is None][1]
    assert all(request.number < again for request in asked(server, 1))


async def test_the_mirror_may_be_the_one_that_is_right(server: FaultServer, tmp_path: Path, pool: WorkerPool) -> None:
    """What does not fit the first place is left out only as long as the first place is believed."""
    mount(server, slowly(version("B", FILE.body.size)), slowly())
    result = await fetched(server, tmp_path, pool)
    assert (result.status, result.final_url, is_right(tmp_path)) == ("verified", server.url(PATH, 1), True), result


@pytest.mark.parametrize("end", ["500", "reset", "gone", "no-ranges"])
async def test_a_mirror_that_stops_serving_costs_nothing_else(
    end: str, server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    calls = count(1)

    def dying(request: Request) -> Reply:
        if next(calls) <= (0 if end == "no-ranges" else 2):
            return slowly()(request)
        match end:
            case "500":
                return text(500)
            case "reset":
                return replace(serve(request, FILE), cut=300_000, after=End.RESET)
            case "gone":
                return text(404)
            case _:
                return serve(request, replace(FILE, has_ranges=False))

    mount(server, slowly(), dying)
    result = await fetched(server, tmp_path, pool)
    assert (result.status, openings(server), is_right(tmp_path)) == ("verified", 1, True), result
    assert all(request.range is not None for request in asked(server, 0))
    assert most_at_once(server, 1) <= 2


async def test_a_slow_mirror_gets_little(server: FaultServer, tmp_path: Path, pool: WorkerPool) -> None:
    mount(server, slowly(), slowly(rate=50_000))
    result = await fetched(server, tmp_path, pool)
    assert (result.status, is_right(tmp_path)) == ("verified", True), result
    assert result.seconds < 12, "at 50 kB/s one piece of 1 MiB alone would take 20 seconds"
    assert gave(server, 1) < 2 * MIB
    assert len(asked(server, 1)) <= 3


async def test_a_refusal_counts_where_it_was_told(server: FaultServer, tmp_path: Path, pool: WorkerPool) -> None:
    """The first place serves one connection at a time and refuses others; what is left goes to the mirror."""

    def strict(request: Request) -> Reply:
        busy = sum(each.request.origin == 0 and each.ended is None for each in server.exchanges)
        return text(503) if busy else slowly()(request)

    mount(server, strict, slowly())
    result = await fetched(server, tmp_path, pool, more={"per_host": 8})
    assert (result.status, result.mirrors) == ("verified", 2), result
    assert gave(server, 1) > 4 * MIB
    assert most_at_once(server, 1) > 1
    assert sum(each.status == 503 for each in server.exchanges) < 8


HOME, MIRROR, TWIN = "http://home.test/x", "http://mirror.test/x", "http://home.test/twin"


class Places:
    """Two places and a gate that is real; the plan does as it is told."""

    def __init__(self, per_host: int, *urls: str) -> None:
        self.sources = Sources([HOME, *urls], Patience(0, 0.0, 0.0, 0.0))
        refusals = Refusals(8)
        self.gate = HostGate(per_host, refusals)
        self.plan = SimpleNamespace(is_reaching=False, capacity=2)
        self.books = SimpleNamespace(
            pinner=self.sources.all[0], sources=self.sources, gate=self.gate, refusals=refusals, options=options(),
            is_mixed=False,
        )  # fmt: skip
        self.spreading = Spreading(cast("Any", self.books), cast("Any", self.plan))

    async def turn(self, lane: int) -> str:
        source, url = await self.spreading.turn(lane)
        assert url == source.at
        return url


async def test_a_turn_that_came_while_another_was_taken_is_given_back() -> None:
    places = Places(1, MIRROR)
    assert await places.turn(0) == HOME
    enter = places.gate.enter

    async def late(url: str) -> None:
        await enter(url)
        if url == MIRROR:
            places.gate.leave(HOME)  # so the turn there comes in the same moment
            await asyncio.sleep(0)

    places.gate.enter = late  # type: ignore[method-assign]  # the moment cannot be met otherwise
    assert await places.turn(1) == MIRROR
    await asyncio.wait_for(enter(HOME), 1)


async def test_who_waits_keeps_its_place_in_the_queue() -> None:
    """A stranger takes one lane; the next one gets the turn at home that it waited for, however long that takes."""
    places = Places(1, MIRROR)
    assert [await places.turn(0), await places.turn(1)] == [HOME, MIRROR]
    third = asyncio.create_task(places.turn(2))
    await asyncio.sleep(0)
    fourth = asyncio.create_task(places.gate.enter(HOME))
    await asyncio.sleep(2 * TURN)
    places.gate.leave(HOME)
    assert await asyncio.wait_for(third, 1) == HOME
    assert not fourth.done()
    fourth.cancel()


async def test_another_url_of_the_same_host_is_no_other_place() -> None:
    places = Places(1, TWIN)
    assert await places.turn(0) == HOME
    waiting = asyncio.create_task(places.turn(1))
    await asyncio.sleep(2 * TURN)
    assert not waiting.done()
    places.gate.leave(HOME)
    assert await asyncio.wait_for(waiting, 1) == HOME
    places.plan.is_reaching = True
    places.gate.leave(HOME)
    assert await places.turn(2) == HOME


async def test_one_connection_more_than_helped_is_tried_elsewhere() -> None:
    places = Places(8, MIRROR)
    assert await places.turn(0) == HOME
    places.plan.is_reaching, places.plan.capacity = True, 3
    assert [await places.turn(1), await places.turn(2)] == [MIRROR, HOME]


async def test_a_hedge_tells_who_has_other_bytes() -> None:
    """Who never fitted anybody is wrong, whichever of the two raced the other; home and home tell nothing."""
    places = Places(8, MIRROR)
    home, mirror = places.sources.all
    places.spreading.key(0)  # meets them
    assert places.spreading.blamed([mirror, home]) == places.spreading.blamed([home, mirror]) == [mirror]
    assert places.spreading.blamed([home, home]) == []
    places.spreading.landed(mirror, 0, MIB)
    assert places.books.is_mixed
    assert places.spreading.rejected([mirror]) == [(0, MIB)]
    assert not places.books.is_mixed
