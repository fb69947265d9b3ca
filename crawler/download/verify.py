"""Whether files are still what their receipts say: all of them, on every core, down to the damaged bytes.

One pass over a file computes its digests and the checksum of each piece. The digests decide whether it is right; the
pieces say where it is not. What the page cache holds of a file is dropped first, so that the disk is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from crawler.download.disk.disk import DISK, Disk
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.finish import recover
from crawler.download.disk.journal_file import TargetLock
from crawler.download.disk.layout import ROOM, Places, kind_of, places_of
from crawler.download.disk.receipt import Receipt, load, store
from crawler.download.proof.checksum import named
from crawler.download.proof.digests import Hasher, is_available, new_hash
from pipelines.pool.pool import WorkerPool
from pipelines.stream import stream

BLOCK_BYTES = 1 << 20
MAX_ITEMS = 1000
_RECEIPT = ".json"


class Checked(NamedTuple):
    """What reading one file came to."""

    path: str
    """Relative to the root; the receipt's own name where that cannot be read."""
    state: str
    """`right`, `damaged`, `missing` or `unreadable` (the receipt)."""
    detail: str
    spans: tuple[tuple[int, int], ...]
    """Damaged byte ranges, half-open; what is missing at the end of the file included."""
    size: int
    """Bytes it must have."""


class Job(NamedTuple):
    """One file to look at, and how much there is to read."""

    receipt: str
    size: int


class NoReceiptsError(Exception):
    """There is nothing to verify: the folder has no receipts."""


def adopt(root: Path, *, disk: Disk = DISK) -> int:
    """Put the receipts into their place that a kill left waiting; return how many. Skips targets that are in use."""
    waiting = [name for name in disk.names(root / ROOM / "parts") if name.endswith(".receipt")]
    adopted = 0
    for name in waiting:
        receipt = load(root / ROOM / "parts" / name, disk)
        if not isinstance(receipt, Receipt):
            continue  # torn: the file never got its name; whoever fetches it next removes this
        try:
            places = places_of(root, receipt.path)
            with TargetLock(places):
                adopted += places.is_pending(name) and recover(places, disk=disk) is not None
        except DownloadError:
            continue  # somebody works on it, and will put the receipt into its place
    return adopted


def confirm(places: Places, *, disk: Disk = DISK) -> Receipt | None:
    """Read a file that was touched since its receipt was written (`Standing.kind` is `changed`); None if it is wrong.

    A folder that was copied without its times is as good as before. The receipt is told the new time, so that the next
    look need not read. The caller holds the TargetLock. Reads all of the file: call it in a worker or a thread. Raises
    OSError.
    """
    before = disk.lstat(places.target)
    receipt = load(places.receipt, disk)
    if before is None or not isinstance(receipt, Receipt):
        return None
    if check_file(str(places.root), None, places.receipt.name).state != "right":
        return None
    receipt = replace(receipt, mtime_ns=before.st_mtime_ns, inode=before.st_ino)
    store(receipt, places.receipt, places.scrap(), disk)
    return receipt


def jobs(root: Path, *, disk: Disk = DISK) -> list[Job]:
    """Return what there is to verify, the largest receipt first: a large file that begins last ends last.

    Raises NoReceiptsError, OSError.
    """
    folder = root / ROOM / "receipts"
    found = disk.lstat(folder)
    if found is None or not stat.S_ISDIR(found.st_mode):
        raise NoReceiptsError(f"{root}: no receipts: expected a folder that files were downloaded to")
    sizes = [(each.stat().st_size, each.name) for each in os.scandir(folder) if each.name.endswith(_RECEIPT)]
    return [Job(name, size) for size, name in sorted(sizes, key=lambda each: (-each[0], each[1]))]


async def verify_all(
    root: Path, pool: WorkerPool, todo: list[Job], progress: Path | None = None
) -> AsyncGenerator[Checked, None]:
    """Re-hash files and yield the results as they come.

    `progress`: a folder in which every worker keeps the number of bytes it has read, for `bytes_read`.
    """
    check = partial(check_file, str(root), None if progress is None else str(progress))
    names = [job.receipt for job in todo]
    async for result in stream(check, names, pool=pool, max_items=MAX_ITEMS, batch_items=64, return_errors=True):
        if result.error is not None:
            yield Checked(result.item, "unreadable", f"it could not be looked at: {result.error}", (), 0)
        else:
            yield result.unwrap()


def bytes_read(progress: Path) -> int:
    """Return how many bytes all workers have read so far."""
    return sum(each.stat().st_size for each in progress.iterdir())


def check_file(root: str, progress: str | None, name: str) -> Checked:
    """Read one file and compare it with its receipt. Runs in a worker."""
    folder = Path(root)
    receipt = load(folder / ROOM / "receipts" / name)
    if not isinstance(receipt, Receipt):
        return Checked(name, "unreadable", f"the receipt cannot be used: {receipt or 'it has gone'}", (), 0)
    try:
        places = places_of(folder, receipt.path)
    except DownloadError as exc:
        return Checked(name, "unreadable", f"the receipt cannot be used: {exc}", (), 0)
    if places.receipt.name != name:
        return Checked(name, "unreadable", f"the receipt is of {receipt.path}", (), 0)
    found = DISK.lstat(places.target)
    whole = ((0, receipt.size),) if receipt.size else ()
    if found is None or not stat.S_ISREG(found.st_mode):
        what = "it has gone" if found is None else f"it is {kind_of(found)}"
        return Checked(receipt.path, "missing", what, whole, receipt.size)
    try:
        fd = DISK.open(places.target, os.O_RDONLY)
    except OSError as exc:
        return Checked(receipt.path, "damaged", f"it cannot be opened: {exc.strerror}", whole, receipt.size)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        with _told(progress) as tell:
            reading = _Reading(fd, receipt, tell)
            reading.run()
        return reading.verdict(os.fstat(fd).st_size)
    finally:
        os.close(fd)


class _Reading:
    """One pass over a file."""

    def __init__(self, fd: int, receipt: Receipt, tell: Callable[[int], None]) -> None:
        self._fd = fd
        self._receipt = receipt
        self._tell = tell
        self._hashes: dict[str, Hasher] = {name: new_hash(name) for name in receipt.digests if is_available(name)}
        self._checksum = named(receipt.checksum)
        self._buffer = memoryview(bytearray(BLOCK_BYTES))
        self._bad: list[tuple[int, int]] = []
        self._unread: list[tuple[int, int]] = []
        self._uncovered: list[tuple[int, int]] = []

    def run(self) -> None:
        """Read everything, piece by piece, with what lies between pieces."""
        at = 0
        pieces = self._receipt.pieces if self._checksum is not None else ()  # else nothing here knows what they say
        for first, end, value in pieces:
            self._gap(at, first)
            if self._read(first, end) not in (value, None):
                self._bad.append((first, end))
            at = end
        self._gap(at, self._receipt.size)

    def verdict(self, size: int) -> Checked:
        """Say what was found."""
        receipt = self._receipt
        wrong = [name for name, each in self._hashes.items() if each.digest().hex() != receipt.digests[name].lower()]
        excess = f"it has {size:,} bytes, not {receipt.size:,}" if size != receipt.size else ""
        if not (wrong or self._unread or excess) and (self._hashes or not self._bad):
            by = "" if self._hashes else "by the checksums of its pieces only"
            return Checked(receipt.path, "right", by, (), receipt.size)
        spans = merged([*self._bad, *self._unread])
        if wrong and not spans and receipt.size:  # the damage lies where no piece was recorded, or nobody knows where
            spans = merged(self._uncovered or [(0, receipt.size)])
        parts = [excess] + [f"{name} is not what it was" for name in wrong if not self._unread]
        parts += [f"{first:,} to {end:,} cannot be read" for first, end in merged(self._unread) if end <= size]
        return Checked(receipt.path, "damaged", "; ".join(filter(None, parts)), spans, receipt.size)

    def _gap(self, first: int, end: int) -> None:
        if first < end:
            self._uncovered.append((first, end))
            self._read(first, end)

    def _read(self, first: int, end: int) -> int | None:
        """Return the checksum of a run of bytes; None if it cannot be read."""
        value, at = 0, first
        while at < end:
            try:
                count = DISK.read_into(self._fd, self._buffer[: min(BLOCK_BYTES, end - at)], at)
            except OSError:
                count = 0  # a sector that cannot be read is as lost as one behind the end
            if count == 0:
                self._unread.append((first, end))
                return None
            data = self._buffer[:count]
            for each in self._hashes.values():
                each.update(data)
            if self._checksum is not None:
                value = self._checksum(data, value)
            at += count
            self._tell(count)
        return value


def merged(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return spans in order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for first, end in sorted(spans):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((first, end))
    return tuple(found)


@contextmanager
def _told(progress: str | None) -> Iterator[Callable[[int], None]]:
    """Give what keeps the number of bytes this process has read: the length of an empty file of its own."""
    if progress is None:
        yield lambda _: None
        return
    fd = os.open(Path(progress) / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield lambda count: os.ftruncate(fd, os.fstat(fd).st_size + count)
    finally:
        os.close(fd)
