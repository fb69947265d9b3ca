"""A program that downloads one file where `flock` always succeeds, as on some network file systems.

    python -m tests.support.unlocked_downloader URL FOLDER

The target is `FOLDER/f`. Prints what became of it: the status, the fault, and how many bytes an earlier run had left.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import sys
from dataclasses import replace
from pathlib import Path

from crawler.download.downloader import Downloader
from crawler.download.values import FileResult, Wanted
from tests.support.downloading import options


async def run(url: str, root: Path) -> FileResult:
    """Download once; what lands is recorded at once, so that another process finds it."""
    async with Downloader(root, replace(options(2), processes=1, sync_seconds=0.05)) as downloader:
        return await downloader.fetch(Wanted(url, "f"))


def main(url: str, root: Path) -> None:
    """Run with locks that do not lock, and print the outcome."""
    fcntl.flock = lambda fd, how: None
    result = asyncio.run(run(url, root))
    print(json.dumps([result.status, result.fault, result.resumed_bytes]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
