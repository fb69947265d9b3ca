"""The output files, whose committed lengths live in the store.

A file is only ever appended to, by whole groups of lines. At start it is cut back to its committed length: what lies
beyond was written by a run that did not live to commit it, and its URLs are pending again. A file that is *shorter*
than its committed length lost data that had been reported as done; that is refused, never papered over.

With compression every group is a zstd frame of its own: concatenated frames are a valid .zst file (RFC 8878 3), so
cutting at a committed length always leaves whole frames.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from crawler.errors import StateError

PAGES, ERRORS, SKIPPED = "pages", "errors", "skipped"
NAMES = (PAGES, ERRORS, SKIPPED)
PLAIN, COMPRESSED = SUFFIXES = (".jsonl", ".jsonl.zst")


class _File(Struct, eq=False):
    path: Path
    fd: int
    length: int
    lines: int


class Outputs:
    """Appends groups of lines to pages, errors and skipped. Used by one thread; owns its descriptors."""

    def __init__(self, directory: Path, committed: Mapping[str, tuple[int, int]], *, zstd: bool, sync: bool) -> None:
        """Open the files and cut each to its committed `(length, lines)`.

        Raises StateError when a file is shorter than what was committed, and OSError when it cannot be opened.
        """
        self._sync = sync
        self._zstd = zstd
        self._pending: dict[str, list[bytes]] = {name: [] for name in NAMES}
        self.pending_bytes = 0
        self._files: dict[str, _File] = {}
        suffix = COMPRESSED if zstd else PLAIN
        try:
            for name in NAMES:
                length, lines = committed.get(name, (0, 0))
                if length:
                    _refuse_other_form(directory, name, suffix)
                self._files[name] = _open(directory / f"{name}{suffix}", length, lines)
        except BaseException:
            self.close()
            raise
        if sync:
            sync_directory(directory)

    def path(self, name: str) -> Path:
        """Return where the lines called `name` are."""
        return self._files[name].path

    def add(self, name: str, lines: bytes) -> None:
        """Keep whole lines, each with its newline, for the next write. Nothing touches the disk yet."""
        self._pending[name].append(lines)
        self.pending_bytes += len(lines)

    def write(self) -> dict[str, tuple[int, int]]:
        """Append what was added since the last write, sync it, and return the new `(length, lines)` of changed files.

        The caller commits these lengths; until then the bytes count as never written. Raises OSError (disk full, I/O).
        """
        changed = {}
        for name, parts in self._pending.items():
            if not parts:
                continue
            file = self._files[name]
            data = b"".join(parts)
            added = data.count(b"\n")
            if self._zstd:
                data = _compress(data)
            _write_all(file.fd, data, file.length)
            if self._sync:
                os.fdatasync(file.fd)
            file.length += len(data)
            file.lines += added
            changed[name] = (file.length, file.lines)
            parts.clear()
        self.pending_bytes = 0
        return changed

    def close(self) -> None:
        """Close the files. What was added and not written is dropped; its URLs are still pending."""
        for file in self._files.values():
            os.close(file.fd)
        self._files.clear()


def _refuse_other_form(directory: Path, name: str, suffix: str) -> None:
    other = directory / f"{name}{PLAIN if suffix == COMPRESSED else COMPRESSED}"
    if other.exists() and not (directory / f"{name}{suffix}").exists():
        raise StateError(f"{other}: holds what was crawled so far; set output.compress back to what it was")


def _open(path: Path, length: int, lines: int) -> _File:
    size = path.stat().st_size if path.exists() else 0
    if size < length:
        message = (
            f"{path}: has {size} bytes, but {length} were committed: records already reported as done are missing; "
            "restore the file, or start over in an empty directory"
        )
        raise StateError(message)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if size > length:
            os.ftruncate(fd, length)
    except BaseException:
        os.close(fd)
        raise
    return _File(path, fd, length, lines)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    """Write at an offset of our own: a short write that failed half-way is simply written over by the next try."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def _compress(data: bytes) -> bytes:
    import zstandard  # only when asked for: 15 ms of start-up

    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(data)


def holds_records(directory: Path) -> list[str]:
    """Return the names of the output files in a directory that are not empty."""
    found = (directory / f"{name}{suffix}" for name in NAMES for suffix in SUFFIXES)
    return [path.name for path in found if path.exists() and path.stat().st_size > 0]


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
