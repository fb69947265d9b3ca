"""Repair as a resume: the good pieces of a damaged file become the temporary file, so only the damaged ones are fetched."""

from __future__ import annotations

from collections.abc import Sequence

from crawler.download.disk import DISK, Disk
from crawler.download.journal_file import JournalFile
from crawler.download.layout import Places
from crawler.download.receipt import Receipt


def begin_repair(
    places: Places, receipt: Receipt, spans: Sequence[tuple[int, int]], *, disk: Disk = DISK
) -> JournalFile:
    """Copy a damaged file to a temporary one and return its journal, as if the pieces outside `spans` had just landed.

    The damaged file stays as it is until `finish` replaces it by one whose digest is that of the receipt. Waits for the
    disk. Raises OSError.
    """
    raise NotImplementedError
