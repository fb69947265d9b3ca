"""Bodies by digest: `bodies/ab/cd/<sha256>`, each written once, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import aiofiles
import aiofiles.os


class BodyStore:
    """Keeps decoded bodies under the hex SHA-256 of their bytes, so `sha256sum` proves each file."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self._directory = directory
        self._durable = durable
        self._known: set[str] = set()  # directories already made: at most 65,536
        self._count = 0

    def path(self, digest: str) -> Path:
        """Return where the body with this digest is or would be."""
        return self._directory / digest[:2] / digest[2:4] / digest

    async def keep(self, digest: str, body: bytes) -> None:
        """Write a body unless it is there. It has its final name only when all of it is on disk. Raises OSError.

        A body whose page was never committed stays behind and is reused when the page is fetched again.
        """
        path = self.path(digest)
        if await aiofiles.os.path.exists(path):
            return
        folder = str(path.parent)
        if folder not in self._known:
            await aiofiles.os.makedirs(folder, exist_ok=True)
            self._known.add(folder)
        self._count += 1
        part = path.with_name(f".{digest}.{os.getpid()}.{self._count}.part")
        try:
            async with aiofiles.open(part, "wb") as file:
                await file.write(body)
                if self._durable:
                    await file.flush()
                    await aiofiles.os.wrap(os.fsync)(file.fileno())
            await aiofiles.os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
