"""The journal on disk, beside the temporary file it speaks of: one writer, held by a lock.

The order is what makes a journal true, so it is built in here: `commit` syncs the data first, and then writes and syncs
the records of those pieces that had landed *before* that sync began. A record that is on disk therefore speaks of bytes
that are on disk, whenever the power fails. A kill loses no byte that was written, only what had not been recorded.

After a sync has failed nobody knows which pages reached the disk, and the kernel reports it once (a later sync may
succeed and mean nothing): such a journal never records anything again.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import NamedTuple, Self

from crawler.download.disk import journal as records
from crawler.download.disk.disk import DISK, Disk
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.journal import Drop, Header, Piece, Plain
from crawler.download.disk.layout import Places, new_token
from crawler.download.fault import Fault

MAX_JOURNAL_BYTES = 256 << 20
"""Some five million pieces; what is longer is no journal of ours."""


REPAIR = "repair"
"""The option of a journal whose file is to replace one that has the target's name."""


class TargetLock:
    """Holds a target from construction to `release`. Raises DownloadError(`locked`) when another does.

    The lock is the kernel's (`flock`), so a killed process leaves nothing to clean up, and neither a boot nor a process
    number that was given again means anything (D92). The file goes when it is released. Where `flock` always succeeds
    (some network file systems) two may work at once, and only one gets the name (D99). Their temporary files differ,
    unless the second goes on with what the first has recorded: then both write the same bytes of one version.
    """

    def __init__(self, places: Places, holder: int | None = None) -> None:
        """`holder`: number of the process that is to be named as holding it; None for this one."""
        self._path = places.lock
        self._holder = os.getpid() if holder is None else holder
        self._fd = -1
        while self._fd < 0:
            self._fd = self._held(places)

    def _held(self, places: Places) -> int:
        """Return the descriptor of the locked file; -1 if it was removed while we waited for nothing."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.fstat(fd)
            there = DISK.lstat(self._path)
            if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
                os.close(fd)  # whoever had it removed the file between our open and our lock
                return -1
            if ours.st_size:
                os.ftruncate(fd, 0)
            os.pwrite(fd, f"pid {self._holder}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode(), 0)
        except BlockingIOError as exc:
            holder = os.pread(fd, 200, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            who = "this process" if holder.startswith(f"pid {self._holder},") else "another process"
            raise DownloadError(Fault.LOCKED, f"{places.target}: {who} ({holder}) is fetching it") from exc
        except BaseException:
            os.close(fd)
            raise
        return fd

    def release(self) -> None:
        """Let go, and remove the file; further calls do nothing."""
        if self._fd >= 0:
            DISK.unlink(self._path)  # while it is locked: whoever opened it meanwhile sees that it has gone
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Resumed(NamedTuple):
    """What a journal on disk came to."""

    journal: JournalFile | None
    """Open for more; None: begin afresh with `JournalFile.create`, which removes what is left."""
    claimed: tuple[Piece, ...]
    """What it says is on disk. Claims: read the bytes again with `follow.recheck` before they count."""
    why: str
    """Why there is nothing, or not all; empty when all was proved or nothing was there."""


class JournalFile:
    """The journal of one temporary file, and the descriptor of that file. Owns both until `close`.

    `landed` and `dropped` only note and may be called in an event loop. `commit` waits for the disk: call it in a
    thread, one at a time. All other methods take the disk, too, but are called once a file.
    """

    def __init__(self, places: Places, header: Header, fd: int, log: int, disk: Disk, durable: bool) -> None:
        """Not for callers: use `create` or `resume`."""
        self.places = places
        self.header = header
        self.part = places.parts / header.part
        self.fd = fd
        """Of the temporary file, for reading and writing; the owner is this journal."""
        self._log = log
        self._disk = disk
        self._durable = durable
        self._end = 0
        self._proof = b""
        self._staged: list[Piece | Drop] = []
        self._lock = threading.Lock()
        self._broken: OSError | None = None

    @classmethod
    def create(
        cls,
        places: Places,
        *,
        url: str,
        size: int | None,
        identity: Mapping[str, Plain],
        options: Mapping[str, Plain] | None = None,
        disk: Disk = DISK,
        durable: bool = True,
    ) -> JournalFile:
        """Make a temporary file of `size` bytes and its journal, and remove those of any attempt before.

        The space is reserved where the file system can do that, so a full disk is known now and not in the middle.
        `durable`: False leaves out all syncs; a kill is survived as before, after a power loss little is left.
        Raises OSError; then nothing of this attempt is left.
        """
        part = places.part(new_token())
        header = Header(url, places.path, part.name, size, identity, options=options or {})
        fd = disk.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        log = -1
        scrap = places.scrap()
        try:
            if size and not disk.allocate(fd, size):
                disk.truncate(fd, size)
            data, proof = records.begin(header)
            log = disk.open(scrap, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            disk.write_all(log, data, 0)
            disk.rename(scrap, places.journal)
            if durable:
                disk.sync_folder(places.parts)  # both names; what is in the files the first commit syncs
        except BaseException:
            for made in (fd, log):
                if made >= 0:
                    disk.close(made)
            disk.unlink(scrap)
            disk.unlink(part)
            raise
        journal = cls(places, header, fd, log, disk, durable)
        journal._end, journal._proof = len(data), proof
        remove_scraps(places, keep=part.name, disk=disk)
        return journal

    @classmethod
    def resume(cls, places: Places, *, url: str, disk: Disk = DISK, durable: bool = True) -> Resumed:
        """Open what an earlier attempt left, if it is about this URL and its temporary file is there.

        What cannot be proved is cut off. Raises OSError for a disk in trouble, never for what the files hold.
        """
        data = disk.read_all(places.journal, MAX_JOURNAL_BYTES)
        if data is None:
            return Resumed(None, (), "")
        found = records.read(data)
        header = found.header
        if header is None:
            return Resumed(None, (), f"the journal cannot be used: {found.why}")
        why = _unfit(places, header, url, disk)
        if why:
            return Resumed(None, (), why)
        fd = disk.open(places.parts / header.part, os.O_RDWR)
        try:
            size = disk.fstat(fd).st_size
            log = disk.open(places.journal, os.O_RDWR)
        except BaseException:
            disk.close(fd)
            raise
        journal = cls(places, header, fd, log, disk, durable)
        try:
            if found.cut_at < len(data):
                disk.truncate(log, found.cut_at)
            if header.size is not None and size > header.size:  # D84: appended to by somebody; no piece lies there
                disk.truncate(fd, header.size)
        except BaseException:
            journal.close()
            raise
        journal._end, journal._proof = found.cut_at, found.proof
        claimed = tuple(piece for piece in found.pieces if piece.end <= size)
        short = "" if len(claimed) == len(found.pieces) else f"the temporary file ends at byte {size}"
        return Resumed(journal, claimed, "; ".join(filter(None, (found.why, short))))

    @property
    def is_broken(self) -> bool:
        """Whether a sync has failed: nothing is recorded any more, and `finish` must not be called."""
        return self._broken is not None

    def landed(self, piece: Piece) -> None:
        """Note a piece whose bytes were all written; the next `commit` records it."""
        with self._lock:
            self._staged.append(piece)

    def dropped(self, first: int, end: int) -> None:
        """Note that what was said of these bytes holds no more; pieces that overlap them are forgotten."""
        with self._lock:
            self._staged.append(Drop(first, end))

    def commit(self) -> int:
        """Sync the data, then record what had landed before; return how many records. Waits for the disk.

        Raises OSError. After a failed write (a full disk) what was noted stays noted; after a failed sync the journal
        is broken, and every further call raises the same.
        """
        if self._broken is not None:
            raise self._broken
        with self._lock:
            batch, self._staged = self._staged, []
        if not batch:
            return 0
        self._synced(self.fd)
        data, proof = records.encode(self._proof, batch)
        try:
            self._disk.write_all(self._log, data, self._end)
        except OSError:
            with self._lock:
                self._staged[:0] = batch
            raise
        self._synced(self._log)
        self._end += len(data)
        self._proof = proof
        return len(batch)

    def check(self) -> None:
        """Raise DownloadError when the temporary file or the journal was removed or replaced by somebody (D83)."""
        for fd, path in ((self.fd, self.part), (self._log, self.places.journal)):
            ours, there = self._disk.fstat(fd), self._disk.lstat(path)
            if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
                what = "removed" if there is None else "replaced"
                raise DownloadError(Fault.DISK, f"{path} was {what} while it was in use")

    def close(self) -> None:
        """Close both files and leave them for a resume; further calls do nothing."""
        fd, self.fd = self.fd, -1
        log, self._log = self._log, -1
        for each in (fd, log):
            if each >= 0:
                self._disk.close(each)

    def remove(self) -> None:
        """Close both and remove them, the journal first: one without its temporary file would speak of nothing."""
        self.close()
        self._disk.unlink(self.places.journal)
        self._disk.unlink(self.part)

    def _synced(self, fd: int) -> None:
        if not self._durable:
            return
        try:
            self._disk.fdatasync(fd)
        except OSError as exc:
            self._broken = exc
            raise


def remove_scraps(places: Places, *, keep: str | None = None, disk: Disk = DISK) -> int:
    """Remove the temporary files of a target but `keep`; return how many. Only for who holds its lock."""
    found = [
        name for name in disk.names(places.parts) if name != keep and (places.is_part(name) or places.is_scrap(name))
    ]
    return sum(disk.unlink(places.parts / name) for name in found)


def _unfit(places: Places, header: Header, url: str, disk: Disk) -> str:
    """Return why a journal is not one to go on with; empty if it is."""
    if header.url != url:
        return f"the journal is of another URL, {header.url}"
    if header.path != places.path or not places.is_part(header.part):
        return f"the journal is of another target, {header.path}"
    found = disk.lstat(places.parts / header.part)
    if found is None:
        return "the temporary file has gone"
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        return "what has the temporary file's name is not that file"
    return ""
