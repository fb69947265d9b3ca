"""The journal beside its temporary file: what is resumed, what is not, and who may work on a target."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from crawler.download.disk.errors import DownloadError
from crawler.download.disk.follow import recheck
from crawler.download.disk.journal import read
from crawler.download.disk.journal_file import JournalFile, TargetLock
from crawler.download.disk.layout import Places, key_of, places_of, prepare_target, tidy
from tests.support.downloads import IDENTITY, URL, body, fetch, opened, piece_of

DATA = body(4000)
PIECES = [piece_of(DATA, at, at + 1000) for at in range(0, 4000, 1000)]


def begun(root: Path, pieces: int = 3, url: str = URL) -> Places:
    """Leave what a killed process leaves: so many pieces, recorded."""
    places = opened(root)
    journal = JournalFile.create(places, url=url, size=len(DATA), identity=IDENTITY, options={"segments": 8})
    for piece in PIECES[:pieces]:
        os.pwrite(journal.fd, DATA[piece.first : piece.end], piece.first)
        journal.landed(piece)
    journal.commit()
    journal.close()
    return places


def names(places: Places) -> list[str]:
    return sorted(path.name for path in places.parts.iterdir())


def test_what_was_committed_is_resumed(tmp_path: Path) -> None:
    places = begun(tmp_path)
    journal, claimed, why = JournalFile.resume(places, url=URL)
    assert journal is not None
    assert (claimed, why) == (tuple(PIECES[:3]), "")
    assert dict(journal.header.identity) == IDENTITY
    assert (journal.header.size, journal.header.options) == (len(DATA), {"segments": 8})
    assert journal.part.stat().st_size == len(DATA)
    journal.dropped(1500, 1501)
    journal.landed(PIECES[3])
    assert journal.commit() == 2
    journal.close()
    again = JournalFile.resume(places, url=URL)
    assert again.claimed == (PIECES[0], PIECES[2], PIECES[3])
    assert again.journal is not None
    again.journal.remove()
    assert names(places) == []


def test_nothing_there_is_nothing_to_resume(tmp_path: Path) -> None:
    assert JournalFile.resume(opened(tmp_path), url=URL) == (None, (), "")


def test_d88_a_torn_end_is_cut_off_before_more_is_written(tmp_path: Path) -> None:
    places = begun(tmp_path)
    whole = places.journal.read_bytes()
    for garbage in (b"\0" * 100, b"\1" * 3, whole[-30:]):
        places.journal.write_bytes(whole + garbage)
        journal, claimed, why = JournalFile.resume(places, url=URL)
        assert journal is not None
        assert claimed == tuple(PIECES[:3])
        assert why.startswith(f"byte {len(whole)}")
        journal.landed(PIECES[3])
        journal.commit()
        journal.close()
        assert read(places.journal.read_bytes()).pieces == tuple(PIECES)
    places.journal.write_bytes(whole[:-1])
    assert JournalFile.resume(places, url=URL).claimed == tuple(PIECES[:2])


def test_d88_another_url_a_newer_version_a_foreign_file(tmp_path: Path) -> None:
    """Each is a reason to begin afresh, and the reason is told."""
    places = begun(tmp_path)
    assert "another URL" in JournalFile.resume(places, url="http://b/").why
    data = places.journal.read_bytes()
    places.journal.write_bytes(data.replace(b"journal 1", b"journal 9"))
    assert "version 9" in JournalFile.resume(places, url=URL).why
    places.journal.write_bytes(b"what is this")
    assert "not a journal" in JournalFile.resume(places, url=URL).why
    other = places_of(tmp_path, "data/other.bin")
    places.journal.write_bytes(data)
    places.journal.rename(other.journal)
    assert "another target" in JournalFile.resume(other, url=URL).why


def test_d88_a_journal_older_than_the_data_only_costs_bytes(tmp_path: Path) -> None:
    places = begun(tmp_path, 1)
    old = places.journal.read_bytes()
    fetched: list[tuple[int, int]] = []
    journal = JournalFile.resume(places, url=URL).journal
    assert journal is not None
    os.pwrite(journal.fd, DATA[1000:3000], 1000)
    for piece in PIECES[1:3]:
        journal.landed(piece)
    journal.commit()
    journal.close()
    places.journal.write_bytes(old)
    fetch(tmp_path, DATA, fetched=lambda first, end: fetched.append((first, end)))
    assert places.target.read_bytes() == DATA
    assert sum(end - first for first, end in fetched) == 3000


def test_d89_data_shorter_than_the_journal_says(tmp_path: Path) -> None:
    places = begun(tmp_path)
    (part,) = (name for name in names(places) if name.endswith(".part"))
    for size, left in ((2500, 2), (1000, 1), (0, 0)):
        os.truncate(places.parts / part, size)
        journal, claimed, why = JournalFile.resume(places, url=URL)
        assert journal is not None
        journal.close()
        assert claimed == tuple(PIECES[:left])
        assert f"ends at byte {size}" in why
    fetch(tmp_path, DATA)
    assert places.target.read_bytes() == DATA


@pytest.mark.parametrize("damage", ["hole", "zeros", "flip", "swap", "other version"])
def test_d90_what_the_disk_has_lost_is_fetched_again(tmp_path: Path, damage: str) -> None:
    """The size is right and the journal too; only reading tells. Nothing that is still good is fetched."""
    places = begun(tmp_path, 4)
    (part,) = (places.parts / name for name in names(places) if name.endswith(".part"))
    content = bytearray(part.read_bytes())
    spoiled = {
        "hole": b"", "zeros": bytes(1000), "flip": bytes([content[1500] ^ 1]), "swap": bytes(content[2000:3000]),
        "other version": body(4000, "b")[1000:2000],
    }[damage]  # fmt: skip
    if damage == "hole":
        part.write_bytes(bytes(content[:1000]) + bytes(1000) + bytes(content[2000:]))
    else:
        at = 1500 if damage == "flip" else 1000
        content[at : at + len(spoiled)] = spoiled
        part.write_bytes(bytes(content))
    journal, claimed, _ = JournalFile.resume(places, url=URL)
    assert journal is not None
    journal.close()
    assert recheck(part, claimed) == [PIECES[0], PIECES[2], PIECES[3]]
    fetched: list[tuple[int, int]] = []
    fetch(tmp_path, DATA, fetched=lambda first, end: fetched.append((first, end)))
    assert places.target.read_bytes() == DATA
    assert {first for first, _ in fetched} == {1000, 1512}


@pytest.mark.parametrize(("piece", "again"), [(512, 300), (300, 512), (1, 4000), (4000, 7)])
def test_d97_another_piece_size_at_the_resume(tmp_path: Path, piece: int, again: int) -> None:
    class StopError(Exception):
        pass

    def stop(pieces: object) -> None:
        raise StopError

    data = body(4000) if piece > 1 else body(200)
    first: list[tuple[int, int]] = []
    with pytest.raises(StopError):
        fetch(tmp_path, data, piece=piece, committed=stop, fetched=lambda *span: first.append(span))
    second: list[tuple[int, int]] = []
    fetch(tmp_path, data, piece=again, fetched=lambda *span: second.append(span))
    assert (tmp_path / "data/set.bin").read_bytes() == data
    assert sum(end - start for start, end in first + second) == len(data)


@pytest.mark.parametrize("what", ["gone", "folder", "symlink", "second name"])
def test_d83_a_temporary_file_that_is_not_ours_any_more(tmp_path: Path, what: str) -> None:
    places = begun(tmp_path)
    (part,) = (places.parts / name for name in names(places) if name.endswith(".part"))
    if what == "second name":
        os.link(part, tmp_path / "second")
    else:
        part.unlink()
    if what == "folder":
        part.mkdir()
    if what == "symlink":
        part.symlink_to("/etc/hostname")
    resumed = JournalFile.resume(places, url=URL)
    assert resumed.journal is None
    assert "temporary file" in resumed.why


@pytest.mark.parametrize("which", ["part", "journal"])
def test_d83_removed_or_replaced_while_it_is_in_use(tmp_path: Path, which: str) -> None:
    places = opened(tmp_path)
    journal = JournalFile.create(places, url=URL, size=10, identity=IDENTITY)
    journal.check()
    path = journal.part if which == "part" else places.journal
    path.unlink()
    with pytest.raises(DownloadError, match="removed") as raised:
        journal.check()
    assert raised.value.fault == "disk"
    path.write_bytes(b"0123456789")
    with pytest.raises(DownloadError, match="replaced"):
        journal.check()
    journal.close()
    journal.close()


def test_a_new_attempt_removes_the_old_one(tmp_path: Path) -> None:
    places = begun(tmp_path)
    old = names(places)
    neighbour = places_of(tmp_path, "data/set.bin.0123456789abcdef")
    neighbour.part("fedcba9876543210").write_bytes(b"of another target")
    journal = JournalFile.create(places, url=URL, size=None, identity={})
    journal.close()
    assert journal.part.name not in old
    assert names(places) == sorted([journal.part.name, places.journal.name, neighbour.part("fedcba9876543210").name])
    assert JournalFile.resume(places, url=URL).claimed == ()


def test_d76_no_space_at_preallocation_leaves_the_old_attempt(tmp_path: Path) -> None:
    """The largest file that may be written stands in for a full disk: it is the same call that fails."""
    places = begun(tmp_path)
    before = names(places)
    program = f"""
        import resource, signal, sys
        from pathlib import Path
        from crawler.download.disk.errors import DownloadError
        from crawler.download.disk.journal_file import JournalFile
        from crawler.download.disk.layout import places_of
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            JournalFile.create(places_of(Path({str(tmp_path)!r}), "data/set.bin"), url="x", size=1 << 30, identity={{}})
        except OSError as exc:
            print(DownloadError.of(exc, "x").fault)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "no_space\n"
    assert names(places) == before
    resumed = JournalFile.resume(places, url=URL)
    assert resumed.claimed == tuple(PIECES[:3])


def test_d85_too_few_descriptors_leaves_nothing_behind(tmp_path: Path) -> None:
    places = opened(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as raised:
            JournalFile.create(places, url=URL, size=10, identity=IDENTITY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert raised.value.errno == errno.EMFILE
    assert names(places) == []


# Who may work on a target.


def other(root: Path, path: str = "data/set.bin") -> str:
    """Try to take the lock in another process; return what came of it."""
    program = f"""
        from pathlib import Path
        from crawler.download.disk.errors import DownloadError
        from crawler.download.disk.journal_file import TargetLock
        from crawler.download.disk.layout import places_of
        try:
            with TargetLock(places_of(Path({str(root)!r}), {path!r})):
                print("taken")
        except DownloadError as exc:
            print(exc.fault, exc)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout


def test_d98_d100_one_process_at_a_time_for_a_target(tmp_path: Path) -> None:
    """Whatever the URL: the lock is the target's."""
    places = opened(tmp_path)
    with TargetLock(places):
        assert other(tmp_path).startswith(f"locked {places.target}: another process (pid {os.getpid()}, since ")
        assert other(tmp_path, "data/other.bin") == "taken\n"
        with pytest.raises(DownloadError, match=rf": this process \(pid {os.getpid()}, since "):
            TargetLock(places)
    assert other(tmp_path) == "taken\n"
    assert not places.lock.exists()


def test_d98_taken_the_moment_it_is_given_back(tmp_path: Path) -> None:
    """Whoever opened the file before it was removed holds a lock on nothing, and sees it."""
    places = opened(tmp_path)
    first = TargetLock(places)
    late = os.open(places.lock, os.O_RDWR)  # as another process between its open and its lock
    first.release()
    with TargetLock(places):
        assert os.fstat(late).st_nlink == 0
        with pytest.raises(DownloadError):
            TargetLock(places)
    os.close(late)


def test_d92_a_lock_file_of_another_boot_holds_nobody_up(tmp_path: Path) -> None:
    """It names a process that lives, by a number that was given again; nobody holds the kernel's lock."""
    places = begun(tmp_path)
    places.lock.write_text(f"pid {os.getpid()}, since 2020-01-01 00:00:00 UTC\n")
    with TargetLock(places):
        assert JournalFile.resume(places, url=URL).claimed == tuple(PIECES[:3])
    assert not places.lock.exists()


def test_d99_a_lock_that_always_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two work on one target at once. Their temporary files differ, records of the one never prove the other's."""
    monkeypatch.setattr("fcntl.flock", lambda fd, how: None)
    places = opened(tmp_path)
    other_data = body(4000, "b")
    with TargetLock(places), TargetLock(places):
        mine = JournalFile.create(places, url=URL, size=len(DATA), identity=IDENTITY)
        theirs = JournalFile.create(places, url=URL, size=len(DATA), identity=IDENTITY)
        for journal, data in ((mine, DATA), (theirs, other_data)):
            os.pwrite(journal.fd, data, 0)
            for at in range(0, 4000, 1000):
                journal.landed(piece_of(data, at, at + 1000))
                journal.commit()
        with pytest.raises(DownloadError, match="removed"):
            mine.check()
        mine.close()
        theirs.check()
        theirs.close()
        resumed = JournalFile.resume(places, url=URL)
        assert resumed.journal is not None
        assert resumed.journal.part == theirs.part
        assert recheck(theirs.part, resumed.claimed) == [
            piece_of(other_data, at, at + 1000) for at in range(0, 4000, 1000)
        ]
        resumed.journal.close()


# Names.


@pytest.mark.parametrize("path", ["", "/etc/x", "../x", "a/../../x", "..", ".crawlmill/parts/x", "a\0b", "."])
def test_a_path_that_leaves_the_root_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DownloadError) as raised:
        places_of(tmp_path, path)
    assert raised.value.fault == "name_unsafe"


def test_different_targets_have_different_keys() -> None:
    paths = ["a/b", "a%2Fb", "a%252Fb", "a b", "é" * 120, "é" * 119 + "e", "x" * 250, "x" * 250 + "/y", "x" * 251]
    keys = {key_of(path) for path in paths}
    assert len(keys) == len(paths)
    assert all(len(os.fsencode(key)) <= 200 and "/" not in key for key in keys)
    assert key_of("data/set.tar") == "data%2Fset.tar"


def test_a_name_as_long_as_a_name_may_be(tmp_path: Path) -> None:
    path = "d" * 255 + "/" + "ü" * 127
    fetch(tmp_path, DATA, path=path)
    assert (tmp_path / path).read_bytes() == DATA


@pytest.mark.parametrize("what", ["symlink", "file"])
def test_d80_no_folder_above_a_target_is_a_link_or_a_file(tmp_path: Path, what: str) -> None:
    root = tmp_path / "root"
    outside = tmp_path / "outside"
    outside.mkdir()
    opened(root, "x")
    if what == "symlink":
        (root / "data").symlink_to(outside)
    else:
        (root / "data").write_bytes(b"")
    with pytest.raises(DownloadError) as raised:
        prepare_target(places_of(root, "data/deep/set.bin"))
    assert raised.value.fault == "name_unsafe"
    assert list(outside.iterdir()) == []


def test_d98_who_had_nothing_to_keep_leaves_the_folders_to_who_holds_a_lock(tmp_path: Path) -> None:
    """The holder has made no temporary file yet: its folder is empty, and about to be needed."""
    places = opened(tmp_path)
    with TargetLock(places):
        tidy(tmp_path)
        assert places.parts.is_dir()
    tidy(tmp_path)
    assert not places.parts.exists()
