"""The hash of one file in a worker: a thread that follows the frontier, and the loop that tells it how far that is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from crawler.download.disk.disk import DISK
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.follow import Follower
from crawler.download.proof.digests import DigestError, new_hash
from crawler.download.worker.wire import Hashed, Report

STEP_BYTES = 32 << 20
"""Hashed between two looks at how far the frontier is: what a cancellation may have to wait for, some 20 ms."""


class Hashing:
    """Hashes one file as far as `advance` says. Owns a descriptor and a task from its making to `close`."""

    def __init__(self, file: int, path: str, hashes: tuple[str, ...], tell: Callable[[Report], None]) -> None:
        self._file = file
        self._path = path
        self._hashes = tuple(hashes)
        self._tell = tell
        self._upto = 0
        self._is_all = False
        self._moved = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._follow())

    def advance(self, upto: int, *, is_all: bool) -> None:
        """Hash up to here soon; with `is_all`, that is the end of the file."""
        self._upto, self._is_all = max(upto, self._upto), is_all
        self._moved.set()

    async def close(self) -> None:
        """Stop, and wait for the thread."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _follow(self) -> None:
        fd = -1
        try:
            fd = DISK.open(Path(self._path), os.O_RDONLY)
            follower = Follower(fd, {name: new_hash(name) for name in self._hashes})
            while not (self._is_all and follower.position >= self._upto):
                if follower.position >= self._upto:
                    self._moved.clear()
                    await self._moved.wait()
                    continue
                await self._step(follower, min(self._upto, follower.position + STEP_BYTES))
                self._tell(Hashed(self._file, follower.position, {}, "", ""))
            digests = {name: value.hex() for name, value in follower.digests().items()}
            self._tell(Hashed(self._file, follower.position, digests, "", ""))
        except DownloadError as error:
            self._tell(Hashed(self._file, 0, {}, error.fault, error.detail))
        except OSError as error:
            self._tell(Hashed(self._file, 0, {}, "disk", error.strerror or "reading failed"))
        except DigestError as error:
            self._tell(Hashed(self._file, 0, {}, "internal", str(error)))
        finally:
            if fd >= 0:
                os.close(fd)

    async def _step(self, follower: Follower, upto: int) -> None:
        """Let a thread hash; when cancelled, wait for it: it reads from our descriptor."""
        step = asyncio.get_running_loop().run_in_executor(None, follower.advance, upto)
        try:
            await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            raise
