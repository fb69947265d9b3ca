"""`crawl verify DIR`: re-hash what was downloaded, name the damaged bytes, and with `--repair` fetch those again."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from time import monotonic
from typing import Protocol

from crawler.download.disk.layout import places_of
from crawler.download.disk.receipt import Receipt, load
from crawler.download.fault import permitting
from crawler.download.verify import Checked, Job, NoReceiptsError, adopt, bytes_read, check_file, jobs, verify_all
from crawler.errors import ExitCode
from crawler.signals import Signals
from pipelines.pool.pool import WorkerPool

PROGRESS_SECONDS = 5.0
REPAIRS_AT_ONCE = 4
MAX_SPANS_SHOWN = 8


class Repaired(Protocol):
    """What is asked of the result of a repair: a `FileResult` has it."""

    @property
    def status(self) -> str:
        """`verified`, `unverified`, `mismatch` or `failed`."""

    @property
    def fault(self) -> str | None:
        """Why it failed, in one word; None when it did not."""

    @property
    def detail(self) -> str:
        """Why it failed, for a person."""


class Repairs(Protocol):
    """Who can fetch parts of a file again: the `Downloader`."""

    async def repair(self, receipt: Receipt, spans: Sequence[tuple[int, int]]) -> Repaired:
        """Fetch `spans` again and replace the file, if the result has the receipt's digests."""


Opens = Callable[[Path], AbstractAsyncContextManager[Repairs]]
"""Opens a downloader for a root."""
Say = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `crawl verify` to a parser."""
    add = parser.add_argument
    add("directory", metavar="DIR", type=Path, help="a folder that files were downloaded to")
    add("--repair", action="store_true", help="fetch damaged and missing bytes again, and only those")
    add("--processes", type=_count, default=None, metavar="N", help="files read at once [as many as there are cores]")
    add(
        "--allow-address", type=ip_network, action="append", default=[], metavar="NET",
        help="also reach this network for repairs, such as 10.0.0.0/8",
    )  # fmt: skip
    add("-q", "--quiet", action="store_true", help="name what is damaged, nothing else")


def main(
    args: argparse.Namespace, say: Say, tell: Say, opens: Opens | None = None, *, signals: Signals | None = None
) -> int:
    """Verify and return the exit code: 0 all right, 2 nothing to verify, 3 something is damaged, 130 or 143 stopped.

    `say` gets what was found and `tell` how far it is, both as lines; names in them are not safe for a terminal yet.
    `opens`: what repairs; None for the `Downloader`.
    """
    root: Path = args.directory
    try:
        adopt(root)
        todo = jobs(root)
    except (NoReceiptsError, OSError) as exc:
        tell(f"crawl verify: {exc}")
        return ExitCode.USAGE
    told = (lambda _: None) if args.quiet else tell
    verifying = _Verifying(root, todo, say, told)
    repairing = (opens or partial(_downloader, networks=tuple(args.allow_address))) if args.repair else None
    with asyncio.Runner() as runner:
        work = verifying.run(args.processes, repairing)
        stopped = partial(told, "crawl verify: stopped; nothing was changed but what was repaired")
        return runner.run((signals or Signals()).cancelling(work, stopped))


def _downloader(root: Path, networks: tuple[IPv4Network | IPv6Network, ...]) -> AbstractAsyncContextManager[Repairs]:
    """Open a downloader; the HTTP client is loaded only if there is something to repair."""
    from crawler.download.downloader import Downloader
    from crawler.download.values import DownloadOptions
    from crawler.fetch.options import FetchOptions

    return Downloader(root, DownloadOptions(fetch=FetchOptions(allow_addresses=networks)))


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1024:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1024, got {text}")
    return value


class _Verifying:
    """One run: what was found so far."""

    def __init__(self, root: Path, todo: list[Job], say: Say, tell: Say) -> None:
        self._root = root
        self._todo = todo
        self._say = say
        self._tell = tell
        self._wrong: list[Checked] = []
        self._done = 0
        self._bytes = 0

    async def run(self, processes: int | None, opens: Opens | None) -> int:
        """Verify all, repair what can be, and return the exit code."""
        async with WorkerPool(processes, preload=("crawler.download.verify",), spare=False, name="verify") as pool:
            with tempfile.TemporaryDirectory(prefix="crawl-verify-") as progress:
                await self._verify(pool, Path(progress))
            repaired = 0
            if opens is not None and self._wrong:
                repaired = await self._repair(pool, opens)
        self._sum_up(repaired)
        return ExitCode.COMPLETE if repaired == len(self._wrong) else ExitCode.FAILURES

    async def _verify(self, pool: WorkerPool, progress: Path) -> None:
        telling = asyncio.create_task(self._progress(progress))
        try:
            async for checked in verify_all(self._root, pool, self._todo, progress):
                self._done += 1
                self._bytes += checked.size
                if checked.state != "right":
                    self._wrong.append(checked)
                    self._say(_line(checked))
        finally:
            telling.cancel()

    async def _progress(self, progress: Path) -> None:
        began = monotonic()
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            count = bytes_read(progress)
            self._tell(
                f"crawl verify: {self._done:,} of {len(self._todo):,} files, {_size(count)} read, "
                f"{_size(count / (monotonic() - began))}/s, {len(self._wrong):,} not right"
            )

    async def _repair(self, pool: WorkerPool, opens: Opens) -> int:
        """Repair what can be and return how many files are right now."""
        slots = asyncio.Semaphore(REPAIRS_AT_ONCE)
        async with opens(self._root) as downloader:

            async def repaired(checked: Checked) -> bool:
                async with slots:
                    return await self._repaired(checked, pool, downloader)

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(repaired(checked)) for checked in self._wrong]
        return sum(task.result() for task in tasks)

    async def _repaired(self, checked: Checked, pool: WorkerPool, downloader: Repairs) -> bool:
        """Repair one file, look at it again, and say what came of it."""
        if checked.state == "unreadable":
            self._say(f"left      {checked.path}: without a receipt nobody knows what it must be")
            return False
        places = places_of(self._root, checked.path)
        receipt = load(places.receipt)
        if not isinstance(receipt, Receipt):
            self._say(f"left      {checked.path}: its receipt has gone")
            return False
        result = await downloader.repair(receipt, checked.spans)
        again = await pool.run(check_file, str(self._root), None, places.receipt.name)
        if again.state == "right":
            self._say(f"repaired  {checked.path}: {_size(_total(checked.spans))} fetched again")
            return True
        why = permitting(result.fault, result.detail) or again.detail
        self._say(f"left      {checked.path}: {result.status}: {why}")
        return False

    def _sum_up(self, repaired: int) -> None:
        wrong = len(self._wrong)
        parts = [f"{self._done:,} file{'s' * (self._done != 1)}, {_size(self._bytes)}: {self._done - wrong:,} right"]
        for state in ("damaged", "missing", "unreadable"):
            count = sum(checked.state == state for checked in self._wrong)
            parts += [f"{count:,} {state}"] if count else []
        parts += [f"{repaired:,} repaired"] if repaired else []
        self._tell("crawl verify: " + ", ".join(parts))


def _line(checked: Checked) -> str:
    """Return what a person is told about a file that is not right."""
    shown = [f"bytes {first} to {end}" for first, end in checked.spans[:MAX_SPANS_SHOWN]]
    if len(checked.spans) > MAX_SPANS_SHOWN:
        shown.append(f"and {len(checked.spans) - MAX_SPANS_SHOWN} more ranges, {_size(_total(checked.spans))} in all")
    return f"{checked.state:9} {checked.path}: {'; '.join(filter(None, (', '.join(shown), checked.detail)))}"


def _total(spans: Sequence[tuple[int, int]]) -> int:
    return sum(end - first for first, end in spans)


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
