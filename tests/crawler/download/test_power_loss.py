"""The life of a file, broken at every step on a disk that keeps only what was synced: it resumes, it never lies."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from crawler.download.disk.errors import DownloadError
from crawler.download.disk.finish import Ready, finish_many, recover, standing
from crawler.download.disk.journal import Piece
from crawler.download.disk.journal_file import JournalFile
from crawler.download.disk.layout import ROOM, new_token
from crawler.download.disk.receipt import Receipt, decode
from tests.support.downloads import IDENTITY, URL, body, fetch, opened, piece_of, receipt_of, sha256
from tests.support.fake_disk import FakeDisk, PowerLossError

ROOT = Path("/out")
TARGET = "/out/data/set.bin"
RECEIPT = f"/out/{ROOM}/receipts/data%2Fset.bin.json"
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
    """The promise about the final name and the receipt, whatever happened before."""
    files = disk.files()
    receipt = files.get(RECEIPT)
    return files.get(TARGET, data) == data and (receipt is None or TARGET in files)


def is_all_there_is(disk: FakeDisk) -> None:
    """On success nothing but the file and its receipt remains."""
    files = disk.files()
    assert set(files) == {TARGET, RECEIPT}
    receipt = decode(files[RECEIPT])
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


def test_d91_kills_and_power_losses_again_and_again() -> None:
    """A kill leaves what a sync has not seen yet; a later power loss takes it away."""
    for seed in range(400):
        chance = random.Random(seed)
        disk = FakeDisk()
        disk.can_rename_new = seed % 2 == 0
        for _ in range(200):
            disk.power_fails_at = disk.steps + chance.randrange(1, STEPS)
            try:
                Run(disk).go()
                break
            except PowerLossError:
                disk = disk.after_kill() if chance.random() < 0.5 else disk.after_power_loss(chance)
                assert is_right_or_absent(disk), f"seed {seed}"
        is_all_there_is(disk)


def test_d91_a_kill_at_every_step_and_then_a_power_loss_at_every_step() -> None:
    """The run that tidies up after a kill may lose power, too."""
    for step in range(STEPS - 12, STEPS + 1):
        for later in range(1, 14):
            disk = FakeDisk()
            disk.power_fails_at = step
            with pytest.raises(PowerLossError):
                Run(disk).go()
            disk = disk.after_kill()
            disk.power_fails_at = disk.steps + later
            try:
                Run(disk).go()
            except PowerLossError:
                pass  # as planned; the last numbers lie behind the end
            for seed in range(SEEDS):
                found = disk.after_power_loss(random.Random(seed))
                assert is_right_or_absent(found)
                Run(found).go()
                is_all_there_is(found)


def small(disk: FakeDisk, names: tuple[str, ...]) -> list[Receipt | DownloadError]:
    """Finish several small files at once, as a worker does: no journal, no sync before the last step."""
    batch: list[tuple[Ready, None]] = []
    for name in names:
        places = opened(ROOT, name, disk)
        recover(places, disk=disk)
        if standing(places, disk=disk).kind == "absent":
            data = body(100, name)
            part = places.part(new_token())
            fd = disk.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            disk.write_all(fd, data, 0)
            batch.append((Ready(places, part, fd, receipt_of(places, data)), None))
    return finish_many(batch, disk=disk)


def test_d91_power_fails_at_every_step_of_many_small_files() -> None:
    names = ("a/one", "a/two", "b/three")
    whole = FakeDisk()
    small(whole, names)
    expected = {f"/out/{name}": body(100, name) for name in names}
    for step in range(1, whole.steps + 2):
        disk = FakeDisk()
        disk.power_fails_at = step
        is_done = False
        try:
            is_done = all(isinstance(each, Receipt) for each in small(disk, names))
        except PowerLossError:
            pass  # as planned
        for seed in range(SEEDS):
            found = disk.after_power_loss(random.Random(seed))
            there = {name: data for name, data in found.files().items() if ROOM not in name}
            assert there.items() <= expected.items()
            assert not is_done or there == expected, "reported as done and lost"
            small(found, names)
            files = found.files()
            assert {name: data for name, data in files.items() if ROOM not in name} == expected
            assert len(files) == 2 * len(names)


def test_d76_one_of_many_small_files_fails_and_the_others_do_not() -> None:
    names = ("a/one", "a/two", "b/three")
    whole = FakeDisk()
    small(whole, names)
    for step in range(1, whole.steps + 1):
        disk = FakeDisk()
        disk.errors = {step: errno.ENOSPC}
        try:
            results = small(disk, names)
        except (OSError, DownloadError):
            continue  # before the last steps
        for name, result in zip(names, results, strict=True):
            assert (f"/out/{name}" in disk.files()) == isinstance(result, Receipt)
            assert isinstance(result, Receipt) or result.fault == "no_space"


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


def test_d76_a_full_disk_under_the_journal_costs_no_record() -> None:
    """What was noted stays noted, and is recorded once there is room."""
    disk = FakeDisk()
    places = opened(ROOT, disk=disk)
    journal = JournalFile.create(places, url=URL, size=len(DATA), identity=IDENTITY, disk=disk)
    disk.write_all(journal.fd, DATA, 0)
    pieces = [piece_of(DATA, at, at + 100) for at in range(0, 500, 100)]
    for piece in pieces[:3]:
        journal.landed(piece)
    disk.errors = {disk.steps + 2: errno.ENOSPC}  # after the sync of the data
    with pytest.raises(OSError, match="No space"):
        journal.commit()
    for piece in pieces[3:]:
        journal.landed(piece)
    assert journal.commit() == 5
    assert journal.commit() == 0
    journal.close()
    assert JournalFile.resume(places, url=URL, disk=disk).claimed == tuple(pieces)


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
