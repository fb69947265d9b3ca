"""Damage and a failing disk: refused or reported with a remedy, and never a record counted that is not kept."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crawler.errors import ExitCode, StateError
from crawler.store.database import STATE_FILE
from tests.support.store_listener import Heard, OpenStore
from tests.support.store_model import link

REMEDY = r"restore|start over|make room|choose another|use the version|check the|set output\.compress|belongs here"


@pytest.fixture
async def killed(tmp_path: Path) -> Path:
    """The folder of a job that was killed: some commits lie in the main file, the last ones in its journal."""
    folder = tmp_path / "killed"
    folder.mkdir()
    heard = await Heard.open(folder)
    for start in range(0, 2000, 500):
        requests = await heard.seed(*range(start, start + 500))
        for request in requests[:200]:
            heard.put_page(request, link(10_000 + request.id))
        await heard.store.flush()
    copy = tmp_path / "copy"  # as a kill leaves it: an orderly end would take the journal away
    shutil.copytree(folder, copy)
    await heard.store.abandon()
    return copy


def cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def checkpoint(folder: Path) -> Path:
    """Bring the journal home, so that the main file is all there is."""
    path = folder / STATE_FILE
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return path


def forge(folder: Path, statement: str) -> None:
    db = sqlite3.connect(checkpoint(folder))
    db.execute(statement)
    db.commit()
    db.close()


def replace(path: Path, data: bytes | None) -> None:
    path.unlink()
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.glob("*.jsonl") if path.is_file()}


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "cut in half": lambda folder: cut(checkpoint(folder), 0.5),
    "cut to a page and a half": lambda folder: os.truncate(checkpoint(folder), 12_288),
    "cut to its header": lambda folder: os.truncate(checkpoint(folder), 100),
    "emptied": lambda folder: os.truncate(checkpoint(folder), 0),
    "emptied beside its journal": lambda folder: os.truncate(folder / STATE_FILE, 0),
    "zeroed page": lambda folder: overwrite(checkpoint(folder), 8192 * 20, bytes(8192)),
    "zeroed header": lambda folder: overwrite(checkpoint(folder), 0, bytes(100)),
    "random bytes": lambda folder: overwrite(checkpoint(folder), 8192 * 10, os.urandom(8192 * 4)),
    "text": lambda folder: replace(checkpoint(folder), b"Dear diary\n" * 1000),
    "a directory": lambda folder: replace(checkpoint(folder), None),
    "gone": lambda folder: checkpoint(folder).unlink(),
    "gone, its journal left": lambda folder: (folder / STATE_FILE).unlink(),
    "journal gone before the first checkpoint": lambda folder: (folder / f"{STATE_FILE}-wal").unlink(),
    "newer layout": lambda folder: forge(folder, "PRAGMA user_version = 2"),
    "another program's": lambda folder: forge(folder, "PRAGMA application_id = 42"),
    "records gone": lambda folder: (folder / "pages.jsonl").unlink(),
    "records cut": lambda folder: cut(folder / "pages.jsonl", 0.9),
    "records a directory": lambda folder: replace(folder / "pages.jsonl", None),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_damage_is_refused_and_makes_nothing_worse(
    damage: Callable[[Path], Any], killed: Path, open_store: OpenStore
) -> None:
    damage(killed)
    before = sizes(killed)
    for _ in range(2):
        with pytest.raises(StateError, match=REMEDY) as caught:
            await Heard.open(killed)
        assert caught.value.exit_code is ExitCode.STATE
        assert str(killed) in str(caught.value)
    assert sizes(killed) == before


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: cut(folder / f"{STATE_FILE}-wal", 0.5),
        lambda folder: overwrite(folder / f"{STATE_FILE}-wal", 300_000, os.urandom(100)),
        lambda folder: (folder / f"{STATE_FILE}-shm").write_bytes(os.urandom(32_768)),
        lambda folder: (folder / f"{STATE_FILE}-shm").unlink(missing_ok=True),
        lambda folder: (folder / f"{STATE_FILE}.new").write_bytes(b"half a database"),
    ],
    ids=["journal cut", "journal damaged", "stale shm", "no shm", "half-made state"],
)
async def test_a_damaged_journal_takes_the_job_back_to_an_earlier_commit(
    harm: Callable[[Path], Any], killed: Path
) -> None:
    harm(killed)
    heard = await Heard.open(killed)
    counters = heard.opened.counters
    parts = ("done", "redirected", "failed", "skipped", "files", "pending", "deferred")
    assert counters["discovered"] == sum(counters.get(name, 0) for name in parts)
    assert len(heard.lines()) == counters["done"]
    await heard.store.abandon()


async def test_another_form_of_output_is_named_as_such(killed: Path) -> None:
    with pytest.raises(StateError, match=r"pages\.jsonl: .*set output\.compress back"):
        await Heard.open(killed, zstd=True)


class Once:
    """Stands in for a system call, and fails at its n-th use."""

    def __init__(self, call: Callable[..., Any], number: int, code: int) -> None:
        self.call = call
        self.left = number
        self.code = code

    def __call__(self, *arguments: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise OSError(self.code, os.strerror(self.code))
        return self.call(*arguments)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(("name", "code"), [("fdatasync", errno.EIO), ("pwrite", errno.ENOSPC), ("pwrite", errno.EIO)])
async def test_a_write_that_fails_once_ends_the_run_and_is_never_believed(
    name: str, code: int, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync the kernel may have dropped the pages and say yes the next time: a retry proves nothing."""
    heard = await Heard.open(tmp_path, durable=True)
    requests = await heard.seed(1, 2, 3)
    heard.committed.clear()
    failing = Once(getattr(os, name), number, code)
    monkeypatch.setattr(os, name, failing)
    kept = []
    with pytest.raises(StateError, match=os.strerror(code)):  # noqa: PT012  # which of them fails is the parameter
        for request in requests:
            item = heard.put_page(request)
            await heard.store.flush()
            kept.append(item)
    assert heard.committed == kept
    assert len(kept) == number - 1
    with pytest.raises(StateError):
        await heard.store.flush()
    with pytest.raises(StateError):
        await heard.store.close(0)
    await heard.store.abandon()
    assert len(heard.failures) == 1
    again = await Heard.open(tmp_path, durable=True)
    assert again.opened.counters.get("done", 0) == len(kept)
    assert [line["url"] for line in again.lines()] == [item.request.url for item in kept]
    await again.store.abandon()


async def test_a_state_without_room_ends_the_run_with_what_was_committed(tmp_path: Path) -> None:
    heard = await Heard.open(tmp_path)
    await heard.seed(1)
    pages = heard.store._db  # a limit on the file's pages is how SQLite itself is made to run out of room
    await heard.store._call(lambda: pages.execute("PRAGMA max_page_count = 40"))
    committed = len(heard.committed)
    with pytest.raises(StateError, match=r"full.*make room"):  # noqa: PT012  # some of them do not fail
        for start in range(1000, 50_000, 1000):
            await heard.seed(*range(start, start + 1000))
            committed = len(heard.committed)
    await heard.store.abandon()
    assert len(heard.failures) == 1
    again = await Heard.open(tmp_path)
    assert again.opened.counters["discovered"] == 1 + 1000 * (committed - 1)
    await again.seed(*range(60_000, 61_000))
    await again.store.abandon()
