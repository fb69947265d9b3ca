"""What files of a downloader share: root, options, workers, gate, refusals; the first and last steps on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from crawler.download.crew import Crew
from crawler.download.disk.disk import DISK
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.finish import Ready, Stamp, finish_many
from crawler.download.disk.journal_file import JournalFile
from crawler.download.disk.receipt import Receipt
from crawler.download.place import Place
from crawler.download.plan.refusals import Refusals
from crawler.download.turns import Turns
from crawler.download.values import DownloadOptions, Gate

if TYPE_CHECKING:
    from crawler.download.sidecars import Sidecars

MOST_TAKEN = 32
MOST_FINISHED = 64
"""Files in one batch: they share the waits for the disk, and wait for each other."""


class Finishing(NamedTuple):
    """A file whose bytes are all there, about to get its name."""

    place: Place
    part: str
    receipt: Receipt
    expected: Mapping[str, str]
    """Digests that decide, by algorithm."""
    stamp: Stamp | None
    is_replacing: bool


class Yard:
    """Handed to every transfer. Owns nothing."""

    def __init__(self, root: Path, options: DownloadOptions, crew: Crew, gate: Gate, refusals: Refusals) -> None:
        self.root = root
        self.options = options
        self.crew = crew
        self.gate = gate
        self.refusals = refusals
        self.sidecars: Sidecars | None = None
        if options.look_beside:
            from crawler.download.sidecars import Sidecars  # nobody else pays for what it imports

            self.sidecars = Sidecars(crew, gate, refusals, options)
        self._takes: Turns[Callable[[], None], None] = Turns(_each, MOST_TAKEN)
        self._finishes: Turns[Finishing, None] = Turns(self._finish, MOST_FINISHED)

    async def take(self, work: Callable[[], None]) -> None:
        """Run `work`, which takes a target, in a thread. Raises what it raises."""
        await self._takes.run(work)

    async def finish(self, finishing: Finishing) -> None:
        """Give a file its name, and the target back. Raises DownloadError and OSError; then it has no name."""
        await self._finishes.run(finishing)

    def _finish(self, batch: Sequence[Finishing]) -> list[BaseException | None]:
        results: list[BaseException | None] = [None] * len(batch)
        opened: list[int] = []
        ready: list[tuple[Ready, JournalFile | None]] = []
        which: list[int] = []
        try:
            for number, (place, part, receipt, expected, stamp, is_replacing) in enumerate(batch):
                try:
                    fd = place.journal.fd if place.journal is not None else DISK.open(Path(part), os.O_RDWR)
                except OSError as error:
                    results[number] = error
                    continue
                if place.journal is None:
                    opened.append(fd)
                ready.append(
                    (Ready(place.places, Path(part), fd, receipt, expected, stamp, is_replacing), place.journal)
                )
                which.append(number)
            for number, result in zip(which, finish_many(ready, durable=self.options.is_durable), strict=True):
                if isinstance(result, DownloadError):
                    results[number] = result
                else:
                    batch[number].place.journal = None  # closed and gone
                    batch[number].place.close()
        finally:
            for fd in opened:
                DISK.close(fd)
        return results


def _each(batch: Sequence[Callable[[], None]]) -> list[BaseException | None]:
    results: list[BaseException | None] = []
    for work in batch:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised again, by whoever asked for this one
            results.append(error)
        else:
            results.append(None)
    return results
