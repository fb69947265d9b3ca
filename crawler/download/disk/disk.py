"""The system calls that downloads are built from, behind one value, so that tests can break each of them.

`Disk` is thin: a call of it is a call of the kernel, with the retries that a partial write needs. What the standard
library does not offer comes from the C library: `renameat2` and `fallocate`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Final

from crawler.download.fault import Fault

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1  # linux/fs.h

_TMPFS_MAGIC = 0x01021994  # linux/magic.h

_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
SYNC_THREADS = 8
LONG_SYNC_SECONDS = 0.0002
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Disk:
    """What a download asks of a file system. Every method raises OSError as the kernel reports it."""

    def __init__(self) -> None:
        self._durable_folders: set[Path] = set()

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        """Open a file, never through a symbolic link, and not for children."""
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write some of `data` and return how much."""
        return os.pwrite(fd, data, offset)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read at most `size` bytes."""
        return os.pread(fd, size, offset)

    def read_into(self, fd: int, buffer: memoryview, offset: int) -> int:
        """Read into a buffer and return how much; 0 at the end of the file."""
        return os.preadv(fd, [buffer], offset)

    def fstat(self, fd: int) -> os.stat_result:
        """Return what a descriptor is of."""
        return os.fstat(fd)

    def lstat(self, path: Path) -> os.stat_result | None:
        """Return what is at `path`, a link included; None when there is nothing."""
        try:
            return os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, path: Path) -> list[str]:
        """Return the names in a folder; none when there is no folder."""
        try:
            return os.listdir(path)  # noqa: PTH208  # names are wanted, not paths
        except FileNotFoundError:
            return []

    def truncate(self, fd: int, size: int) -> None:
        """Make a file as long as this."""
        os.ftruncate(fd, size)

    def allocate(self, fd: int, size: int) -> bool:
        """Reserve space for a file and make it as long; return False where the file system cannot (D82).

        Not `posix_fallocate`: where the file system cannot, the C library writes into every block instead. Not on
        tmpfs: it fills every page with zeros at once, which takes as long as half a download; that there is room is
        seen all the same.
        """
        if _is_tmpfs(fd):
            room = os.fstatvfs(fd)
            if room.f_blocks and room.f_bavail * room.f_frsize < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return False
        if _fallocate(fd, 0, 0, size) == 0:
            return True
        code = ctypes.get_errno()
        if code not in _UNSUPPORTED:
            raise OSError(code, os.strerror(code))
        return False

    def fsync(self, fd: int) -> None:
        """Wait until a file is on disk, with all that is known of it."""
        os.fsync(fd)

    def fdatasync(self, fd: int) -> None:
        """Wait until the bytes of a file are on disk, and what is needed to find them."""
        os.fdatasync(fd)

    def sync_folder(self, path: Path) -> None:
        """Wait until the names in a folder are on disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as exc:
            if exc.errno != errno.EINVAL:  # some network file systems cannot, and keep names in step themselves
                raise
        finally:
            os.close(fd)

    def make_folder(self, path: Path, mode: int = 0o777) -> bool:
        """Make a folder; return False when there is something already."""
        try:
            path.mkdir(mode)
        except FileExistsError:
            return False
        return True

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, over whatever has it."""
        source.rename(target)

    def rename_new(self, source: Path, target: Path) -> None:
        """Give a file a name that nobody has, in one step. Raises FileExistsError when somebody does.

        By `renameat2`; where the file system does not know it, by a second name and the removal of the first. A kill
        between those two leaves both names, which `crawler.download.disk.finish.recover` sees.
        """
        if _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in _UNSUPPORTED:
            raise OSError(code, os.strerror(code), str(source), None, str(target))
        self.link(source, target)
        self.unlink(source)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name. Raises FileExistsError."""
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: Path) -> bool:
        """Remove a name; return False when nobody had it."""
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        return True

    # What is built from the above.

    def make_durable_folder(self, path: Path, mode: int = 0o777) -> None:
        """Make a folder, if it is not there, that a power loss cannot take away.

        One that is there may have been made by a process that was killed before it synced, so it is synced, too, once.
        """
        if self.make_folder(path, mode) or path not in self._durable_folders:
            self.sync_folder(path.parent)
            self._durable_folders.add(path)

    def make_folders(self, path: Path) -> None:
        """Make a folder that is not there, and those above it, so that a power loss cannot take them away."""
        if self.lstat(path) is None:
            self.make_folders(path.parent)
            self.make_durable_folder(path)

    def write_all(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`, however small the portions the kernel takes (D79)."""
        rest = memoryview(data)
        while rest:
            written = self.pwrite(fd, rest, offset)
            rest = rest[written:]
            offset += written

    def read_all(self, path: Path, max_bytes: int) -> bytes | None:
        """Return what is in a regular file; None when there is none, or one of more than `max_bytes`."""
        found = self.lstat(path)
        if found is None or not stat.S_ISREG(found.st_mode) or found.st_size > max_bytes:
            return None
        fd = self.open(path, os.O_RDONLY)
        try:
            parts = []
            at = 0
            while chunk := self.pread(fd, 1 << 20, at):
                parts.append(chunk)
                at += len(chunk)
                if at > max_bytes:
                    return None
            return b"".join(parts)
        finally:
            self.close(fd)

    def fsync_all(self, fds: Sequence[int]) -> list[OSError | None]:
        """Wait for several files at once and return what went wrong with each.

        In threads, once one has taken long: the file system writes its own journal once for many that wait together.
        Where there is nothing to wait for, as in memory, the start of a thread costs more than a sync.
        """
        results: list[OSError | None] = []
        for number, fd in enumerate(fds, 1):
            began = perf_counter()
            results.append(self._fsynced(fd))
            rest = fds[number:]
            if len(rest) > 1 and perf_counter() - began > LONG_SYNC_SECONDS:
                with ThreadPoolExecutor(min(len(rest), SYNC_THREADS), "crawlmill-sync") as threads:
                    return [*results, *threads.map(self._fsynced, rest)]
        return results

    def _fsynced(self, fd: int) -> OSError | None:
        try:
            self.fsync(fd)
        except OSError as exc:
            return exc
        return None


DISK: Final = Disk()
"""The real one."""


def fault_of(error: OSError) -> Fault:
    """Return what a disk's trouble is for a download: NO_SPACE, EXISTS or DISK."""
    if error.errno in _FULL:
        return Fault.NO_SPACE
    return Fault.EXISTS if error.errno == errno.EEXIST else Fault.DISK


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _fallocate(fd: int, mode: int, offset: int, size: int) -> int:
    call = getattr(_libc(), "fallocate64", None)
    if call is None:
        ctypes.set_errno(errno.ENOSYS)
        return -1
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    while (code := int(call(fd, mode, offset, size))) != 0 and ctypes.get_errno() == errno.EINTR:
        pass
    return code


def _is_tmpfs(fd: int) -> bool:
    """Tell whether a file lives in memory. `f_type` is the first word of `struct statfs`, in glibc and in musl."""
    call = getattr(_libc(), "fstatfs", None)
    if call is None:
        return False
    found = ctypes.create_string_buffer(512)
    call.argtypes = [ctypes.c_int, ctypes.c_char_p]
    return call(fd, found) == 0 and ctypes.c_long.from_buffer(found).value == _TMPFS_MAGIC


def _renameat2(from_fd: int, source: bytes, to_fd: int, target: bytes, flags: int) -> int:
    call = getattr(_libc(), "renameat2", None)  # musl has none before 1.2.6
    if call is None:
        ctypes.set_errno(errno.ENOSYS)
        return -1
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return int(call(from_fd, source, to_fd, target, flags))
