"""A program that runs whole downloads and kills itself at a call of the disk: several at once, each in a fork.

    python killed_downloader.py URL FOLDER STEP...

Each step N gets a folder of its own, `FOLDER/N`, and the downloader there dies by SIGKILL just before the Nth call of
the parent's disk, in whatever thread; its workers are left to notice. Prints how each ended: a signal, below zero, or
an exit code. The parent has no threads and no event loop, so that it may fork.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path

from crawler.download.disk.disk import Disk
from crawler.download.downloader import Downloader
from crawler.download.values import Wanted
from tests.support.downloading import options

CALLS = (
    "open", "truncate", "allocate", "pwrite", "fsync", "fdatasync", "sync_folder", "make_folder", "rename",
    "rename_new", "unlink",
)  # fmt: skip


def die_at(step: int) -> None:
    """Let this process die at its Nth call of the disk."""
    count = itertools.count(1)

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            if next(count) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)

        return call

    for name in CALLS:
        setattr(Disk, name, dying(getattr(Disk, name)))


async def run(url: str, root: Path) -> int:
    """Download once; return an exit code."""
    chosen = replace(options(2), processes=1, is_durable=True, sync_seconds=0.05)
    async with Downloader(root, chosen) as downloader:
        return 0 if (await downloader.fetch(Wanted(url, "f"))).fault is None else 3


def forked(lives: list[tuple[Callable[[], None], Callable[[], Coroutine[None, None, int]]]]) -> list[int]:
    """Run all at once, each in a fork: what prepares the process, then what it does. Return how each ended."""
    children = []
    for prepare, work in lives:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                prepare()
                code = asyncio.run(work())
            except BaseException:  # noqa: BLE001  # told to the test, in a child that must not go on
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def main(url: str, folder: Path, steps: list[int]) -> list[int]:
    """Run all at once; return how each ended."""
    return forked([(partial(die_at, step), partial(run, url, folder / str(step))) for step in steps])


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), [int(step) for step in sys.argv[3:]])))
