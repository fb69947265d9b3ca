"""A program that finds a file without a receipt, and kills itself between reading it and having the receipt in place.

    python killed_there.py URL SHA256 FOLDER STEP...

In `FOLDER/N` lies the file `f`; the downloader there dies by SIGKILL just before the Nth call of the disk after the
file was read. Prints how each ended: a signal, below zero, or an exit code. One fork after the other.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path

from crawler.download import there
from crawler.download.downloader import Downloader
from crawler.download.proof.digests import parse_digest
from crawler.download.values import Wanted
from crawler.download.whole import digests_of
from tests.support.downloading import options
from tests.support.killed_downloader import die_at


async def run(url: str, sha256: str, root: Path, step: int) -> int:
    """Look at the file once; return an exit code."""

    async def read(*arguments: object) -> dict[str, str]:
        digests = await digests_of(*arguments)  # type: ignore[arg-type]  # what the caller gave
        die_at(step)
        return digests

    setattr(there, "digests_of", read)  # noqa: B010 - no name that the module gives away
    async with Downloader(root, replace(options(2), processes=1, is_durable=True)) as downloader:
        wanted = Wanted(url, "f", (parse_digest(f"sha256:{sha256}"),))
        return 0 if (await downloader.fetch(wanted)).status == "verified" else 3


def main(url: str, sha256: str, folder: Path, steps: list[int]) -> list[int]:
    """Run one after the other; return how each ended."""
    ends = []
    for step in steps:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = asyncio.run(run(url, sha256, folder / str(step), step))
            except BaseException:  # noqa: BLE001  # told to the test, in a child that must not go on
                traceback.print_exc()
            finally:
                os._exit(code)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return ends


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), [int(step) for step in sys.argv[4:]])))
