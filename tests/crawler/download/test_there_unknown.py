"""A file that is there without a receipt that fits it: its bytes decide, where the caller gave a digest."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download import Digest, Downloader, DownloadOptions, Fault, Wanted, place, there
from crawler.download.disk.disk import Disk
from crawler.download.disk.layout import places_of
from crawler.download.disk.receipt import Receipt, load, store
from crawler.download.proof.discover import Claim, Trust
from crawler.download.proof.metalink import Pieces
from crawler.download.retry import GivenUp
from crawler.download.verify import check_file
from crawler.download.whole import digests_of
from crawler.fetch.options import FetchOptions
from crawler.testing.bodies import Literal, digest
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import ServedFile, serve, version
from pipelines.pool.pool import WorkerPool

ROOT = Path(__file__).parents[3]
PATH = "/data.bin"
SIZE = 3_000_000
FILE, OTHER = version("A", SIZE), version("B", SIZE)
OPTIONS = DownloadOptions(is_durable=False, fetch=FetchOptions(allow_addresses=("127.0.0.0/8",)))


def digest_of(algorithm: str = "sha256", file: ServedFile = FILE) -> Digest:
    return Digest(algorithm, bytes.fromhex(digest(file.body, algorithm)))


def put(path: Path, file: ServedFile = FILE) -> Path:
    """Put a file where it is to be, as `cp` does."""
    path.write_bytes(file.body.read(0, file.body.size))
    return path


def receipt(root: Path) -> Receipt | None:
    found = load(places_of(root, "x").receipt)
    assert found is None or isinstance(found, Receipt)
    return found


def is_verified(root: Path) -> bool:
    """Tell whether `crawl verify` is content with the file."""
    return check_file(str(root), None, places_of(root, "x").receipt.name).state == "right"


@pytest.fixture
async def downloader(server: FaultServer, tmp_path: Path, pool: WorkerPool) -> AsyncIterator[Downloader]:
    """Every request is one too many."""
    server.mount(PATH, lambda request: serve(request, FILE))
    async with Downloader(tmp_path, OPTIONS, pool=pool) as downloader:
        yield downloader
    assert server.exchanges == []


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the file fails."""
    monkeypatch.delattr(there, "digests_of")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5"])
async def test_the_bytes_decide_and_are_read_once(
    algorithm: str, server: FaultServer, downloader: Downloader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = put(tmp_path / "x").stat()
    wanted = Wanted(server.url(PATH), "x", (digest_of(algorithm),))
    result = await downloader.fetch(wanted)
    claim = Claim(wanted.digests[0], "config", Trust.CONFIGURED)
    assert (result.status, result.path, result.verified_by) == ("verified", "x", claim), result
    noted = receipt(tmp_path)
    assert noted is not None
    assert (noted.url, noted.path, noted.size, noted.rank) == (server.url(PATH), "x", SIZE, 3)
    assert noted.digests == {"sha256": digest(FILE.body), algorithm: digest(FILE.body, algorithm)}
    assert [words["value"] for words in noted.claims] == [claim.digest.value.hex()]
    assert (noted.mtime_ns, noted.inode) == (found.st_mtime_ns, found.st_ino)
    assert is_verified(tmp_path)
    monkeypatch.delattr(there, "digests_of")
    again = await downloader.fetch(wanted)
    assert again._replace(seconds=0) == result._replace(seconds=0)
    assert list((tmp_path / ".crawlmill/parts").iterdir()) == []


async def test_an_empty_file_has_a_digest_too(server: FaultServer, downloader: Downloader, tmp_path: Path) -> None:
    empty = ServedFile(Literal(b""))
    put(tmp_path / "x", empty)
    assert (await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of(file=empty),)))).status == "verified"
    assert is_verified(tmp_path)


@pytest.mark.parametrize("right", [(), ("sha512",)], ids=["all wrong", "one wrong"])
async def test_other_bytes_stay_and_both_digests_are_named(
    right: tuple[str, ...], server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    before = put(tmp_path / "x", OTHER).stat()
    digests = (digest_of("sha256"), *(digest_of(name, OTHER) for name in right))
    result = await downloader.fetch(Wanted(server.url(PATH), "x", digests))
    assert (result.status, result.fault, result.path) == ("failed", Fault.EXISTS, None)
    assert digest(OTHER.body) in result.detail
    assert digest(FILE.body) in result.detail
    assert receipt(tmp_path) is None
    after = (tmp_path / "x").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


PIECES = Pieces(SIZE, (digest_of(),))
PAGE = (Claim(digest_of(), "page", Trust.SAME_ORIGIN),)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("", size=SIZE),
        Wanted("", claims=PAGE),
        Wanted("", pieces=PIECES),
        Wanted("", digests=(digest_of(),), size=SIZE - 1),
    ],
    ids=["no digest", "a page's digest", "digests of pieces", "another size"],
)
@pytest.mark.usefixtures("unread")
async def test_what_nothing_of_the_callers_can_prove_is_not_read(
    wanted: Wanted, server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    put(tmp_path / "x")
    result = await downloader.fetch(wanted._replace(url=server.url(PATH), path="x"))
    assert (result.fault, receipt(tmp_path)) == (Fault.EXISTS, None)
    size = f"it has {SIZE} bytes, not {SIZE - 1}"
    assert (size if wanted.digests else "it has no receipt that fits it") in result.detail


def link(path: Path) -> None:
    path.symlink_to(put(path.with_name("right")))


@pytest.mark.parametrize("is_late", [False, True], ids=["in time", "too late"])
@pytest.mark.parametrize("make", [link, Path.mkdir, os.mkfifo], ids=["link", "folder", "fifo"])
@pytest.mark.usefixtures("unread")
async def test_what_is_no_file_is_refused_whatever_it_leads_to(
    make: Callable[[Path], None],
    is_late: bool,
    server: FaultServer,
    downloader: Downloader,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where it came after the first look at what is in the way. A worker would wait for ever for a FIFO."""
    make(tmp_path / "x")
    if is_late:
        monkeypatch.setattr(place, "prepare_target", lambda places: None)  # the look that it escaped
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of(),)))
    assert (result.fault, receipt(tmp_path)) == (Fault.EXISTS, None)


def touch(path: Path) -> None:
    os.utime(path)


def cut(path: Path) -> None:
    os.truncate(path, 1000)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def write_and_hide(path: Path) -> None:
    times = path.stat()
    put(path, OTHER)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace_by_a_link(path: Path) -> None:
    path.rename(path.with_name("y"))
    path.symlink_to("y")


@pytest.mark.parametrize("is_before", [True, False], ids=["before the bytes", "after the bytes"])
@pytest.mark.parametrize("write", [touch, cut, grow, write_and_hide, replace_by_a_link, Path.unlink])
async def test_what_is_written_to_while_it_is_read_is_not_believed(
    write: Callable[[Path], None],
    is_before: bool,
    server: FaultServer,
    downloader: Downloader,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the reading fails of it, and where the writer gives the file its old time back."""
    put(tmp_path / "x")

    async def disturbed(*arguments: object) -> dict[str, str]:
        if is_before:
            write(tmp_path / "x")
        try:
            return await digests_of(*arguments)  # type: ignore[arg-type]  # what the caller gave
        finally:
            if not is_before:
                write(tmp_path / "x")

    monkeypatch.setattr(there, "digests_of", disturbed)  # nothing else gets in between so surely
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of(),)))
    assert (result.fault, receipt(tmp_path)) == (Fault.EXISTS, None)
    assert "it was written to while it was read" in result.detail


@pytest.mark.parametrize("fault", [Fault.DISK, Fault.INTERNAL])
async def test_what_cannot_be_read_is_its_own_trouble_and_not_that_of_the_disk(
    fault: Fault, server: FaultServer, downloader: Downloader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trouble with our disk ends a whole crawl."""
    put(tmp_path / "x")

    async def unreadable(*arguments: object) -> dict[str, str]:
        raise GivenUp(fault, "Permission denied")

    monkeypatch.setattr(there, "digests_of", unreadable)  # root may read everything
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of(),)))
    assert result.fault is (Fault.EXISTS if fault is Fault.DISK else fault)
    assert "Permission denied" in result.detail


async def test_a_receipt_whose_file_was_touched_is_renewed(
    server: FaultServer, tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes: all that is known of them stays, so a repair still knows the pieces."""
    server.mount(PATH, lambda request: serve(request, FILE))
    async with Downloader(tmp_path, OPTIONS, pool=pool) as downloader:
        await downloader.fetch(Wanted(server.url(PATH), "x"))
        old = receipt(tmp_path)
        assert old is not None
        pieces = ((0, 1000, 4711),)  # of a small file none are recorded
        digests = {"sha512": digest(FILE.body, "sha512"), **old.digests}
        edited = replace(old, pieces=pieces, digests=digests, size=1000)  # anybody may; only what the bytes say stays
        store(edited, places_of(tmp_path, "x").receipt, tmp_path / "scrap")
        os.utime(tmp_path / "x", ns=(1, 1))
        server.forget()
        elsewhere = Wanted(server.url("/other.bin"), "x", (digest_of("md5"),))
        assert (await downloader.fetch(elsewhere)).status == "verified"
        noted = receipt(tmp_path)
        assert noted is not None
        assert (noted.mtime_ns, noted.size, noted.rank) == (1, SIZE, 3)
        assert set(noted.digests) == {"sha256", "sha512", "md5"}
        assert (noted.url, noted.pieces, noted.identity) == (old.url, pieces, old.identity)
        monkeypatch.delattr(there, "digests_of")
        assert (await downloader.fetch(elsewhere)).status == "verified"
    assert server.exchanges == []


@pytest.mark.parametrize("size", [SIZE, SIZE - 1000])
async def test_a_receipt_of_other_bytes_gives_way_to_a_new_one(
    size: int, server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    new = version("new", size)
    server.mount(PATH, lambda request: serve(request, FILE))
    async with Downloader(tmp_path, OPTIONS, pool=pool) as downloader:
        await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of("sha512"),)))
        old = receipt(tmp_path)
        put(tmp_path / "x", new)
        server.forget()
        refused = await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of("sha512"),)))
        assert (refused.fault, receipt(tmp_path)) == (Fault.EXISTS, old)
        assert (await downloader.fetch(Wanted(server.url("/new"), "x", (digest_of("md5", new),)))).status == "verified"
    noted = receipt(tmp_path)
    assert noted is not None
    assert (noted.url, noted.size) == (server.url("/new"), size)
    assert noted.digests["sha256"] == digest(new.body)
    assert [words["algorithm"] for words in noted.claims] == ["md5"], "nothing of the old bytes is said of the new"
    assert is_verified(tmp_path)
    assert server.exchanges == []


async def test_what_a_killed_download_left_goes_when_the_file_came_by_another_way(
    server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    large = version("A", 40_000_000)
    server.mount(PATH, lambda request: replace(serve(request, large), rate=2e6))
    wanted = Wanted(server.url(PATH), "x", (digest_of(file=large),))
    parts = tmp_path / ".crawlmill/parts"
    async with Downloader(tmp_path, OPTIONS, pool=pool) as downloader:
        moved = asyncio.Event()
        task = asyncio.create_task(downloader.fetch(wanted, lambda _: moved.set()))
        await asyncio.wait_for(moved.wait(), 20)
        task.cancel()
        await asyncio.wait([task])
        assert len(list(parts.iterdir())) == 2, "a journal and what it is of"
        put(tmp_path / "x", large)
        assert (await downloader.fetch(wanted._replace(digests=(digest_of(),)))).fault is Fault.EXISTS
        assert len(list(parts.iterdir())) == 2, "it may be wanted yet"
        assert (await downloader.fetch(wanted)).status == "verified"
        assert list(parts.iterdir()) == []


@pytest.mark.parametrize("is_right", [True, False])
async def test_a_file_that_gets_its_name_from_the_answer_is_looked_at_too(
    is_right: bool, server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    """Only the answer tells the name, so that is one request; of other bytes the file goes beside."""
    server.mount(PATH, lambda request: serve(request, FILE))
    there_already = FILE if is_right else OTHER
    put(tmp_path / "data.bin", there_already)
    async with Downloader(tmp_path, OPTIONS, pool=pool) as downloader:
        result = await downloader.fetch(Wanted(server.url(PATH), None, (digest_of(),)))
    assert (result.status, result.path == "data.bin") == ("verified", is_right)
    assert (tmp_path / "data.bin").read_bytes() == there_already.body.read(0, SIZE)
    assert digest(FILE.body) == result.digests["sha256"]
    assert len(server.exchanges) == 1 or not is_right, "the rest of it is asked for only where it is needed"


@pytest.mark.parametrize("is_durable", [True, False])
async def test_the_receipt_does_not_reach_the_disk_before_the_file(
    is_durable: bool, server: FaultServer, tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever copied it need not have waited for the disk."""
    inode = put(tmp_path / "x").stat().st_ino
    synced: list[bool] = []
    real = Disk.fsync

    def fsync(disk: Disk, fd: int) -> None:
        synced.append(os.fstat(fd).st_ino == inode)
        real(disk, fd)

    monkeypatch.setattr(Disk, "fsync", fsync)  # no power is lost for a test
    async with Downloader(tmp_path, replace(OPTIONS, is_durable=is_durable), pool=pool) as downloader:
        assert (await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of(),)))).status == "verified"
    assert synced == ([True, False] if is_durable else [False])


async def test_killed_between_reading_and_receipt_the_next_run_does_it_again(
    server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    steps = range(1, 9)
    for step in steps:
        (tmp_path / f"{step}").mkdir()
        put(tmp_path / f"{step}" / "f")
    words = ["-m", "tests.support.killed_there", server.url(PATH), digest(FILE.body), str(tmp_path), *map(str, steps)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    ends = json.loads(out)
    kills = ends.count(-signal.SIGKILL)
    assert kills >= 5, (ends, err)
    assert ends == [-signal.SIGKILL] * kills + [0] * (len(steps) - kills), err
    for step in steps:
        root = tmp_path / f"{step}"
        async with Downloader(root, OPTIONS, pool=pool) as downloader:
            result = await downloader.fetch(Wanted(server.url(PATH), "f", (digest_of(),)))
        assert result.status == "verified"
        assert isinstance(load(places_of(root, "f").receipt), Receipt)
        assert list((root / ".crawlmill/parts").iterdir()) == []
    assert server.exchanges == []


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "crawler", *words],
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_as_a_person_does_it(server: FaultServer, tmp_path: Path) -> None:
    """A list, a file of it copied by hand: no request for that; content again and again; damage can be mended."""
    server.mount("/x", lambda request: serve(request, FILE))
    server.mount("/y", lambda request: serve(request, OTHER))
    put(tmp_path / "x")
    (tmp_path / "SHA256SUMS").write_text(f"{digest(FILE.body)}  x\n{digest(OTHER.body)}  y\n")
    words = ("download", "-i", "SHA256SUMS", "--base", server.url("/"))
    for _ in range(2):
        done = run(*words, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert done.stdout.count("verified by sha256:") == 2
        assert "/x" not in {exchange.request.path for exchange in server.exchanges}
    assert run("verify", ".", cwd=tmp_path).returncode == 0
    put(tmp_path / "x", version("damage", SIZE))
    assert run("verify", ".", cwd=tmp_path).returncode == 3
    mended = run("verify", ".", "--repair", "--allow-address", "127.0.0.0/8", cwd=tmp_path)
    assert mended.returncode == 0, mended
    assert (tmp_path / "x").read_bytes() == FILE.body.read(0, SIZE)
