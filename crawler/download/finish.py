"""The last steps: a file gets its name only when it is right, and all that was needed on the way goes.

    1  compare size and digests            else: no name, DownloadError
    2  sync the data
    3  write the receipt beside the temporary file, and sync it
    4  rename the temporary file to the target, if nobody has that name; sync the folder      <- the file is there
    5  rename the receipt into its place; sync the folder
    6  remove the journal

A kill between any two of them leaves what `recover` can tell apart by itself: before 4 the journal resumes, from 4 on
the receipt that waits is put into its place. A receipt never speaks of a file that somebody else put there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace as with_values
from pathlib import Path
from typing import NamedTuple

from crawler.download.disk import DISK, Disk
from crawler.download.errors import DownloadError
from crawler.download.journal_file import JournalFile, remove_scraps
from crawler.download.layout import Places, kind_of
from crawler.download.receipt import Receipt, encode, load


class Stamp(NamedTuple):
    """What a file looks like from outside; a write by anybody changes it."""

    size: int
    mtime_ns: int
    inode: int
    device: int


class Standing(NamedTuple):
    """What has the target's name."""

    kind: str
    """`absent`, `ours` (with its receipt, size and time as recorded), `changed` (with its receipt, but written to
    since), `foreign` (no receipt), or what it is when it is no file: `a folder`, `a symbolic link`, ..."""
    receipt: Receipt | None


class Ready(NamedTuple):
    """A temporary file whose bytes are all there."""

    places: Places
    part: Path
    fd: int
    """Of that file; stays the caller's."""
    receipt: Receipt
    expected: Mapping[str, str] = {}  # noqa: RUF012  # a default that nobody can change: NamedTuples are read
    """Digests that decide, by algorithm, in hexadecimal: what the strongest claim says. Empty if there is none."""
    stamp: Stamp | None = None
    """Taken after the last write and before the last bytes were hashed: a write by anybody since is noticed (D84)."""
    replace: bool = False
    """Whether a file of ours may give way to one that is verified at least as well."""


def stamp_of(fd: int, disk: Disk = DISK) -> Stamp:
    """Return what an open file looks like now."""
    found = disk.fstat(fd)
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)


def finish(ready: Ready, journal: JournalFile | None = None, *, disk: Disk = DISK, durable: bool = True) -> Receipt:
    """Give a file its name; return its receipt as it is on disk. Waits for the disk. The caller holds the TargetLock.

    Closes and removes `journal`. Raises DownloadError: `size_mismatch`, `digest_mismatch`, `exists`, `no_space`,
    `disk`. Before the name was given the temporary file and the journal stay for a resume; afterwards nothing is
    raised that would make the file absent: what could not be tidied up is for `recover`.
    """
    return finish_many([(ready, journal)], disk=disk, durable=durable)[0]


def finish_many(
    batch: Sequence[tuple[Ready, JournalFile | None]], *, disk: Disk = DISK, durable: bool = True
) -> list[Receipt]:
    """As `finish`, for several at once: folders are synced once for all of them. The first trouble is raised."""
    raise NotImplementedError


def recover(places: Places, *, disk: Disk = DISK) -> Receipt | None:
    """Complete or clear what a kill left; return the receipt if the file had got its name already.

    The first thing to call, once the TargetLock is held. Temporary files that no journal names are removed.
    """
    raise NotImplementedError


def standing(places: Places, *, disk: Disk = DISK) -> Standing:
    """Return what has the target's name now. Reads no bytes of it."""
    raise NotImplementedError
