"""The last steps: a name only for what is right, and never over something better."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download.disk import disk as disk_module
from crawler.download.disk.disk import DISK
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.finish import Ready, finish, is_no_worse, recover, stamp_of, standing
from crawler.download.disk.journal_file import REPAIR, JournalFile
from crawler.download.disk.layout import ROOM, Places, new_token, places_of, prepare_target
from crawler.download.disk.receipt import Receipt, encode, load
from tests.support.downloads import IDENTITY, URL, body, downloaded, fetch, opened, receipt_of, sha256

DATA = body(3000)
OTHER = body(3000, "b")


def ready(places: Places, data: bytes = DATA, **values: object) -> tuple[Ready, JournalFile]:
    """Bring a file to where only the last steps are left; to a repair, if there is one already."""
    options = {REPAIR: True} if places.target.exists() else {}
    journal = JournalFile.create(places, url=URL, size=len(data), identity=IDENTITY, options=options)
    DISK.write_all(journal.fd, data, 0)
    return Ready(places, journal.part, journal.fd, receipt_of(places, data, **values)), journal


def refused(item: Ready, journal: JournalFile, match: str = ".") -> str:
    """Finish what must not be finished; return the fault. The temporary file and the journal must stay."""
    with pytest.raises(DownloadError, match=match) as raised:
        finish(item, journal)
    assert not any(item.places.is_pending(path.name) for path in item.places.parts.iterdir())
    journal.close()
    return str(raised.value.fault)


def all_files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def test_a_finished_file_and_its_receipt_are_all_there_is(tmp_path: Path) -> None:
    places = opened(tmp_path)
    item, journal = ready(places)
    receipt = finish(item._replace(expected={"sha256": sha256(DATA).upper()}, stamp=stamp_of(item.fd)), journal)
    assert places.target.read_bytes() == DATA
    assert all_files(tmp_path) == {"data/set.bin", f"{ROOM}/receipts/data%2Fset.bin.json"}
    assert load(places.receipt) == receipt
    assert standing(places) == ("ours", receipt)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(places.target.stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / ROOM).stat().st_mode) == 0o700


def test_an_empty_file(tmp_path: Path) -> None:
    places = opened(tmp_path)
    item, journal = ready(places, b"")
    finish(item, journal)
    assert places.target.read_bytes() == b""


def test_a_file_of_unknown_length_is_as_long_as_what_came(tmp_path: Path) -> None:
    places = opened(tmp_path)
    journal = JournalFile.create(places, url=URL, size=None, identity={})
    DISK.write_all(journal.fd, DATA, 0)
    finish(Ready(places, journal.part, journal.fd, receipt_of(places, DATA)), journal)
    assert places.target.read_bytes() == DATA


@pytest.mark.parametrize("size", [2999, 3001, 0])
def test_another_size_gets_no_name(tmp_path: Path, size: int) -> None:
    item, journal = ready(opened(tmp_path))
    os.ftruncate(item.fd, size)
    assert refused(item, journal, f"{size} bytes, not 3000") == "size_mismatch"
    assert not item.places.target.exists()


@pytest.mark.parametrize("expected", [{"sha256": sha256(OTHER)}, {"sha256": sha256(DATA), "md5": "00"}])
def test_another_digest_gets_no_name(tmp_path: Path, expected: dict[str, str]) -> None:
    item, journal = ready(opened(tmp_path))
    assert refused(item._replace(expected=expected), journal) == "digest_mismatch"
    assert not item.places.target.exists()


@pytest.mark.parametrize("what", ["file", "folder", "symlink", "dangling", "fifo"])
def test_d80_what_is_there_stays_there(tmp_path: Path, what: str) -> None:
    """A name that somebody took meanwhile is never overwritten, nor followed, nor opened."""
    places = opened(tmp_path)
    item, journal = ready(places)
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    if what == "file":
        places.target.write_bytes(b"mine")
    elif what == "folder":
        places.target.mkdir()
    elif what == "symlink":
        places.target.symlink_to(outside)
    elif what == "dangling":
        places.target.symlink_to(tmp_path / "nowhere")
    else:
        os.mkfifo(places.target)
    before = places.target.lstat()
    assert refused(item._replace(replace=True), journal, "is never overwritten") == "exists"
    assert places.target.lstat() == before
    assert outside.read_bytes() == b"mine"
    if what != "file":
        with pytest.raises(DownloadError) as raised:
            prepare_target(places)
        assert raised.value.fault == "exists"


def test_a_name_taken_in_the_last_moment_is_seen_by_the_rename_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = opened(tmp_path)
    item, journal = ready(places)
    sync = DISK.sync_folder

    def late(path: Path) -> None:  # the last call before the rename
        if path == places.parts:
            monkeypatch.setattr("crawler.download.disk.finish._Step._check_free", lambda self: True)
            places.target.write_bytes(b"mine")
        sync(path)

    monkeypatch.setattr(DISK, "sync_folder", late)
    assert refused(item, journal) == "exists"
    assert places.target.read_bytes() == b"mine"
    assert journal.part.exists()


@pytest.mark.parametrize("code", [38, 22, 95])
def test_d81_a_file_system_without_renameat2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Then a second name and the removal of the first, which cannot overwrite either."""
    import ctypes

    def unsupported(*_: object) -> int:
        ctypes.set_errno(code)
        return -1

    monkeypatch.setattr(disk_module, "_renameat2", unsupported)
    places = opened(tmp_path)
    item, journal = ready(places)
    finish(item, journal)
    assert places.target.read_bytes() == DATA
    assert places.target.stat().st_nlink == 1
    with pytest.raises(FileExistsError):
        DISK.rename_new(places.receipt, places.target)


def test_d81_a_target_on_another_file_system(tmp_path: Path) -> None:
    """Seen before anything is fetched: no rename leads there."""
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system only")

    class Elsewhere(disk_module.Disk):
        def lstat(self, path: Path) -> os.stat_result | None:
            return Path("/dev/shm").stat() if path.name == "mounted" else super().lstat(path)

    with pytest.raises(DownloadError, match="another file system") as raised:
        opened(tmp_path, "mounted/set.bin", Elsewhere())
    assert raised.value.fault == "disk"
    shared = Path("/dev/shm") / f"crawl-{new_token()}"
    try:
        shared.write_bytes(b"x")
        with pytest.raises(OSError, match="cross-device") as crossed:
            DISK.rename_new(shared, tmp_path / "x")
        assert DownloadError.of(crossed.value, "x").fault == "disk"
    finally:
        shared.unlink()


@pytest.mark.parametrize("what", ["removed", "replaced", "written to", "grown", "cut"])
def test_d83_d84_the_temporary_file_is_the_one_that_was_hashed(tmp_path: Path, what: str) -> None:
    item, journal = ready(opened(tmp_path))
    item = item._replace(stamp=stamp_of(item.fd))
    if what in ("removed", "replaced"):
        item.part.unlink()
    if what == "replaced":
        item.part.write_bytes(OTHER)
    if what == "written to":
        with item.part.open("r+b") as file:
            file.write(b"XX")
        os.utime(item.part, ns=(0, item.part.stat().st_mtime_ns + 1))  # clocks of file systems tick slowly
    if what in ("grown", "cut"):
        os.truncate(item.part, {"grown": 3001, "cut": 10}[what])
    fault = refused(item, journal, "removed|replaced|written|bytes")
    assert fault == ("size_mismatch" if what in ("grown", "cut") else "disk")
    assert not item.places.target.exists()


def test_d80_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    places = opened(tmp_path)
    item, journal = ready(places)
    places.target.parent.chmod(0o500)
    try:
        assert refused(item, journal, "Permission denied") == "disk"
    finally:
        places.target.parent.chmod(0o700)
    assert finish(*ready(places)).size == len(DATA)


# What is there already.


def test_what_stands_there(tmp_path: Path) -> None:
    places = opened(tmp_path)
    assert standing(places).kind == "absent"
    places.target.write_bytes(DATA)
    assert standing(places) == ("foreign", None)
    places.target.unlink()
    downloaded(tmp_path, DATA)
    assert standing(places).kind == "ours"
    os.utime(places.target)
    assert standing(places).kind == "changed"
    places.receipt.write_bytes(b"{}")
    assert standing(places).kind == "foreign"
    places.target.unlink()
    places.target.mkdir()
    assert standing(places).kind == "a folder"


CLAIM = {"algorithm": "sha256", "value": "0", "source": "", "trust": ""}
RANKS: dict[str, dict[str, object]] = {
    "unverified": {"status": "unverified", "verified_by": None},
    "other_origin": {"verified_by": {**CLAIM, "trust": "other_origin"}},
    "same_origin": {"verified_by": {**CLAIM, "trust": "same_origin"}},
    "configured": {"verified_by": {**CLAIM, "trust": "configured"}},
}


@pytest.mark.parametrize("old", RANKS)
@pytest.mark.parametrize("new", RANKS)
@pytest.mark.parametrize("may", [True, False], ids=["may", "may not"])
def test_a_verified_file_gives_way_to_no_worse_one(tmp_path: Path, old: str, new: str, may: bool) -> None:
    places = downloaded(tmp_path, DATA, "data/set.bin", **RANKS[old])
    item, journal = ready(places, OTHER, **RANKS[new])
    order = list(RANKS)
    if may and new != "unverified" and order.index(new) >= order.index(old):
        finish(item._replace(replace=may), journal)
        assert places.target.read_bytes() == OTHER
        receipt = load(places.receipt)
        assert isinstance(receipt, Receipt)
        assert receipt.digests == {"sha256": sha256(OTHER)}
    else:
        assert refused(item._replace(replace=may), journal) == "exists"
        assert places.target.read_bytes() == DATA
        assert standing(places).kind == "ours"


def test_the_same_bytes_are_never_worse(tmp_path: Path) -> None:
    """A repair brings back what the receipt says, verified by somebody or not."""
    places = opened(tmp_path)
    old = receipt_of(places, DATA, status="unverified", verified_by=None)
    assert is_no_worse(old, old)
    assert not is_no_worse(replace(old, digests={"md5": "0"}), old)
    assert not is_no_worse(replace(old, digests={}), replace(old, digests={}))


# What a kill leaves. Every instant is in test_killed.py and test_power_loss.py; these are the ones with a history.


def test_recover_puts_a_waiting_receipt_into_its_place(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA)
    places.receipt.rename(places.pending(new_token()))
    receipt = recover(places)
    assert receipt is not None
    assert standing(places) == ("ours", receipt)
    assert recover(places) is None


def test_recover_does_not_give_a_strangers_file_our_receipt(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA)
    places.receipt.rename(places.pending(new_token()))
    places.target.unlink()
    places.target.write_bytes(DATA)
    assert recover(places) is None
    assert standing(places).kind == "foreign"
    assert list(places.parts.iterdir()) == []


def test_recover_keeps_the_old_receipt_when_a_replacement_was_killed_before_its_name(tmp_path: Path) -> None:
    places = downloaded(tmp_path, DATA)
    _, journal = ready(places, OTHER)
    places.pending(new_token()).write_bytes(encode(receipt_of(places, OTHER)))
    journal.close()
    assert recover(places) is None
    assert standing(places).kind == "ours"
    assert JournalFile.resume(places, url=URL).journal is not None


def test_recover_removes_what_no_journal_names(tmp_path: Path) -> None:
    places = opened(tmp_path)
    for name in (places.part(new_token()), places.scrap(), places.pending(new_token()), places.journal):
        name.write_bytes(b"torn")
    neighbour = places_of(tmp_path, "data/set.bin.x").part(new_token())
    neighbour.write_bytes(b"of another")
    assert recover(places) is None
    assert list(places.parts.iterdir()) == [neighbour]


def test_what_cannot_be_tidied_up_does_not_make_the_file_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is right and has its name; it is said, and the next run tidies up."""
    places = opened(tmp_path)
    item, journal = ready(places)
    rename = DISK.rename

    def broken(source: Path, target: Path) -> None:
        if target == places.receipt:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(DISK, "rename", broken)
    finish(item, journal)
    journal.close()
    monkeypatch.undo()
    assert places.target.read_bytes() == DATA
    assert "could not be tidied up" in caplog.text
    assert fetch(tmp_path, DATA).size == len(DATA)
    assert all_files(tmp_path) == {"data/set.bin", f"{ROOM}/receipts/data%2Fset.bin.json"}


@pytest.mark.parametrize("options", [{}, {REPAIR: True}], ids=["of a download", "of a repair"])
def test_d99_who_came_too_late_leaves_nothing(options: dict[str, bool], tmp_path: Path) -> None:
    """Where locks do not lock: its name was given to another one. A repair is about a file that has the name."""
    places = opened(tmp_path)
    fetch(tmp_path, body(3000))
    JournalFile.create(places, url=URL, size=3000, identity=IDENTITY, options=options).close()
    assert recover(places) is None
    left = sorted(path.suffix for path in places.parts.iterdir())
    assert left == ([".journal", ".part"] if options else [])
    assert places.target.read_bytes() == body(3000)
