"""What all files of a downloader share: root, options, workers, gate, and the last steps of each file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from crawler.download.crew import Crew
from crawler.download.disk import DISK
from crawler.download.finish import Ready, Stamp, finish
from crawler.download.place import Place
from crawler.download.receipt import Receipt
from crawler.download.values import DownloadOptions, Gate
from pipelines.cpu import run_blocking


class Yard:
    """Handed to every transfer. Owns nothing."""

    def __init__(self, root: Path, options: DownloadOptions, crew: Crew, gate: Gate) -> None:
        self.root = root
        self.options = options
        self.crew = crew
        self.gate = gate

    async def finish(
        self, place: Place, part: str, receipt: Receipt, expected: Mapping[str, str], stamp: Stamp | None, *,
        is_replacing: bool = False,
    ) -> None:  # fmt: skip
        """Give a file its name, and the target back. Raises DownloadError and OSError; then it has none."""
        await run_blocking(self._finish, place, Path(part), receipt, expected, stamp, is_replacing)

    def _finish(
        self, place: Place, part: Path, receipt: Receipt, expected: Mapping[str, str], stamp: Stamp | None,
        is_replacing: bool,
    ) -> None:  # fmt: skip
        journal = place.journal
        fd = journal.fd if journal is not None else DISK.open(part, os.O_RDWR)
        try:
            finish(
                Ready(place.places, part, fd, receipt, expected, stamp, is_replacing), journal,
                durable=self.options.is_durable,
            )  # fmt: skip
            place.journal = None  # it is closed and gone
        finally:
            if journal is None:
                DISK.close(fd)
        place.close()
