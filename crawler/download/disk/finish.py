"""The last steps: a file gets its name only when it is right, and all that was needed on the way goes.

    1  compare size and digests            else: no name, DownloadError
    2  sync the data
    3  write the receipt beside the temporary file, and sync it
    4  rename the temporary file to the target, if nobody has that name; sync the folder      <- the file is there
    5  rename the receipt into its place; sync the folder
    6  remove the journal

A kill between any two of them leaves what `recover` can tell apart by itself: before 4 the journal resumes, from 4 on
the receipt that waits is put into its place. A receipt never speaks of a file that somebody else put there.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as with_values
from pathlib import Path
from typing import NamedTuple

from crawler.download.disk.disk import DISK, Disk
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.journal import read
from crawler.download.disk.journal_file import MAX_JOURNAL_BYTES, REPAIR, JournalFile, remove_scraps
from crawler.download.disk.layout import Places, kind_of, new_token
from crawler.download.disk.receipt import Receipt, encode, load
from crawler.download.fault import Fault

_log = logging.getLogger(__name__)


class Stamp(NamedTuple):
    """What a file looks like from outside; a write by anybody changes it."""

    size: int
    mtime_ns: int
    inode: int
    device: int


class Standing(NamedTuple):
    """What has the target's name."""

    kind: str
    """`absent`, `ours` (with its receipt, size and time as recorded), `changed` (with its receipt, but written to
    since), `foreign` (no receipt), or what it is when it is no file: `a folder`, `a symbolic link`, ..."""
    receipt: Receipt | None


ABSENT = Standing("absent", None)


class Ready(NamedTuple):
    """A temporary file whose bytes are all there."""

    places: Places
    part: Path
    fd: int
    """Of that file; stays the caller's."""
    receipt: Receipt
    expected: Mapping[str, str] = {}  # a default that nobody can change: NamedTuples are read
    """Digests that decide, by algorithm, in hexadecimal: what the strongest claim says. Empty if there is none."""
    stamp: Stamp | None = None
    """Taken after the last write and before the last bytes were hashed: a write by anybody since is noticed (D84)."""
    replace: bool = False
    """Whether a file of ours may give way to one that is verified at least as well."""


def stamp_of(fd: int, disk: Disk = DISK) -> Stamp:
    """Return what an open file looks like now."""
    found = disk.fstat(fd)
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)


def finish(ready: Ready, journal: JournalFile | None = None, *, disk: Disk = DISK, durable: bool = True) -> Receipt:
    """Give a file its name; return its receipt as it is on disk. Waits for the disk. The caller holds the TargetLock.

    Closes and removes `journal` once the file has its name. Raises DownloadError: `size_mismatch`, `digest_mismatch`,
    `exists`, `no_space`, `disk`; then there is no name, and the temporary file and the journal stay for a resume.
    """
    (result,) = finish_many([(ready, journal)], disk=disk, durable=durable)
    if isinstance(result, DownloadError):
        raise result
    return result


def finish_many(
    batch: Sequence[tuple[Ready, JournalFile | None]], *, disk: Disk = DISK, durable: bool = True
) -> list[Receipt | DownloadError]:
    """As `finish`, for several at once: they share the waits for the disk. Trouble is a result, in the same order."""
    steps = [_Step(ready, journal, disk) for ready, journal in batch]
    for step in steps:
        step.attempt(step.compare)
    if durable:
        _sync(steps, [step.ready.fd for step in steps], disk)
    for step in steps:
        step.attempt(step.write_pending)
    if durable:
        _sync(steps, [step.pending_fd for step in steps], disk)
        _sync_folders(steps, lambda step: step.ready.places.parts, disk)
    for step in steps:
        step.close_pending()
        step.attempt(step.rename)
    if durable:
        _sync_folders(steps, lambda step: step.ready.places.target.parent, disk)
    for step in steps:
        step.settle()
    return [step.result() for step in steps]


class _Step:
    """One file on its way to its name, and what stopped it."""

    def __init__(self, ready: Ready, journal: JournalFile | None, disk: Disk) -> None:
        self.ready = ready
        self.journal = journal
        self.error: DownloadError | None = None
        self.pending_fd = -1
        self._receipt = ready.receipt
        self._disk = disk
        self._pending = ready.places.pending(ready.places.token(ready.part.name) or new_token())
        self._has_pending = False
        self._has_name = False

    def attempt(self, step: Callable[[], None]) -> None:
        """Take a step unless one before failed; what goes wrong is kept, and undone."""
        if self.error is not None:
            return
        try:
            step()
        except OSError as exc:
            self.fail(DownloadError.of(exc, str(self.ready.places.target)))
        except DownloadError as exc:
            self.fail(exc)

    def fail(self, error: DownloadError) -> None:
        """Note the trouble; take the name and the receipt back, so that all is as before."""
        self.error = error
        self.close_pending()
        try:
            if self._has_name:
                self._disk.rename_new(self.ready.places.target, self.ready.part)
                self._has_name = False
            if self._has_pending:
                self._disk.unlink(self._pending)
        except OSError as exc:  # the same disk; `recover` sees what is left
            error.add_note(f"and what was begun could not be taken back: {exc}")

    def compare(self) -> None:
        """Compare what is there with what must be."""
        ready, places = self.ready, self.ready.places
        if self.journal is not None and self.journal.is_broken:
            raise DownloadError(Fault.DISK, f"{ready.part}: a sync of it failed: nobody knows what is on disk")
        found = self._disk.fstat(ready.fd)
        if found.st_size != ready.receipt.size:
            raise DownloadError(Fault.SIZE_MISMATCH, f"{places.path}: {found.st_size} bytes, not {ready.receipt.size}")
        for algorithm, value in ready.expected.items():
            got = ready.receipt.digests.get(algorithm)
            if got is None or got.lower() != value.lower():
                raise DownloadError(Fault.DIGEST_MISMATCH, f"{places.path}: {algorithm} is {got}, expected {value}")
        self._check_untouched()
        self._check_free()
        self._receipt = with_values(self._receipt, mtime_ns=found.st_mtime_ns, inode=found.st_ino)

    def write_pending(self) -> None:
        """Write the receipt where it waits for the file to get its name."""
        disk = self._disk
        try:
            self.pending_fd = disk.open(self._pending, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:  # of an attempt before, with the same temporary file
            disk.unlink(self._pending)
            self.pending_fd = disk.open(self._pending, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        self._has_pending = True
        disk.write_all(self.pending_fd, encode(self._receipt), 0)

    def close_pending(self) -> None:
        fd, self.pending_fd = self.pending_fd, -1
        if fd >= 0:
            self._disk.close(fd)

    def rename(self) -> None:
        """Give the file its name."""
        part, target = self.ready.part, self.ready.places.target
        self._check_untouched()
        if self.ready.replace and not self._check_free():
            self._disk.rename(part, target)
            return
        try:
            self._disk.rename_new(part, target)
        except FileExistsError:
            self._check_free()  # which says what is there
            raise
        self._has_name = True

    def settle(self) -> None:
        """Put the receipt into its place and remove what was needed on the way; the file is there already."""
        if self.error is not None:
            return
        try:
            self._place_receipt()
            if self.journal is not None:
                self.journal.remove()
        except OSError as exc:  # the file is right and has its name; `recover` finds the receipt where it waits
            _log.warning("%s is there, but could not be tidied up after: %s", self.ready.places.target, exc)

    def _place_receipt(self) -> None:
        try:
            self._disk.rename(self._pending, self.ready.places.receipt)
        except FileNotFoundError:
            # Where locks do not lock, another process took it for something left over. It does not tidy up over there.
            self._pending = self.ready.places.receipt.with_suffix(f".{new_token()}.new")
            self.write_pending()
            self._disk.fsync(self.pending_fd)
            self.close_pending()
            self._disk.rename(self._pending, self.ready.places.receipt)

    def result(self) -> Receipt | DownloadError:
        return self.error if self.error is not None else self._receipt

    def _check_untouched(self) -> None:
        """Raise unless the temporary file is the one that was hashed, and nobody wrote into it since."""
        ready = self.ready
        ours, there = stamp_of(ready.fd, self._disk), self._disk.lstat(ready.part)
        if there is None or (there.st_dev, there.st_ino) != (ours.device, ours.inode):
            raise DownloadError(
                Fault.DISK, f"{ready.part} was {'replaced' if there else 'removed'} while it was in use"
            )
        if ready.stamp is not None and ready.stamp != ours:
            raise DownloadError(Fault.DISK, f"{ready.part} was written to by somebody else")

    def _check_free(self) -> bool:
        """Return whether nobody has the target's name; False if who has it may be replaced, else raise."""
        places = self.ready.places
        there = standing(places, disk=self._disk)
        if there.kind == "absent":
            return True
        if self.ready.replace and there.receipt is not None and is_no_worse(self.ready.receipt, there.receipt):
            return False
        what = "a file" if there.kind in ("ours", "changed", "foreign") else there.kind
        raise DownloadError(
            Fault.EXISTS, f"{places.target} exists: {what} is never overwritten by one that may be worse"
        )


def is_no_worse(new: Receipt, old: Receipt) -> bool:
    """Tell whether a file may replace another: it has the same bytes, or it is verified, and by no weaker a claim."""
    common = new.digests.keys() & old.digests.keys()
    if common and new.size == old.size and all(new.digests[name] == old.digests[name] for name in common):
        return True
    return new.rank >= max(1, old.rank)


def recover(places: Places, *, disk: Disk = DISK) -> Receipt | None:
    """Complete or clear what a kill left; return the receipt if the file had got its name already.

    The first thing to call, once the TargetLock is held. Temporary files that no journal names are removed, and those
    of who came too late for the name, where locks do not lock. Raises OSError.
    """
    waiting = [places.parts / name for name in disk.names(places.parts) if places.is_pending(name)]
    receipt = None
    for path in waiting:
        receipt = _recover_pending(places, path, disk) or receipt
    data = disk.read_all(places.journal, MAX_JOURNAL_BYTES)
    header = read(data).header if data is not None else None
    part = header.part if header is not None and places.is_part(header.part) else None
    is_late = header is not None and not header.options.get(REPAIR) and standing(places, disk=disk).kind == "ours"
    if part is None or is_late or not _is_unfinished(places, part, disk):
        disk.unlink(places.journal)
        part = None
    remove_scraps(places, keep=part, disk=disk)
    return receipt


def _is_unfinished(places: Places, part: str, disk: Disk) -> bool:
    """Tell whether a temporary file is there and is not the target's second name, left by a rename in two steps."""
    there, target = disk.lstat(places.parts / part), disk.lstat(places.target)
    if there is None:
        return False
    return target is None or (there.st_dev, there.st_ino) != (target.st_dev, target.st_ino)


def _recover_pending(places: Places, path: Path, disk: Disk) -> Receipt | None:
    """Put a waiting receipt into its place if its file has its name, else remove it."""
    waiting = load(path, disk)
    target = disk.lstat(places.target)
    if not isinstance(waiting, Receipt) or target is None or not _is_of(waiting, target):
        disk.unlink(path)  # torn, or the file never got its name: the journal knows how to go on
        return None
    disk.sync_folder(places.target.parent)
    disk.rename(path, places.receipt)
    disk.sync_folder(places.receipt.parent)
    return waiting


def standing(places: Places, *, disk: Disk = DISK) -> Standing:
    """Return what has the target's name now. Reads no bytes of it."""
    there = disk.lstat(places.target)
    if there is None:
        return ABSENT
    if not stat.S_ISREG(there.st_mode):
        return Standing(kind_of(there), None)
    receipt = load(places.receipt, disk)
    if not isinstance(receipt, Receipt) or receipt.path != places.path:
        return Standing("foreign", None)
    is_same = (receipt.size, receipt.mtime_ns) == (there.st_size, there.st_mtime_ns)
    return Standing("ours" if is_same else "changed", receipt)


def _is_of(receipt: Receipt, found: os.stat_result) -> bool:
    return (receipt.size, receipt.mtime_ns, receipt.inode) == (found.st_size, found.st_mtime_ns, found.st_ino)


def _sync(steps: Sequence[_Step], fds: Sequence[int], disk: Disk) -> None:
    """Sync one file of each step that has not failed."""
    todo = [(step, fd) for step, fd in zip(steps, fds, strict=True) if step.error is None]
    for (step, _), error in zip(todo, disk.fsync_all([fd for _, fd in todo]), strict=True):
        if error is not None:
            step.fail(DownloadError.of(error, f"{step.ready.places.target}: sync"))


def _sync_folders(steps: Sequence[_Step], folder_of: Callable[[_Step], Path], disk: Disk) -> None:
    """Sync one folder of each step that has not failed, each folder once."""
    going = [step for step in steps if step.error is None]
    for folder in dict.fromkeys(folder_of(step) for step in going):
        try:
            disk.sync_folder(folder)
        except OSError as exc:
            for step in going:
                if folder_of(step) == folder:
                    step.fail(DownloadError.of(exc, f"{folder}: sync"))
