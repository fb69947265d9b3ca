"""A program that runs whole downloads and dies at a call of the disk, and keeps what a power loss would leave.

    python -m tests.support.powerless_downloader URL FOLDER POINT...

The Nth point has the folder `FOLDER/N`; what is certain of it is in `FOLDER/N.certain`. A point is `NAME:K`, before the
Kth call of that name, or `NAME>OTHER`, before the first call of the other one that follows it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from crawler.download.disk.disk import Disk
from tests.support.killed_downloader import CALLS, forked, run
from tests.support.power_loss import watch


def die_at(point: str) -> None:
    """Let this process die there."""
    first, _, then = point.partition(">")
    name, _, number = first.partition(":")
    counts: Counter[str] = Counter()

    def is_there(call: str) -> bool:
        before = counts[name]
        counts[call] += 1
        return (call == then and before > 0) if then else (call == name and before + 1 == int(number))

    def dying(call: str, real: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object) -> object:
            if is_there(call):
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        return called

    for call in CALLS:
        setattr(Disk, call, dying(call, getattr(Disk, call)))


def begin(point: str, certain: Path) -> None:
    """Prepare a process that dies."""
    watch(certain)
    die_at(point)


def main(url: str, folder: Path, points: list[str]) -> list[int]:
    """Run all at once; return how each ended."""
    return forked(
        [
            (partial(begin, point, folder / f"{number}.certain"), partial(run, url, folder / str(number)))
            for number, point in enumerate(points)
        ]
    )


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])))
