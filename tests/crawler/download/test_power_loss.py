"""The life of a file, broken at every step on a disk that keeps only what was synced: it resumes, it never lies."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from crawler.download.errors import DownloadError
from crawler.download.journal import Piece
from crawler.download.layout import ROOM
from crawler.download.receipt import Receipt, decode
from tests.support.downloads import IDENTITY, body, fetch, sha256
from tests.support.fake_disk import FakeDisk, PowerLossError

ROOT = Path("/out")
TARGET = "/out/data/set.bin"
DATA = body(2900)
SEEDS = 6


class Run:
    """One attempt, and what it learned."""

    def __init__(self, disk: FakeDisk, data: bytes = DATA) -> None:
        self.disk = disk
        self.data = data
        self.committed: list[Piece] = []
        self.claimed: tuple[Piece, ...] = ()
        self.fetched: list[tuple[int, int]] = []

    def go(self) -> Receipt:
        return fetch(
            ROOT,
            self.data,
            disk=self.disk,
            committed=self.committed.extend,
            believed=self._believed,
            fetched=lambda first, end: self.fetched.append((first, end)),
        )

    def _believed(self, pieces: tuple[Piece, ...]) -> None:
        self.claimed = pieces
        self.claims_are_true = all(self._is_there(piece) for piece in pieces)
        assert self.claims_are_true, "a record spoke of bytes that are not on disk"

    def _is_there(self, piece: Piece) -> bool:
        parts = [data for name, data in self.disk.files().items() if name.endswith(".part")]
        return any(data[piece.first : piece.end] == self.data[piece.first : piece.end] for data in parts)


def steps_of_a_run() -> int:
    disk = FakeDisk()
    Run(disk).go()
    return disk.steps


STEPS = steps_of_a_run()


def is_right_or_absent(disk: FakeDisk, data: bytes = DATA) -> bool:
    """The one promise about the final name, whatever happened before."""
    return disk.files().get(TARGET, data) == data


def is_all_there_is(disk: FakeDisk) -> None:
    """On success nothing but the file and its receipt remains."""
    files = disk.files()
    assert set(files) == {TARGET, f"/out/{ROOM}/receipts/data%2Fset.bin.json"}
    receipt = decode(files[f"/out/{ROOM}/receipts/data%2Fset.bin.json"])
    assert isinstance(receipt, Receipt)
    assert receipt.digests == {"sha256": sha256(files[TARGET])}


def test_d91_the_model_has_enough_steps_to_mean_something() -> None:
    assert STEPS > 40


@pytest.mark.parametrize("two_steps", [False, True], ids=["renameat2", "link"])
@pytest.mark.parametrize("step", range(1, STEPS + 2))
def test_d91_power_fails_at_every_step(step: int, two_steps: bool) -> None:
    disk = FakeDisk()
    disk.can_rename_new = not two_steps
    disk.power_fails_at = step
    first = Run(disk)
    try:
        first.go()
    except PowerLossError:
        pass  # as planned; the last numbers lie behind the end
    for seed in range(SEEDS):
        found = disk.after_power_loss(random.Random(seed))
        assert is_right_or_absent(found), f"seed {seed}"
        was_there = TARGET in found.files()
        second = Run(found)
        second.go()
        if not was_there:
            assert set(first.committed) <= set(second.claimed), "a piece that was recorded is lost"
        assert not {(piece.first, piece.end) for piece in first.committed} & set(second.fetched)
        is_all_there_is(found)


def test_d91_power_fails_again_and_again() -> None:
    for seed in range(150):
        chance = random.Random(seed)
        disk = FakeDisk()
        for _ in range(200):
            disk.power_fails_at = disk.steps + chance.randrange(1, STEPS)
            try:
                Run(disk).go()
                break
            except PowerLossError:
                disk = disk.after_power_loss(chance)
                assert is_right_or_absent(disk), f"seed {seed}"
        is_all_there_is(disk)


def test_d91_without_syncs_a_resume_believes_only_what_it_reads_again() -> None:
    """With `durable=False` the journal may be ahead of the data; `recheck` finds out, so the file is right anyway."""
    for seed in range(60):
        chance = random.Random(seed)
        disk = FakeDisk()
        disk.power_fails_at = chance.randrange(1, 30)
        try:
            fetch(ROOT, DATA, disk=disk, durable=False)
        except PowerLossError:
            pass  # as planned
        found = disk.after_power_loss(chance)
        fetch(ROOT, DATA, disk=found)
        is_all_there_is(found)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES])
def test_d76_d77_d78_every_call_of_the_disk_fails_once(code: int) -> None:
    """Preallocation, data, sync, journal, receipt, rename: a typed error or success, and the next run completes."""
    failed = 0
    for step in range(1, STEPS + 1):
        disk = FakeDisk()
        disk.errors = {step: code}
        first = Run(disk)
        try:
            first.go()
        except (OSError, DownloadError) as exc:
            failed += 1
            assert TARGET not in disk.files(), disk.log[-1]
            trouble = exc if isinstance(exc, DownloadError) else DownloadError.of(exc, "disk")
            assert trouble.fault == ("no_space" if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "disk")
        else:
            assert disk.files()[TARGET] == DATA
        disk.errors = {}
        second = Run(disk)
        second.go()
        assert set(first.committed) <= set(second.claimed) or not second.fetched
        assert not {(piece.first, piece.end) for piece in first.committed} & set(second.fetched)
        is_all_there_is(disk)
    assert failed > STEPS / 2


def test_d76_after_a_failed_sync_nothing_is_recorded_any_more() -> None:
    """The kernel reports a failed sync once; the next one succeeds and means nothing."""
    from crawler.download.journal_file import JournalFile
    from tests.support.downloads import opened, piece_of

    disk = FakeDisk()
    places = opened(ROOT, disk=disk)
    journal = JournalFile.create(places, url="http://a/", size=len(DATA), identity=IDENTITY, disk=disk)
    disk.write_all(journal.fd, DATA, 0)
    journal.landed(piece_of(DATA, 0, 512))
    disk.errors = {disk.steps + 1: errno.EIO}
    with pytest.raises(OSError, match="Input/output"):
        journal.commit()
    assert journal.is_broken
    journal.landed(piece_of(DATA, 512, 1024))
    with pytest.raises(OSError, match="Input/output"):
        journal.commit()
    journal.close()
    assert JournalFile.resume(places, url="http://a/", disk=disk).claimed == ()


def test_d79_a_disk_that_takes_three_bytes_at_a_time() -> None:
    disk = FakeDisk()
    disk.max_write = 3
    Run(disk).go()
    is_all_there_is(disk)


def test_d82_a_file_system_that_cannot_reserve_space() -> None:
    disk = FakeDisk()
    disk.can_allocate = False
    Run(disk).go()
    is_all_there_is(disk)
