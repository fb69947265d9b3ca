"""Small files that a worker does alone: what comes of them is the same, whatever the server and the disk do."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from crawler.download import Digest, Downloader, DownloadOptions, Fault, FileResult, Wanted, transfer
from crawler.download import solo as parents
from crawler.download.disk.disk import Disk
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.journal_file import TargetLock
from crawler.download.disk.layout import places_of, prepare
from crawler.download.disk.receipt import Receipt, load
from crawler.download.hand import Hand
from crawler.download.place import Place
from crawler.download.proof.discover import Claim, Trust
from crawler.download.worker import solo
from crawler.download.worker.attempt import Attempt
from crawler.download.worker.limiter import Limiter
from crawler.download.worker.solo import Finisher, Small, finished
from crawler.download.worker.wire import TAKEN, Arrived, Ended, Fetch, Go, Head, Report, Solo
from crawler.fetch.options import FetchOptions
from crawler.fetch.stream import Streamer
from crawler.testing.bodies import Body, digest, flipped
from crawler.testing.faultserver import FaultServer, Responder
from crawler.testing.files import serve, version
from crawler.testing.messages import End, Framing, Reply, Request, redirect
from pipelines.pool.pool import WorkerPool
from tests.support.waiting import bytes_sent

SIZE = 100_000
FILE = version("A", SIZE)
RIGHT = Digest("sha256", bytes.fromhex(digest(FILE.body)))
WRONG = Digest("sha256", bytes(32))
PATH = "/data.bin"


def options(**changes: Any) -> DownloadOptions:
    base = DownloadOptions(
        segments=4, retries=1, retry_delay=0.02, retry_delay_max=0.1, is_durable=False,
        fetch=FetchOptions(allow_addresses=("127.0.0.0/8",), read_timeout=2.0),
    )  # fmt: skip
    return replace(base, **changes)


def honest(request: Request) -> Reply:
    return serve(request, FILE)


def saying(*fields: tuple[str, str]) -> Responder:
    """Return an honest server that says more in its heads."""

    def reply(request: Request) -> Reply:
        told = serve(request, FILE)
        return replace(told, fields=(*told.fields, *fields))

    return reply


def named(name: str) -> Responder:
    return saying(("Content-Disposition", f'attachment; filename="{name}"'))


def whole(request: Request) -> Reply:
    return Reply(200, (), FILE.body)


def _flaky() -> Responder:
    seen: list[Request] = []

    def reply(request: Request) -> Reply:
        seen.append(request)
        return Reply(503, ()) if len(seen) == 1 else serve(request, FILE)

    return reply


def _better() -> Responder:
    """Return a server whose first answer has a wrong byte."""
    seen: list[Request] = []

    def reply(request: Request) -> Reply:
        seen.append(request)
        return serve(request, replace(FILE, body=flipped(FILE.body, 500)) if len(seen) == 1 else FILE)

    return reply


def _there(root: Path, url: str) -> None:
    (root / "a").mkdir(parents=True)
    (root / "a/f").write_bytes(b"of somebody else")


def _right_there(root: Path, url: str) -> None:
    (root / "a").mkdir(parents=True)
    (root / "a/f").write_bytes(FILE.body.read(0, SIZE))


def _scraps(root: Path, url: str) -> None:
    """Lay what a killed run leaves: a temporary file that no journal names, and a receipt that waits."""
    prepare(root)
    places = places_of(root, "a/f")
    places.part("0" * 16).write_bytes(b"some")
    places.pending("0" * 16).write_bytes(b"{}")


def _unsteady() -> Responder:
    """Return a server that has another version each time, and ends before the end of it."""
    seen: list[Request] = []

    def reply(request: Request) -> Reply:
        seen.append(request)
        file = replace(version("A", SIZE), etag=f'"{len(seen)}"')
        return replace(serve(request, file), cut=500, after=End.CLOSE)

    return reply


class Scene(NamedTuple):
    """What one download meets."""

    wanted: Mapping[str, Any] = MappingProxyType({})
    server: Callable[[], Responder] = lambda: honest
    options: Mapping[str, Any] = MappingProxyType({})
    before: Callable[[Path, str], None] = lambda root, url: None
    is_solo: bool = True
    """Whether a worker did it alone."""


SCENES = {
    "verified": Scene({"digests": (RIGHT,)}),
    "unverified": Scene(),
    "mirrors": Scene({"mirrors": ("http://127.0.0.1:9/f",)}),
    "no range": Scene({"digests": (RIGHT,)}, lambda: whole),
    "said by the head": Scene(server=lambda: saying(("Repr-Digest", f"sha-256=:{_base64(RIGHT.value)}:"))),
    "said twice": Scene(
        {"claims": (Claim(RIGHT, "page http://a/", Trust.SAME_ORIGIN),)},
        lambda: saying(("Repr-Digest", f"sha-256=:{_base64(RIGHT.value)}:")),
    ),
    "the head says otherwise": Scene(
        server=lambda: saying(("Repr-Digest", f"sha-256=:{_base64(WRONG.value)}:")), is_solo=False
    ),
    "a stranger says otherwise": Scene(
        {"claims": (Claim(WRONG, "page", Trust.OTHER_ORIGIN), Claim(RIGHT, "config", Trust.CONFIGURED))}
    ),
    "wrong digest": Scene({"digests": (WRONG,)}, is_solo=False),
    "wrong once": Scene({"digests": (RIGHT,)}, _better, is_solo=False),
    "digest required": Scene(options={"require_digest": True}, is_solo=False),
    "unknown algorithm": Scene(
        {"digests": (Digest("blake2b-256", bytes(32)),)}, is_solo=False
    ),
    "known size": Scene({"size": SIZE}),
    "another size": Scene({"size": SIZE + 1}, is_solo=False),
    "too large": Scene(options={"max_bytes": SIZE - 1}, is_solo=False),
    "no name": Scene({"path": None}),
    "name from the head": Scene({"path": None}, lambda: named("x.txt")),
    "name that leads out": Scene({"path": None}, lambda: named("../../x")),
    "unsafe path": Scene({"path": "../x"}, is_solo=False),
    "nothing": Scene(server=lambda: lambda request: serve(request, version("A", 0))),
    "unknown length": Scene(
        server=lambda: lambda request: replace(whole(request), framing=Framing.CHUNKED), is_solo=False
    ),
    "short": Scene(
        server=lambda: lambda request: replace(serve(request, FILE), cut=500, after=End.CLOSE), is_solo=False
    ),
    "another each time": Scene(server=_unsteady, options={"retries": 9}, is_solo=False),
    "gone": Scene(server=lambda: lambda request: Reply(404, ()), is_solo=False),
    "busy once": Scene({"digests": (RIGHT,)}, _flaky),
    "compressed": Scene(server=lambda: saying(("Content-Encoding", "gzip")), is_solo=False),
    "something is there": Scene(before=_there, is_solo=False),
    "the right file is there": Scene({"digests": (RIGHT,)}, before=_right_there, is_solo=False),
    "scraps are there": Scene(before=_scraps, is_solo=False),
    "checksum files": Scene(options={"look_beside": True}, is_solo=False),
    "offered mirrors": Scene(options={"link_mirrors": True}, is_solo=False),
    "more digests": Scene(options={"algorithms": ("sha256", "md5")}),
    "slowly": Scene({"digests": (RIGHT,)}, options={"rate_limit": 500_000.0}),
}  # fmt: skip


def _base64(data: bytes) -> str:
    from base64 import b64encode

    return b64encode(data).decode()


async def _outcome(scene: Scene, root: Path, server: FaultServer, pool: WorkerPool) -> tuple[Any, ...]:
    """Fetch; return all that can be seen afterwards."""
    server.mount(PATH, scene.server())
    before = len(server.requests)
    wanted = Wanted(**{"url": server.url(PATH), "path": "a/f", **scene.wanted})
    scene.before(root, wanted.url)
    async with Downloader(root, options(**scene.options), pool=pool) as downloader:
        result = await downloader.fetch(wanted)
    asked = [(request.path, request.header("range")) for request in server.requests[before:]]
    return _timeless(result, root), _receipts(root), _files(root), asked


def _timeless(result: FileResult, root: Path) -> FileResult:
    return result._replace(seconds=0, detail=result.detail.replace(str(root), "ROOT"))


def _receipts(root: Path) -> list[Receipt]:
    found = [load(path) for path in sorted(root.glob(".crawlmill/receipts/*"))]
    return [replace(each, finished="", seconds=0, mtime_ns=0, inode=0) for each in found if isinstance(each, Receipt)]


def _files(root: Path) -> dict[str, bytes]:
    """Return all files but receipts: locks and temporary ones are among them, if any are left."""
    found = (path for path in root.rglob("*") if path.is_file() and path.parent.name != "receipts")
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


@pytest.mark.parametrize("name", SCENES)
async def test_alone_or_not_the_same_comes_of_it(
    name: str, server: FaultServer, pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result, the receipt, the files, the requests."""
    scene, alone = SCENES[name], 0

    def counted(*arguments: Any) -> FileResult:
        nonlocal alone
        alone += 1
        return real(*arguments)

    real = parents.result_alone
    monkeypatch.setattr(transfer, "result_alone", counted)
    first = await _outcome(scene, tmp_path / "alone", server, pool)
    assert bool(alone) is scene.is_solo
    monkeypatch.setattr(transfer, "may_be_solo", lambda *_: False)
    second = await _outcome(scene, tmp_path / "not", server, pool)
    assert bool(alone) is scene.is_solo
    for one, other in zip(first, second, strict=True):
        assert one == other


async def test_what_a_kill_left_is_cleared(server: FaultServer, pool: WorkerPool, tmp_path: Path) -> None:
    server.mount(PATH, honest)
    _scraps(tmp_path, server.url(PATH))
    assert len(names(tmp_path)) == 2
    async with Downloader(tmp_path, options(), pool=pool) as downloader:
        result = await downloader.fetch(Wanted(server.url(PATH), "a/f", (RIGHT,)))
    assert result.status == "verified"
    assert names(tmp_path) == ["f"]


async def test_a_redirected_file_is_done_alone_where_it_lies(
    server: FaultServer, pool: WorkerPool, tmp_path: Path
) -> None:
    server.mount("/old", lambda request: redirect(PATH, 302))
    server.mount(PATH, honest)
    async with Downloader(tmp_path, options(), pool=pool) as downloader:
        result = await downloader.fetch(Wanted(server.url("/old"), "f", (RIGHT,)))
    assert (result.status, result.final_url) == ("verified", server.url(PATH))
    receipt = load(tmp_path / ".crawlmill/receipts/f.json")
    assert isinstance(receipt, Receipt)
    assert (receipt.url, receipt.final_url) == (server.url("/old"), server.url(PATH))


async def test_a_redirect_to_a_page_is_no_file(server: FaultServer, pool: WorkerPool, tmp_path: Path) -> None:
    server.mount("/set.zip", lambda request: redirect("/login", 302))
    server.mount("/login", lambda request: Reply(200, (("Content-Type", "text/html"),), Body(500)))
    async with Downloader(tmp_path, options(), pool=pool) as downloader:
        result = await downloader.fetch(Wanted(server.url("/set.zip"), "set.zip"))
    assert result.fault is Fault.REDIRECT_TO_PAGE
    assert not (tmp_path / "set.zip").exists()


async def test_two_names_that_clash_are_two_files(server: FaultServer, pool: WorkerPool, tmp_path: Path) -> None:
    for folder in "ab":
        server.mount(f"/{folder}/f.bin", honest)
    async with Downloader(tmp_path, options(), pool=pool) as downloader:
        results = [await downloader.fetch(Wanted(server.url(f"/{folder}/f.bin"))) for folder in "ab"]
    assert [each.path for each in results] == ["f.bin", "f-2.bin"]


async def test_d95_a_worker_that_dies_before_it_tells_has_done_it_all_the_same(
    server: FaultServer, pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has its name and its receipt: the next one finds them, and asks nobody for anything."""
    server.mount(PATH, honest)
    deaths = 0

    def dying(hand: Hand, ended: Ended) -> None:
        nonlocal deaths
        if ended.receipt is not None:
            deaths += 1
            ended = Ended(ended.id, "worker_lost", "the worker process died", 0, None, "", -1, 0, {})
        real(hand, ended)

    real = Hand._end
    monkeypatch.setattr(Hand, "_end", dying)
    async with Downloader(tmp_path, options(), pool=pool) as downloader:
        result = await downloader.fetch(Wanted(server.url(PATH), "f", (RIGHT,)))
    assert (result.status, result.detail, deaths) == ("verified", "there already", 1)
    assert len(server.requests) == 1
    assert names(tmp_path) == ["f"]


class _Gate:
    """Counts who is inside."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.left = 0

    async def enter(self, url: str) -> None:
        self.inside.append(url)

    def leave(self, url: str) -> None:
        self.left += 1
        self.inside.remove(url)

    def slow_down(self, url: str, retry_after: float | None) -> None:
        raise AssertionError("nobody asked for less")


async def test_the_next_request_does_not_wait_for_our_disk(
    server: FaultServer, pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host's slot is free as soon as the worker tells that the request is over, and is given back once."""
    server.mount(PATH, honest)
    gate, seen = _Gate(), []

    def arriving(hand: Hand, ended: Ended) -> None:
        running = hand.running[ended.id]
        seen.append(len(gate.inside))
        running.tell(Arrived(ended.id))
        seen.append(len(gate.inside))
        real(hand, ended)

    real = Hand._end
    monkeypatch.setattr(Hand, "_end", arriving)
    async with Downloader(tmp_path, options(), gate, pool=pool) as downloader:
        result = await downloader.fetch(Wanted(server.url(PATH), "f", (RIGHT,)))
    assert result.status == "verified"
    assert (seen, gate.inside, gate.left) == ([1, 0], [], 1)


# One order in a worker.


@pytest.fixture
async def streamer() -> AsyncIterator[Streamer]:
    async with Streamer(FetchOptions(allow_addresses=("127.0.0.0/8",), read_timeout=2.0)) as streamer:
        yield streamer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    prepare(tmp_path / "out")
    return tmp_path / "out"


def order(server: FaultServer, root: Path, **changes: Any) -> Fetch:
    url = server.url(PATH)
    terms = Solo(str(root), "f", url, (), (), 2, None, None, False, False, False, 0, 0, 0.0, 4711)._replace(**changes)
    return Fetch(1, 1, "", url, 0, 4 << 20, 0, None, "", ("sha256",), solo=tuple(terms))


def attempt(fetch: Fetch, streamer: Streamer, told: list[Report], finisher: Finisher) -> Attempt:
    return Attempt(fetch, streamer, Limiter(), lambda _file, _path: -1, told.append, finisher)


def names(root: Path) -> list[str]:
    """All files there are, but receipts."""
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.suffix != ".json")


async def test_all_that_is_told_is_the_end(server: FaultServer, streamer: Streamer, root: Path) -> None:
    server.mount(PATH, honest)
    told: list[Report] = []
    await attempt(order(server, root), streamer, told, Finisher()).run()
    (ended,) = told
    assert isinstance(ended, Ended)
    assert (ended.fault, ended.received) == ("", SIZE)
    assert ended.receipt == load(root / ".crawlmill/receipts/f.json")
    assert names(root) == ["f"]


async def test_nothing_is_asked_for_where_the_target_is_held(
    server: FaultServer, streamer: Streamer, root: Path
) -> None:
    """By another process, as far as the lock can tell."""
    told: list[Report] = []
    with TargetLock(places_of(root, "f")):
        await attempt(order(server, root), streamer, told, Finisher()).run()
    assert [report.fault for report in told if isinstance(report, Ended)] == [TAKEN]
    assert server.requests == []


async def test_a_stop_gives_the_target_back(server: FaultServer, streamer: Streamer, root: Path) -> None:
    server.mount(PATH, lambda request: replace(serve(request, FILE), rate=1000.0))
    told: list[Report] = []
    task = asyncio.create_task(attempt(order(server, root), streamer, told, Finisher()).run())
    await bytes_sent(server, 1)
    assert names(root) == ["f.lock"]
    assert (root / ".crawlmill/locks/f.lock").read_text().startswith("pid 4711, since ")
    task.cancel()
    await task
    assert [report.fault for report in told if isinstance(report, Ended)] == ["interrupted"]
    assert names(root) == []


async def test_what_does_not_match_waits_for_the_parent(server: FaultServer, streamer: Streamer, root: Path) -> None:
    """Which takes the target itself: it is free by then."""
    server.mount(PATH, honest)
    told: list[Report] = []
    head = asyncio.Event()

    def tell(report: Report) -> None:
        told.append(report)
        head.set()

    claim = ("sha256", WRONG.value.hex(), "config", int(Trust.CONFIGURED))
    fetch = order(server, root, claims=(claim,), must_verify=True)
    one = Attempt(fetch, streamer, Limiter(), lambda _file, _path: -1, tell, Finisher())
    task = asyncio.create_task(one.run())
    await head.wait()
    assert isinstance(told[0], Head)
    assert told[0].is_small
    assert names(root) == []
    one.go(Go(1, str(root / "part"), is_small=True))
    await task
    assert isinstance(told[-1], Ended)
    assert (told[-1].fault, told[-1].digests) == ("", {"sha256": RIGHT.value.hex()})
    assert (root / "part").read_bytes() == FILE.body.read(0, SIZE)


async def test_the_slot_is_given_back_before_a_slow_disk(server: FaultServer, streamer: Streamer, root: Path) -> None:
    server.mount(PATH, honest)
    told: list[Report] = []
    finisher = Finisher()
    finisher._slow_until = inf
    await attempt(order(server, root), streamer, told, finisher).run()
    assert [type(report) for report in told] == [Arrived, Ended]
    assert names(root) == ["f"]


# Many at once.


def small(root: Path, name: str, data: bytes = b"data", *, is_durable: bool = False) -> Small:
    place = Place(root, name, "http://a/", is_durable=is_durable, is_new=True)
    receipt = Receipt(url="u", path=name, size=len(data), digests={})
    return Small(place, [data[:2], data[2:]], receipt, {}, is_durable)


async def test_files_of_one_turn_share_the_waits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []

    def counted(batch: Sequence[Small], disk: Disk) -> list[Receipt | BaseException]:
        batches.append(len(batch))
        return finished(batch, disk)

    monkeypatch.setattr(solo, "finished", counted)
    finisher = Finisher()
    receipts = await asyncio.gather(*(finisher.finish(small(root, f"{number}")) for number in range(5)))
    assert [receipt.path for receipt in receipts] == ["0", "1", "2", "3", "4"]
    assert batches == [5]
    assert names(root) == ["0", "1", "2", "3", "4"]


async def test_a_disk_that_waits_is_waited_for_in_a_thread(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second time on, and for a while: the loop serves others meanwhile."""
    threads: list[bool] = []
    now = seconds = 0.0

    def slow(disk: Disk, fd: int) -> None:
        threads.append(threading.current_thread() is not threading.main_thread())
        nonlocal now
        now += seconds

    monkeypatch.setattr(Disk, "fsync", slow)
    monkeypatch.setattr(solo, "perf_counter", lambda: now)
    monkeypatch.setattr(solo, "TRUCE_SECONDS", 0.2)
    finisher = Finisher()
    await finisher.finish(small(root, "a", is_durable=True))
    seconds = solo.SLOW_SECONDS
    await finisher.finish(small(root, "b", is_durable=True))
    await finisher.finish(small(root, "c", is_durable=True))
    assert threads == [False, False, False, False, True, True]  # the data, and the receipt
    seconds = 0.0
    while finisher.is_slow:  # noqa: ASYNC110 - for a time, not for an event
        await asyncio.sleep(0.05)
    await finisher.finish(small(root, "last", is_durable=True))
    assert threads[6:] == [False, False]


async def test_d76_a_full_disk_costs_the_file_that_finds_no_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no name then, no temporary file, and its target is still held: by who may ask the parent."""
    real = Disk.write_all

    def full(disk: Disk, fd: int, data: bytes, offset: int) -> None:
        if data == b"no":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(disk, fd, data, offset)

    monkeypatch.setattr(Disk, "write_all", full)
    finisher = Finisher()
    batch = [small(root, "a"), small(root, "b", b"noroom"), small(root, "c")]
    first, second, third = await asyncio.gather(*map(finisher.finish, batch), return_exceptions=True)
    assert isinstance(first, Receipt)
    assert isinstance(third, Receipt)
    assert isinstance(second, OSError)
    assert names(root) == ["a", "b.lock", "c"]
    batch[1].place.close()


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "at the last moment"])
async def test_who_has_the_name_meanwhile_keeps_it(is_late: bool, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(disk: Disk, source: Path, target: Path) -> None:
        target.write_bytes(b"of somebody else")
        real(disk, source, target)

    one, real = small(root, "a"), Disk.rename_new
    if is_late:
        monkeypatch.setattr(Disk, "rename_new", late)
    else:
        (root / "a").write_bytes(b"of somebody else")
    with pytest.raises(DownloadError, match="exists: a file is never overwritten"):
        await Finisher().finish(one)
    assert (root / "a").read_bytes() == b"of somebody else"
    assert names(root) == ["a", "a.lock"]
    one.place.close()
