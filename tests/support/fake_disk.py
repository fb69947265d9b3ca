"""A disk in memory that loses power: what was not synced may be there afterwards, or not, or in part.

It is weaker than any file system in use. An unsynced write may reach the disk alone, late, or only in some of its
sectors; an unsynced change of a name may outlive one that came before it. Only what was synced is certain: the bytes
of a file by `fsync` and `fdatasync`, the names in a folder by `sync_folder`.
"""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from crawler.download.disk.disk import Disk

SECTOR = 16  # small, so that small records are torn, too


class PowerLossError(BaseException):
    """The power failed. Not caught by anything that catches errors of a disk."""


class _Inode:
    """A file or a folder, with what is certain of it and what is not."""

    def __init__(self, number: int, mode: int, now: int) -> None:
        self.number = number
        self.mode = mode
        self.data = bytearray()
        self.durable = bytearray()
        self.changes: list[tuple[int, bytes] | int] = []
        """Since the last sync: writes (offset, bytes) and lengths."""
        self.mtime_ns = now


class _Change:
    """An unsynced change of names: which names now mean what; None: nothing."""

    def __init__(self, names: dict[Path, int | None], folder: Path) -> None:
        self.names = names
        self.folder = folder


class FakeDisk(Disk):
    """A `Disk` of its own. Every call that changes something is a step; steps can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.log: list[str] = []
        self.power_fails_at: int | None = None
        self.errors: dict[int, int] = {}
        """Step to error number: this step fails with it and changes nothing."""
        self.max_write: int | None = None
        self.can_allocate = True
        self.can_rename_new = True
        self._now = 1
        self._inodes: dict[int, _Inode] = {1: _Inode(1, stat.S_IFDIR | 0o755, 0)}
        self._names: dict[Path, int] = {Path("/"): 1}
        self._certain: dict[Path, int] = {Path("/"): 1}
        self._changes: list[_Change] = []
        self._open: dict[int, int] = {}
        self._next_fd = 100
        self._is_dead = False

    # What tests ask.

    def files(self) -> dict[str, bytes]:
        """Return every regular file that has a name."""
        found = {str(path): self._inodes[number] for path, number in self._names.items()}
        return {path: bytes(inode.data) for path, inode in found.items() if stat.S_ISREG(inode.mode)}

    def after_kill(self) -> FakeDisk:
        """Return the disk as the next process finds it: all that was done is there, synced or not."""
        self._is_dead = False
        self.power_fails_at = None
        self._open.clear()
        self._durable_folders.clear()
        return self

    def after_power_loss(self, chance: random.Random) -> FakeDisk:
        """Return the disk as it may be found when the power is back."""
        found = FakeDisk()
        found.can_rename_new = self.can_rename_new
        found._now = self._now + 1
        names = dict(self._certain)
        for change in self._changes:
            if chance.random() < 0.5:
                _apply(names, change.names)
        used = set(names.values())
        for number in used:
            inode = _Inode(number, self._inodes[number].mode, self._inodes[number].mtime_ns)
            inode.data = _torn(self._inodes[number], chance)
            inode.durable = bytearray(inode.data)
            found._inodes[number] = inode
        found._names = {path: number for path, number in names.items() if _has_folders(path, names)}
        found._certain = dict(found._names)
        return found

    # What a download asks.

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        number = self._names.get(path)
        if flags & os.O_CREAT:
            self._step(f"create {path.name}")
            if number is not None and flags & os.O_EXCL:
                raise OSError(errno.EEXIST, "File exists", str(path))
            if number is None:
                self._need_folder(path)
                number = self._new(stat.S_IFREG | 0o644)
                self._bind({path: number}, path.parent)
        if number is None:
            raise OSError(errno.ENOENT, "No such file", str(path))
        fd, self._next_fd = self._next_fd, self._next_fd + 1
        self._open[fd] = number
        return fd

    def close(self, fd: int) -> None:
        del self._open[fd]

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self._step(f"write {len(data)}")
        taken = bytes(data[: self.max_write])
        inode = self._of(fd)
        _write(inode.data, offset, taken)
        inode.changes.append((offset, taken))
        self._touch(inode)
        return len(taken)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        return bytes(self._of(fd).data[offset : offset + size])

    def read_into(self, fd: int, buffer: memoryview, offset: int) -> int:
        data = self.pread(fd, len(buffer), offset)
        buffer[: len(data)] = data
        return len(data)

    def fstat(self, fd: int) -> os.stat_result:
        return self._stat(self._of(fd))

    def lstat(self, path: Path) -> os.stat_result | None:
        self._check_power()
        number = self._names.get(path)
        return None if number is None else self._stat(self._inodes[number])

    def names(self, path: Path) -> list[str]:
        self._check_power()
        return sorted(each.name for each in self._names if each.parent == path and each != path)

    def truncate(self, fd: int, size: int) -> None:
        self._step(f"truncate {size}")
        inode = self._of(fd)
        _resize(inode.data, size)
        inode.changes.append(size)
        self._touch(inode)

    def allocate(self, fd: int, size: int) -> bool:
        if self.can_allocate:
            self.truncate(fd, size)
        return self.can_allocate

    def fsync(self, fd: int) -> None:
        self._step("fsync")
        inode = self._of(fd)
        inode.durable = bytearray(inode.data)
        inode.changes.clear()

    def fdatasync(self, fd: int) -> None:
        self.fsync(fd)

    def fsync_all(self, fds: Sequence[int]) -> list[OSError | None]:
        return [self._fsynced(fd) for fd in fds]  # no threads: steps have an order

    def sync_folder(self, path: Path) -> None:
        self._step(f"sync folder {path.name}")
        kept = []
        for change in self._changes:
            if change.folder == path:
                _apply(self._certain, change.names)
            else:
                kept.append(change)
        self._changes = kept

    def make_folder(self, path: Path, mode: int = 0o777) -> bool:
        self._step(f"mkdir {path.name}")
        if path in self._names:
            return False
        self._need_folder(path)
        self._bind({path: self._new(stat.S_IFDIR | mode)}, path.parent)
        return True

    def rename(self, source: Path, target: Path) -> None:
        self._step(f"rename {source.name} {target.name}")
        self._rename(source, target)

    def rename_new(self, source: Path, target: Path) -> None:
        if self.can_rename_new:
            self._step(f"rename_new {source.name} {target.name}")
            if target in self._names:
                raise OSError(errno.EEXIST, "File exists", str(target))
            self._rename(source, target)
        else:
            self.link(source, target)
            self.unlink(source)

    def link(self, source: Path, target: Path) -> None:
        self._step(f"link {source.name} {target.name}")
        if target in self._names:
            raise OSError(errno.EEXIST, "File exists", str(target))
        self._bind({target: self._names[source]}, target.parent)

    def unlink(self, path: Path) -> bool:
        self._step(f"unlink {path.name}")
        if path not in self._names:
            return False
        self._bind({path: None}, path.parent)
        return True

    # How.

    def _step(self, what: str) -> None:
        self._check_power()
        self.steps += 1
        self.log.append(what)
        if self.steps == self.power_fails_at:
            self._is_dead = True
            raise PowerLossError(what)
        if (code := self.errors.get(self.steps)) is not None:
            raise OSError(code, os.strerror(code))

    def _check_power(self) -> None:
        if self._is_dead:
            raise PowerLossError("the power is off")

    def _of(self, fd: int) -> _Inode:
        self._check_power()
        return self._inodes[self._open[fd]]

    def _new(self, mode: int) -> int:
        number = max(self._inodes) + 1
        self._inodes[number] = _Inode(number, mode, self._now)
        return number

    def _touch(self, inode: _Inode) -> None:
        self._now += 1
        inode.mtime_ns = self._now

    def _need_folder(self, path: Path) -> None:
        if path.parent not in self._names:
            raise OSError(errno.ENOENT, "No such folder", str(path))

    def _rename(self, source: Path, target: Path) -> None:
        if source not in self._names:
            raise OSError(errno.ENOENT, "No such file", str(source))
        self._bind({target: self._names[source], source: None}, target.parent)

    def _bind(self, names: dict[Path, int | None], folder: Path) -> None:
        _apply(self._names, names)
        self._changes.append(_Change(names, folder))

    def _stat(self, inode: _Inode) -> os.stat_result:
        links = sum(number == inode.number for number in self._names.values())
        found: Any = SimpleNamespace(
            st_mode=inode.mode, st_size=len(inode.data), st_ino=inode.number, st_dev=1, st_mtime_ns=inode.mtime_ns,
            st_nlink=links,
        )  # fmt: skip
        return cast("os.stat_result", found)


def _apply(names: dict[Path, int], change: dict[Path, int | None]) -> None:
    for path, number in change.items():
        if number is None:
            names.pop(path, None)
        else:
            names[path] = number


def _has_folders(path: Path, names: dict[Path, int]) -> bool:
    return all(each in names for each in path.parents)


def _write(data: bytearray, offset: int, taken: bytes) -> None:
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(taken)] = taken


def _resize(data: bytearray, size: int) -> None:
    if len(data) > size:
        del data[size:]
    data.extend(bytes(size - len(data)))


def _torn(inode: _Inode, chance: random.Random) -> bytearray:
    """Return what is on disk of a file: what was synced, and of the rest whatever chance gives."""
    data = bytearray(inode.durable)
    for change in inode.changes:
        if isinstance(change, int):
            if chance.random() < 0.5:
                _resize(data, change)
            continue
        offset, written = change
        fate = chance.choice(("all", "none", "some", "garbage"))
        for at in range(0, len(written), SECTOR):
            sector = written[at : at + SECTOR]
            if fate == "all" or (fate in ("some", "garbage") and chance.random() < 0.5):
                _write(data, offset + at, sector)
            elif fate == "garbage" and offset + at >= len(inode.durable):  # a block that was given, never written
                _write(data, offset + at, chance.choice((bytes(len(sector)), chance.randbytes(len(sector)))))
    return data
