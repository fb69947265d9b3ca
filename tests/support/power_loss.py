"""What a power loss leaves of real files: what was synced, and nothing that was done after.

`watch` goes into the process that will die. It keeps, beside the folder, the bytes of each file as they were when a
sync of it began, and the names of each folder likewise. `lose_power` then puts a folder back to that. No disk in use is
as forgetful: what only a sync makes certain is always gone. Files keep their inodes and times, which receipts know.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

from crawler.download.disk.disk import Disk


class _Store:
    """What is certain: `ID-INODE.bytes` are those of files, `*.names` the names of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._scraps = itertools.count(1)
        self._ids: dict[int, int] = {}
        """By inode, of those that were created here: an inode that was given up may be used again."""

    def created(self, fd: int) -> None:
        """Note a new file: without a sync it has no bytes, whatever name it gets."""
        inode = os.fstat(fd).st_ino
        self._ids[inode] = next(self._numbers)
        self._put(f"{self._ids[inode]}-{inode}.bytes", b"")

    def bytes_of(self, fd: int) -> bytes:
        """Return what a file holds, also one that was opened for writing only."""
        return Path(f"/proc/self/fd/{fd}").read_bytes()

    def synced(self, fd: int, data: bytes) -> None:
        """Note that these bytes of a file are certain."""
        found = os.fstat(fd)
        number = self._ids.get(found.st_ino)
        if number is not None:
            self._put(f"{number}-{found.st_ino}.bytes", data, found.st_mtime_ns)

    def names_of(self, path: Path) -> dict[str, int]:
        """Return what the names in a folder mean: files by their number here, 0 for a folder."""
        found = {}
        with os.scandir(path) as entries:
            for entry in entries:
                number = 0 if entry.is_dir(follow_symlinks=False) else self._ids.get(entry.inode())
                if number is not None:
                    found[entry.name] = number
        return found

    def named(self, path: Path, names: dict[str, int]) -> None:
        """Note that these names are certain."""
        self._put(f"{str(path).replace('/', '%')}.names", json.dumps([str(path), names]).encode())

    def _put(self, name: str, data: bytes, mtime_ns: int = 0) -> None:
        """Write in one step: the process may be killed in any."""
        scrap = self._folder / f"{next(self._scraps)}.scrap"
        scrap.write_bytes(data)
        os.utime(scrap, ns=(mtime_ns, mtime_ns))
        scrap.rename(self._folder / name)


def watch(folder: Path) -> None:
    """Keep in `folder` what is certain of all that this process does through `Disk`, from now on."""
    folder.mkdir(parents=True)
    store = _Store(folder)
    real_open, real_folder = Disk.open, Disk.sync_folder
    real_syncs = {"fsync": Disk.fsync, "fdatasync": Disk.fdatasync}

    def opened(self: Disk, path: Path, flags: int, mode: int = 0o666) -> int:
        fd = real_open(self, path, flags, mode)
        if flags & os.O_EXCL:
            store.created(fd)
        return fd

    def sync_folder(self: Disk, path: Path) -> None:
        names = store.names_of(path)
        real_folder(self, path)
        store.named(path, names)

    def syncing(name: str) -> None:
        def sync(self: Disk, fd: int) -> None:
            data = store.bytes_of(fd)
            real_syncs[name](self, fd)
            store.synced(fd, data)

        setattr(Disk, name, sync)

    for name in real_syncs:
        syncing(name)
    setattr(Disk, "open", opened)  # noqa: B010  # mypy lets nobody assign to a method
    setattr(Disk, "sync_folder", sync_folder)  # noqa: B010  # the same


def lose_power(root: Path, folder: Path) -> int:
    """Put what is below `root` back to what `folder` says is certain; return how many files lost bytes or a name."""
    attic = folder / "attic"
    attic.mkdir()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    for path in before:
        path.rename(attic / str(path.stat().st_ino))
    shutil.rmtree(root)
    certain = {int(path.name.partition("-")[0]): path for path in folder.glob("*.bytes")}
    live = {path.stem.partition("-")[2]: number for number, path in sorted(certain.items())}
    names = dict(json.loads(path.read_bytes()) for path in folder.glob("*.names"))
    placed: dict[int, Path] = {}

    def restore(at: Path) -> None:
        at.mkdir(parents=True)
        for name, number in names.get(str(at), {}).items():
            if number == 0:
                restore(at / name)
            elif number in placed:
                os.link(placed[number], at / name)  # its old name is as certain as its new one
            else:
                placed[number] = _restored(at / name, certain[number], attic, is_live=number in live.values())

    restore(root)
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return sum(after.get(path) != data for path, data in before.items() if path.parent.name != "locks")


def _restored(path: Path, kept: Path, attic: Path, *, is_live: bool) -> Path:
    """Put a file where it belongs: the same one, if it is still there."""
    inode = attic / kept.stem.partition("-")[2]
    if is_live and inode.exists():
        inode.rename(path)
    path.write_bytes(kept.read_bytes())
    time = kept.stat().st_mtime_ns
    os.utime(path, ns=(time, time))
    return path
