"""Where the things of a download are: all below ROOT/.crawlmill, on the file system of the target.

    ROOT/data/set.tar                                   the target: there only when it is right
    ROOT/.crawlmill/parts/data%2Fset.tar.TOKEN.part     the temporary file; TOKEN is unique to each attempt
    ROOT/.crawlmill/parts/data%2Fset.tar.journal        what is known of it
    ROOT/.crawlmill/parts/data%2Fset.tar.TOKEN.receipt  its receipt, while the target gets its name
    ROOT/.crawlmill/receipts/data%2Fset.tar.json        what was fetched and how it was verified
    ROOT/.crawlmill/locks/data%2Fset.tar.lock           held while somebody works on the target

The room is for its owner alone (0700), so a temporary file needs no mode of its own and can take the one that the
target is to have. No folder on the way to a target may be a symbolic link: the target would be outside the root.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from crawler.download.disk.disk import DISK, Disk
from crawler.download.disk.errors import DownloadError
from crawler.download.fault import Fault

ROOM = ".crawlmill"
MAX_KEY_BYTES = 200
"""Of a file name's 255: leaves room for what is added."""

_TOKEN = re.compile(r"[0-9a-f]{16}")


class Places(NamedTuple):
    """Where the things of one target are."""

    root: Path
    path: str
    """The target, relative to the root, with slashes."""
    target: Path
    key: str
    """The path as one file name."""
    parts: Path
    """Folder of the temporary files."""
    journal: Path
    receipt: Path
    lock: Path

    def part(self, token: str) -> Path:
        """Return where an attempt's temporary file is."""
        return self.parts / f"{self.key}.{token}.part"

    def is_part(self, name: str) -> bool:
        """Tell whether this is the name of a temporary file of this target (and of no other)."""
        return self.token(name) is not None

    def token(self, part: str) -> str | None:
        """Return the token in the name of a temporary file of this target; None if it is no such name."""
        return self._token(part, ".part")

    def pending(self, token: str) -> Path:
        """Return where an attempt's receipt waits while its temporary file becomes the target.

        It is the attempt's own, too: should two work at once, no receipt gets into the other one's hands.
        """
        return self.parts / f"{self.key}.{token}.receipt"

    def is_pending(self, name: str) -> bool:
        """Tell whether this is the name of a receipt that waits, or was left waiting."""
        return self._token(name, ".receipt") is not None

    def is_scrap(self, name: str) -> bool:
        """Tell whether this is the name of something half-written for this target."""
        return self._token(name, ".new") is not None

    def scrap(self) -> Path:
        """Return a new name for something that is being written."""
        return self.parts / f"{self.key}.{new_token()}.new"

    def _token(self, name: str, suffix: str) -> str | None:
        if not (name.startswith(f"{self.key}.") and name.endswith(suffix)):
            return None
        token = name[len(self.key) + 1 : -len(suffix)]
        return token if _TOKEN.fullmatch(token) else None


def new_token() -> str:
    """Return what makes an attempt's temporary file its own."""
    return secrets.token_hex(8)


def key_of(path: str) -> str:
    """Return a relative path as one file name: readable, and different for different paths."""
    key = path.replace("%", "%25").replace("/", "%2F")
    data = os.fsencode(key)
    if len(data) <= MAX_KEY_BYTES:
        return key
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()
    return f"{data[: MAX_KEY_BYTES - 17].decode('utf-8', 'ignore')}~{digest}"


def places_of(root: Path, path: str | PurePosixPath) -> Places:
    """Return where the things of a target are; touches nothing.

    `path`: relative to `root`, safe by `crawler.download.names.safe_relative`. Raises DownloadError(`name_unsafe`) for
    one that leaves the root or enters its room: whoever calls may have forgotten to ask.
    """
    pure = PurePosixPath(path)
    parts = pure.parts
    if not parts or pure.is_absolute() or ".." in parts or parts[0] == ROOM or "\0" in str(pure):
        raise DownloadError(Fault.NAME_UNSAFE, f"{path}: expected a path inside {root}, and not in its {ROOM}")
    folders, key = _folders(root), key_of(str(pure))
    return Places(
        root, str(pure), root / pure, key, folders.parts, folders.parts / f"{key}.journal",
        folders.receipts / f"{key}.json", folders.locks / f"{key}.lock",
    )  # fmt: skip


class _Folders(NamedTuple):
    parts: Path
    receipts: Path
    locks: Path


@lru_cache(maxsize=16)  # a path costs more to join than to look at on the disk
def _folders(root: Path) -> _Folders:
    room = root / ROOM
    return _Folders(room / "parts", room / "receipts", room / "locks")


def prepare(root: Path, disk: Disk = DISK) -> None:
    """Make the root and its room, if they are not there. Raises DownloadError, OSError."""
    disk.make_folders(root.parent)
    try:
        disk.make_durable_folder(root)
    except PermissionError:
        if disk.lstat(root) is None:
            raise  # else it is in a folder that we may pass through but not read, let alone sync
    room = root / ROOM
    for folder in (room, room / "parts", room / "receipts", room / "locks"):
        disk.make_durable_folder(folder, 0o700)
        _check_folder(folder, disk)


def tidy(root: Path, disk: Disk = DISK) -> None:
    """Remove the room if nothing is in it: nothing was downloaded. Waits for nobody; who needs it makes it again.

    The folder of locks first: whoever holds one (D98) is about to need the others, empty as they may be.
    """
    room = root / ROOM
    for folder in (room / "locks", room / "receipts", room / "parts", room):
        try:
            disk.remove_folder(folder)
        except OSError:
            return  # something is in it, or it has gone


def prepare_target(places: Places, disk: Disk = DISK) -> None:
    """Make the folders above a target, durably, and refuse a target that could never get its name.

    Raises DownloadError: `name_unsafe` for a link or a file in the way of the folders, `disk` for a folder on another
    file system than the root's room (D81), `exists` for a target that is no regular file (D80); OSError.
    """
    home = disk.lstat(places.parts)
    folder = places.root
    for name in PurePosixPath(places.path).parts[:-1]:
        folder = folder / name
        disk.make_durable_folder(folder)
        _check_folder(folder, disk)
    above_target = os.stat(places.root) if folder == places.root else disk.lstat(folder)  # noqa: PTH116 - through links, if the root is one
    if home is not None and above_target is not None and home.st_dev != above_target.st_dev:
        raise DownloadError(
            Fault.DISK, f"{folder} is on another file system than {places.parts}: no file can move there in one step"
        )
    found = disk.lstat(places.target)
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise DownloadError(Fault.EXISTS, f"{places.target} is {kind_of(found)}, not a file")


def kind_of(found: os.stat_result) -> str:
    """Return what something is, for a person."""
    kinds = {
        stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a device", stat.S_IFCHR: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(found.st_mode), "a file")


def _check_folder(folder: Path, disk: Disk) -> None:
    found = disk.lstat(folder)
    if found is None or not stat.S_ISDIR(found.st_mode):
        what = "gone" if found is None else kind_of(found)
        raise DownloadError(Fault.NAME_UNSAFE, f"{folder} is {what}, not a folder")
