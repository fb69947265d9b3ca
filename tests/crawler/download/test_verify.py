"""`crawl verify`: damage is found and named to the piece, what is right is left alone, and a repair fetches little."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from crawler.download import verify_command
from crawler.download.disk.disk import DISK
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.finish import Ready, finish, recover, standing
from crawler.download.disk.follow import recheck
from crawler.download.disk.journal import Piece
from crawler.download.disk.journal_file import JournalFile, TargetLock
from crawler.download.disk.layout import new_token, places_of
from crawler.download.disk.receipt import Receipt, load
from crawler.download.plan.spans import Spans
from crawler.download.proof.checksum import checksum
from crawler.download.repair import begin_repair
from crawler.download.verify import Checked, adopt, check_file, confirm, jobs, merged, verify_all
from pipelines.pool.pool import WorkerPool
from tests.support.downloads import URL, body, downloaded

DATA = body(5000)
PATH = "data/set.bin"


def checked(root: Path, path: str = PATH) -> Checked:
    return check_file(str(root), None, places_of(root, path).receipt.name)


def test_what_is_right_is_right(tmp_path: Path) -> None:
    downloaded(tmp_path, DATA)
    assert checked(tmp_path) == Checked(PATH, "right", "", (), 5000)
    downloaded(tmp_path, b"", "empty")
    assert checked(tmp_path, "empty").state == "right"


@pytest.mark.parametrize(
    ("damage", "spans"),
    [
        ([(0, b"\1")], ((0, 1024),)),
        ([(1023, b"\1\1")], ((0, 2048),)),
        ([(1500, b"\1"), (4999, b"\1")], ((1024, 2048), (4096, 5000))),
        ([(2048, bytes(1024))], ((2048, 3072),)),
    ],
)
def test_damage_is_named_by_the_bytes_it_lies_in(
    tmp_path: Path, damage: list[tuple[int, bytes]], spans: tuple[tuple[int, int], ...]
) -> None:
    places = downloaded(tmp_path, DATA)
    with places.target.open("r+b") as file:
        for at, data in damage:
            file.seek(at)
            file.write(data)
    found = checked(tmp_path)
    assert (found.state, found.spans) == ("damaged", spans)
    assert "sha256" in found.detail


@pytest.mark.parametrize(("size", "spans"), [(4000, ((3072, 5000),)), (0, ((0, 5000),)), (5001, ())])
def test_a_file_of_another_length(tmp_path: Path, size: int, spans: tuple[tuple[int, int], ...]) -> None:
    places = downloaded(tmp_path, DATA)
    os.truncate(places.target, size)
    found = checked(tmp_path)
    assert (found.state, found.spans) == ("damaged", spans)
    assert f"it has {size:,} bytes, not 5,000" in found.detail


def test_d78_a_sector_that_cannot_be_read_is_damage_there_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloaded(tmp_path, DATA)
    read = DISK.read_into

    def broken(fd: int, buffer: memoryview, offset: int) -> int:
        if offset == 2048:
            raise OSError(errno.EIO, "Input/output error")
        return read(fd, buffer, offset)

    monkeypatch.setattr(DISK, "read_into", broken)
    found = checked(tmp_path)
    assert (found.state, found.spans) == ("damaged", ((2048, 3072),))
    assert found.detail == "2,048 to 3,072 cannot be read"


def test_without_pieces_the_whole_file_is_damaged(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA, pieces=())
    places.target.write_bytes(body(5000, "b"))
    assert checked(tmp_path).spans == ((0, 5000),)


def test_pieces_whose_checksum_nothing_here_computes_say_nothing(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA, checksum="xxh3")
    assert checked(tmp_path).state == "right"
    places.target.write_bytes(DATA[:-1] + b"?")
    assert checked(tmp_path).spans == ((0, len(DATA)),)


def test_damage_where_no_piece_was_recorded(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA)
    receipt = load(places.receipt)
    assert isinstance(receipt, Receipt)
    downloaded(tmp_path, DATA, "other", pieces=(receipt.pieces[0], receipt.pieces[2]))
    with (tmp_path / "other").open("r+b") as file:
        file.seek(1500)
        file.write(b"\1")
    assert checked(tmp_path, "other").spans == ((1024, 2048), (3072, 5000))


def test_without_a_digest_that_can_be_computed_the_pieces_decide(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA, digests={"sha0": "00"})
    assert checked(tmp_path) == Checked(PATH, "right", "by the checksums of its pieces only", (), 5000)
    os.truncate(places.target, 4999)
    os.truncate(places.target, 5000)
    assert checked(tmp_path).spans == ((4096, 5000),)


@pytest.mark.parametrize("what", ["gone", "folder", "symlink", "fifo"])
def test_what_is_no_file_is_missing(tmp_path: Path, what: str) -> None:
    """A link is not followed and a FIFO is not opened, which would wait for ever."""
    places = downloaded(tmp_path, DATA)
    places.target.unlink()
    if what == "folder":
        places.target.mkdir()
    elif what == "symlink":
        (tmp_path / "copy").write_bytes(DATA)
        places.target.symlink_to(tmp_path / "copy")
    elif what == "fifo":
        os.mkfifo(places.target)
    found = checked(tmp_path)
    assert (found.state, found.spans) == ("missing", ((0, 5000),))


@pytest.mark.parametrize("damage", ["torn", "of another", "outside"])
def test_a_receipt_that_cannot_be_used(tmp_path: Path, damage: str) -> None:
    places = downloaded(tmp_path, DATA)
    text = places.receipt.read_text()
    changed = {"torn": text[:-9], "of another": text.replace(PATH, "data/other"), "outside": text.replace(PATH, "../x")}
    places.receipt.write_text(changed[damage])
    assert checked(tmp_path).state == "unreadable"


def test_a_receipt_that_waits_is_adopted_and_one_in_use_is_not(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA)
    places.receipt.rename(places.pending(new_token()))
    with TargetLock(places):
        assert adopt(tmp_path) == 0
    assert adopt(tmp_path) == 1
    assert checked(tmp_path).state == "right"
    places.pending(new_token()).write_bytes(b"torn")
    assert adopt(tmp_path) == 0


def test_a_file_that_was_copied_is_confirmed_by_reading_it_once(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA)
    os.utime(places.target)
    assert standing(places).kind == "changed"
    receipt = confirm(places)
    assert receipt is not None
    assert standing(places) == ("ours", receipt)
    places.target.write_bytes(body(5000, "b"))
    assert confirm(places) is None
    assert standing(places).kind == "changed"
    places.target.unlink()
    assert confirm(places) is None
    assert list(places.parts.iterdir()) == []


def test_spans_that_touch_are_one() -> None:
    assert merged([(5, 9), (0, 2), (2, 4), (6, 7)]) == ((0, 4), (5, 9))


async def test_several_files_are_read_by_several_processes(tmp_path: Path) -> None:
    """One file is one process's work, since its digest is a chain; no process waits while another has files left."""
    size, told = 8 << 20, tmp_path / "told"
    for number in range(6):
        downloaded(tmp_path, bytes(size), f"f{number}", pieces=((0, size, checksum(bytes(size), 0)),))
    told.mkdir()
    async with WorkerPool(2, preload=("crawler.download.verify",), spare=False, name="verify") as pool:
        await asyncio.gather(*(pool.run(time.sleep, 0.2) for _ in range(2)))  # both are there
        found = [each async for each in verify_all(tmp_path, pool, jobs(tmp_path), told)]
    assert [each.state for each in found] == ["right"] * 6
    read = [each.stat().st_size for each in told.iterdir()]
    assert len(read) == 2, "by process"
    assert sum(read) == 6 * size
    assert min(read) >= size


# The command.


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "crawler", "verify", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_when_all_is_right(tmp_path: Path) -> None:
    for number in range(20):
        downloaded(tmp_path, body(number * 100, str(number)), f"{number}/f")
    ran = command(tmp_path, "--processes", "2")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == "crawl verify: 20 files, 19.0 kB: 20 right\n"


def test_the_command_names_what_is_damaged(tmp_path: Path) -> None:
    for number in range(5):
        downloaded(tmp_path, body(3000, str(number)), f"f{number}")
    (tmp_path / "f1").unlink()
    with (tmp_path / "f2").open("r+b") as file:
        file.seek(2000)
        file.write(b"\1")
    places_of(tmp_path, "f3").receipt.write_bytes(b"{}")
    ran = command(tmp_path, "-q")
    assert ran.returncode == 3
    assert sorted(ran.stdout.splitlines()) == [
        "damaged   f2: bytes 1024 to 2048; sha256 is not what it was",
        "missing   f1: bytes 0 to 3000; it has gone",
        "unreadable f3.json: the receipt cannot be used: it is no receipt",
    ]
    assert ran.stderr == ""


@pytest.mark.parametrize("arguments", [["nowhere"], ["."], [], [".", "--processes", "0"], [".", "--processes", "x"]])
def test_the_command_when_there_is_nothing_to_verify(tmp_path: Path, arguments: list[str]) -> None:
    words = [str(tmp_path / each) if each in (".", "nowhere") else each for each in arguments]
    ran = command(*words)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert "verify" in ran.stderr


def test_the_command_is_stopped(tmp_path: Path) -> None:
    """By Ctrl-C and by SIGTERM, in the middle of a file of a terabyte, all of it a hole."""
    places = downloaded(tmp_path, DATA)
    text = places.receipt.read_text()
    places.receipt.write_text(re.sub(r'"size": 5000,\n', f'"size": {1 << 40},\n', text, count=1))
    os.truncate(places.target, 1 << 40)
    words = [sys.executable, "-m", "crawler", "verify", str(tmp_path), "--processes", "1"]
    ends = {signal.SIGINT: 130, signal.SIGTERM: 143}
    processes = {number: subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for number in ends}
    try:
        for number, process in processes.items():
            assert process.stderr is not None
            line = process.stderr.readline()  # the first of the progress: the handlers are installed
            assert re.fullmatch(r"crawl verify: 0 of 1 files, \d+\.\d [GM]B read, .*/s, 0 not right\n", line)
            process.send_signal(number)
        for number, process in processes.items():
            _, rest = process.communicate(timeout=20)
            assert process.returncode == ends[number]
            assert "stopped" in rest
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


# Repair.


class Result(NamedTuple):
    status: str
    detail: str
    fault: str | None = None


class Server:
    """Stands in for the downloader: has the bytes, and does what a resume does with them."""

    def __init__(self, root: Path, data: bytes) -> None:
        self.root = root
        self.data = data
        self.fetched: list[tuple[int, int]] = []

    async def repair(self, receipt: Receipt, spans: Sequence[tuple[int, int]]) -> Result:
        return await asyncio.to_thread(self._repair, receipt, spans)

    def _repair(self, receipt: Receipt, spans: Sequence[tuple[int, int]]) -> Result:
        places = places_of(self.root, receipt.path)
        with TargetLock(places):
            recover(places)
            journal, claimed, _ = begin_repair(places, receipt, spans)
            assert journal is not None
            done = Spans((piece.first, piece.end) for piece in recheck(journal.part, claimed))
            for first, end in done.gaps(0, receipt.size):
                self.fetched.append((first, end))
                os.pwrite(journal.fd, self.data[first:end], first)
            content = os.pread(journal.fd, receipt.size + 1, 0)
            digests = {"sha256": hashlib.sha256(content).hexdigest()}
            new = Receipt(url=receipt.url, path=receipt.path, size=receipt.size, digests=digests, pieces=receipt.pieces)
            try:
                finish(Ready(places, journal.part, journal.fd, new, expected=receipt.digests, replace=True), journal)
            except DownloadError as exc:
                journal.remove()
                return Result("failed", str(exc))
            return Result("verified", "")


def repaired(root: Path, server: Server) -> tuple[int, list[str]]:
    lines: list[str] = []

    @contextlib.asynccontextmanager
    async def opens(folder: Path) -> AsyncIterator[Server]:
        assert folder == root
        yield server

    parser = argparse.ArgumentParser()
    verify_command.add_arguments(parser)
    options = parser.parse_args([str(root), "--repair", "--processes", "1"])
    return verify_command.main(options, lines.append, lines.append, opens), lines


def test_repair_fetches_only_what_is_damaged(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA)
    with places.target.open("r+b") as file:
        file.seek(1500)
        file.write(b"\1")
    server = Server(tmp_path, DATA)
    code, lines = repaired(tmp_path, server)
    assert code == 0
    assert server.fetched == [(1024, 2048)]
    assert places.target.read_bytes() == DATA
    assert lines == [
        "damaged   data/set.bin: bytes 1024 to 2048; sha256 is not what it was",
        "repaired  data/set.bin: 1.0 kB fetched again",
        "crawl verify: 1 file, 5.0 kB: 0 right, 1 damaged, 1 repaired",
    ]
    assert list(places.parts.iterdir()) == []


@pytest.mark.parametrize(("size", "fetched"), [(6000, []), (4096, [(4096, 5000)]), (None, [(0, 5000)])])
def test_repair_of_a_file_that_is_too_long_too_short_or_gone(
    tmp_path: Path, size: int | None, fetched: list[tuple[int, int]]
) -> None:
    places = downloaded(tmp_path, DATA, status="unverified", verified_by=None)
    if size is None:
        places.target.unlink()
    else:
        os.truncate(places.target, size)
    server = Server(tmp_path, DATA)
    assert repaired(tmp_path, server)[0] == 0
    assert server.fetched == fetched
    assert places.target.read_bytes() == DATA


def test_a_server_that_has_other_bytes_now_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA)
    damaged = DATA[:1500] + b"\1" + DATA[1501:]
    places.target.write_bytes(damaged)
    code, lines = repaired(tmp_path, Server(tmp_path, body(5000, "b")))
    assert code == 3
    assert places.target.read_bytes() == damaged
    assert any(line.startswith("left      data/set.bin: failed: data/set.bin: sha256 is") for line in lines)


def test_what_has_no_receipt_cannot_be_repaired(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA)
    places.receipt.write_bytes(b"")
    server = Server(tmp_path, DATA)
    code, lines = repaired(tmp_path, server)
    assert (code, server.fetched) == (3, [])
    assert any("without a receipt" in line for line in lines)


def test_a_repair_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """What it had fetched is not fetched again, and what was good is copied if it was not yet."""
    places = downloaded(tmp_path, DATA)
    places.target.write_bytes(bytes(2048) + DATA[2048:])
    receipt = load(places.receipt)
    assert isinstance(receipt, Receipt)
    spans = [(0, 2048)]
    journal, claimed, _ = begin_repair(places, receipt, spans)
    assert journal is not None
    assert [piece[:2] for piece in claimed] == [(2048, 3072), (3072, 4096), (4096, 5000)]
    os.pwrite(journal.fd, DATA[:1024], 0)
    journal.landed(receipt_piece(receipt, 0))
    journal.dropped(3072, 4096)
    journal.commit()
    journal.close()
    server = Server(tmp_path, DATA)
    assert repaired(tmp_path, server)[0] == 0
    assert server.fetched == [(1024, 2048)]
    assert places.target.read_bytes() == DATA


def test_a_partial_file_of_another_version_is_no_repair(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA)
    receipt = load(places.receipt)
    assert isinstance(receipt, Receipt)
    other = JournalFile.create(places, url=URL, size=5000, identity={"etag": '"b"'})
    os.pwrite(other.fd, body(5000, "b"), 0)
    other.landed(receipt_piece(receipt, 0))
    other.commit()
    other.close()
    journal, claimed, _ = begin_repair(places, receipt, [(0, 1024)])
    assert journal is not None
    assert journal.part != other.part
    assert recheck(journal.part, claimed) == list(claimed)
    assert len(claimed) == 4
    journal.remove()


def receipt_piece(receipt: Receipt, index: int) -> Piece:
    return Piece(*receipt.pieces[index])
