"""Bodies by digest: `bodies/ab/cd/<sha256>`, each written once, whole or not at all."""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path

import aiofiles
import aiofiles.os

from crawler.errors import StateError
from crawler.store.outputs import sync_directory

PARTS = ".parts"  # what a killed run had not finished; emptied at start

_exists = aiofiles.os.path.exists
_make_folder = aiofiles.os.wrap(lambda folder: folder.mkdir(parents=True, exist_ok=True))
_fsync = aiofiles.os.wrap(os.fsync)
_sync_directory = aiofiles.os.wrap(sync_directory)


class BodyStore:
    """Keeps decoded bodies under the hex SHA-256 of their bytes, so `sha256sum` proves each file."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        """Empty what a killed run left half-written. Raises StateError."""
        self._directory = directory
        self._parts = directory / PARTS
        self._durable = durable
        self._known: set[Path] = set()  # folders this run has been in: at most 65,536
        self._numbers = count(1)
        try:
            if self._parts.exists():
                shutil.rmtree(self._parts)
            self._parts.mkdir(parents=True)
        except OSError as exc:
            raise _trouble(self._parts, exc) from exc

    def path(self, digest: str) -> Path:
        """Return where the body with this digest is or would be."""
        return self._directory / digest[:2] / digest[2:4] / digest

    async def keep(self, digest: str, body: bytes) -> None:
        """Write a body unless it is there. It has its final name only when all of it is on disk. Raises StateError.

        A body whose page was never committed stays behind and is reused when the page is fetched again.
        """
        path = self.path(digest)
        try:
            await self._enter(path.parent)
            if not await _exists(path):
                await self._write(path, body)
        except OSError as exc:
            raise _trouble(path, exc) from exc

    async def _enter(self, folder: Path) -> None:
        if folder in self._known:
            return
        await _make_folder(folder)
        if self._durable:  # the folder, and the bodies of a run that was killed before it got here
            for made in (folder, folder.parent, self._directory, self._directory.parent):
                await _sync_directory(made)
        self._known.add(folder)

    async def _write(self, path: Path, body: bytes) -> None:
        part = self._parts / f"{next(self._numbers)}"
        try:
            async with aiofiles.open(part, "wb") as file:
                await file.write(body)
                if self._durable:
                    await file.flush()
                    await _fsync(file.fileno())
            await aiofiles.os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if self._durable:
            await _sync_directory(path.parent)


def _trouble(path: Path, exc: OSError) -> StateError:
    cause = exc.strerror or exc
    return StateError(
        f"{path}: cannot keep a body: {cause}; make room or mend the disk, then run the same command again"
    )
