"""A program that kills itself at each step of the life of a file, for real: run by tests, prints one JSON report.

    python killed_downloads.py FOLDER MODE

For every step a child does what it would do, and ends by SIGKILL just before that call of the disk; of a write the
first half is done. Then another child goes on from what is there. The parent has no threads and no event loop, so that
it may fork.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from crawler.download.disk.disk import Disk
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.finish import standing
from crawler.download.disk.journal import Piece
from crawler.download.disk.journal_file import TargetLock
from crawler.download.disk.layout import places_of, prepare
from crawler.download.disk.receipt import Receipt, load
from crawler.download.verify import confirm
from tests.support.downloads import IDENTITY, body, fetch, sha256

SIZE = 5000
NEVER = 1 << 60


class KillingDisk(Disk):
    """The real disk, with a step on which the process dies."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.left = step

    def _step(self) -> bool:
        self.left -= 1
        return self.left == 0

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        if self._step():
            super().pwrite(fd, data[: len(data) // 2], offset)
            _die()
        return super().pwrite(fd, data, offset)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killing(name: str) -> Callable[..., object]:
    real = getattr(Disk, name)

    def call(self: KillingDisk, *args: object, **kwargs: object) -> object:
        if self._step():
            _die()
        return real(self, *args, **kwargs)

    return call


for _name in (
    "open", "truncate", "allocate", "fsync", "fdatasync", "sync_folder", "make_folder", "rename", "rename_new",
    "unlink",
):  # fmt: skip
    setattr(KillingDisk, _name, _killing(_name))


def attempt(root: Path, log: Path, step: int, version: str = "a", size: int = SIZE) -> bool:
    """Run one attempt in a child; return whether it came to its end. Raises RuntimeError if it failed otherwise."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _work(root, log, step, version, size)
            code = 0
        except BaseException:  # noqa: BLE001  # told to the test, in a child that must not go on
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status:
        raise RuntimeError(f"step {step}: status {status}")
    return True


def _work(root: Path, log: Path, step: int, version: str, size: int) -> None:
    with log.open("a") as file:

        def note(kind: str, first: int, end: int) -> None:
            file.write(f"{kind} {first} {end}\n")
            file.flush()

        def committed(pieces: list[Piece]) -> None:
            for piece in pieces:
                note("committed", piece.first, piece.end)

        prepare(root)
        identity = {**IDENTITY, "etag": f'"{version}"'}
        with TargetLock(places_of(root, "data/set.bin")):
            if standing(places_of(root, "data/set.bin")).kind == "changed":
                confirm(places_of(root, "data/set.bin"))  # two wrote into one file, the same bytes
            fetch(
                root,
                body(size, version),
                disk=KillingDisk(step),
                identity=identity,
                fetched=lambda first, end: note("fetched", first, end),
                committed=committed,
            )


def files_of(root: Path) -> list[str]:
    """Return the names of all files."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def each_step(folder: Path) -> list[dict[str, object]]:
    """Kill at step 1, 2, ... until there are no more, each in a folder of its own, and go on once without a kill."""
    reports: list[dict[str, object]] = []
    step = 0
    while True:
        step += 1
        root, log = folder / f"{step}", folder / f"{step}.log"
        if attempt(root, log, step):
            return reports
        target = root / "data/set.bin"
        early = target.read_bytes() == body(SIZE) if target.exists() else None
        killed = len(log.read_text().splitlines())
        attempt(root, log, NEVER)
        lines = log.read_text().splitlines()
        before = {line.split(" ", 1)[1] for line in lines[:killed] if line.startswith("committed")}
        after = {line.split(" ", 1)[1] for line in lines[killed:] if line.startswith("fetched")}
        is_right = target.read_bytes() == body(SIZE)
        reports.append({
            "step": step, "early": early, "right": is_right, "files": files_of(root),
            "committed": len(before), "again": sorted(before & after),
        })  # fmt: skip


def again_and_again(folder: Path) -> list[dict[str, object]]:
    """Kill at random steps until it comes to its end."""
    reports: list[dict[str, object]] = []
    for seed in range(12):
        chance = random.Random(seed)
        root, log = folder / f"{seed}", folder / f"{seed}.log"
        kills = 0
        while not attempt(root, log, chance.randrange(5, 40)):
            kills += 1
        is_right = (root / "data/set.bin").read_bytes() == body(SIZE)
        reports.append({"kills": kills, "right": is_right, "files": files_of(root)})
    return reports


def other_version(folder: Path) -> list[dict[str, object]]:
    """Kill at every third step of version A and go on with version B: of the same length, longer, shorter."""
    reports: list[dict[str, object]] = []
    for size in (SIZE, SIZE + 700, SIZE - 700):
        for step in range(5, 60, 5):
            root, log = folder / f"{size}-{step}", folder / f"{size}-{step}.log"
            if attempt(root, log, step) or (root / "data/set.bin").exists():
                continue
            attempt(root, log, NEVER, "b", size)
            is_right = (root / "data/set.bin").read_bytes() == body(size, "b")
            reports.append({"step": step, "right": is_right, "files": files_of(root)})
    return reports


def together(folder: Path, *, has_lock: bool) -> list[dict[str, object]]:
    """Let six processes fetch one target at once, three of them another version; without a lock, too."""
    reports: list[dict[str, object]] = []
    for round_ in range(25):
        root, log = folder / f"{round_}", folder / f"{round_}.log"
        begin, go = os.pipe()
        children = []
        for number in range(6):
            child = os.fork()
            if child == 0:
                os.close(go)
                os.read(begin, 1)  # all begin when the last of them is there
                os._exit(_contend(root, log, "ab"[number % 2], has_lock=has_lock))
            children.append(child)
        os.close(begin)
        os.close(go)
        ends = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
        content = (root / "data/set.bin").read_bytes() if (root / "data/set.bin").exists() else b""
        receipt = load(places_of(root, "data/set.bin").receipt)
        attempt(root, log, NEVER)  # one more, alone
        reports.append({
            "ends": ends, "whole": content in (body(SIZE), body(SIZE, "b")), "files": files_of(root),
            "digest": isinstance(receipt, Receipt) and receipt.digests == {"sha256": sha256(content)},
        })  # fmt: skip
    return reports


def _contend(root: Path, log: Path, version: str, *, has_lock: bool) -> int:
    """Fetch; return 0 for success, 3 for a typed error, 1 for anything else."""
    if not has_lock:
        fcntl.flock = lambda fd, how: None
    try:
        _work(root, log, NEVER, version, SIZE)
    except DownloadError as exc:
        return 4 if exc.fault == "locked" else 3
    except OSError:
        return 3
    except BaseException:  # noqa: BLE001  # told to the test, in a child that must not go on
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    modes: dict[str, Callable[[Path], list[dict[str, object]]]] = {
        "each": each_step,
        "again": again_and_again,
        "other": other_version,
        "lock": partial(together, has_lock=True),
        "no lock": partial(together, has_lock=False),
    }
    print(json.dumps(modes[sys.argv[2]](Path(sys.argv[1]))))
