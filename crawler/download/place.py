"""Where a file is to be, taken: the folders, the lock, what a killed run left, what stands there already.

Everything here waits for the disk: call it in a thread. What is taken is given back by `close`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from crawler.download.answers.identity import Identity
from crawler.download.disk.disk import DISK
from crawler.download.disk.finish import ABSENT, recover, standing
from crawler.download.disk.follow import recheck
from crawler.download.disk.journal import Piece
from crawler.download.disk.journal_file import JournalFile, TargetLock
from crawler.download.disk.layout import Places, new_token, places_of, prepare, prepare_target
from crawler.download.disk.receipt import Receipt
from crawler.download.repair import begin_repair


class Left(NamedTuple):
    """What an earlier run left to go on with."""

    journal: JournalFile
    pieces: tuple[Piece, ...]
    """Read again and found good."""


class NotNew(Exception):
    """Something has the target's name, or was left for it by an earlier run."""


class Place:
    """One target, held. Owns the lock and the journal until `close`."""

    def __init__(
        self, root: Path, path: str, url: str, *, is_durable: bool, is_new: bool = False, holder: int | None = None
    ) -> None:
        """Take the target. Raises DownloadError (locked, exists, name_unsafe, disk) and OSError.

        `is_new`: raise NotNew, having changed nothing, unless there is no trace of the target; reads no file.
        `holder`: the process that the lock names, if it is not this one.
        """
        self.places: Places = places_of(root, path)
        self._url = url
        self._is_durable = is_durable
        self.journal: JournalFile | None = None
        self.left: Left | None = None
        """What an earlier run left, if nothing has the target's name."""
        self.is_closed = False
        prepare_target(self.places)
        try:
            self._lock = TargetLock(self.places, holder)
        except FileNotFoundError:  # another process had nothing to keep, and tidied up
            prepare(root)
            self._lock = TargetLock(self.places, holder)
            prepare(root)  # what the other was still removing then
        try:
            has_left = any(name.startswith(f"{self.places.key}.") for name in DISK.names(self.places.parts))
            if is_new and (has_left or DISK.lstat(self.places.target) is not None):
                raise NotNew(self.places.path)
            if has_left:
                recover(self.places)
            self.standing = ABSENT if is_new else standing(self.places)
            if has_left and not self.is_taken:
                self.left = self._resume()
        except BaseException:
            self._lock.release()
            raise

    @property
    def receipt(self) -> Receipt | None:
        """The receipt of the file that is there, if it is ours and as it was."""
        return self.standing.receipt if self.standing.kind == "ours" else None

    @property
    def is_taken(self) -> bool:
        """Whether something has the target's name."""
        return self.standing.kind != "absent"

    @property
    def is_in_the_way(self) -> bool:
        """Whether what has the name is taken for this file by whoever looks for it: not if it is a good one of another
        URL, since files of many may be called the same.
        """
        return self.is_taken and (self.receipt is None or self.receipt.url == self._url)

    def small_part(self) -> Path:
        """Return where a file may be written that needs no journal."""
        return self.places.part(new_token())

    def _resume(self) -> Left | None:
        """Open what an earlier run left and read it again; None when there is nothing to go on with."""
        resumed = JournalFile.resume(self.places, url=self._url, durable=self._is_durable)
        if resumed.journal is None:
            return None
        self.journal = resumed.journal
        return Left(resumed.journal, tuple(recheck(resumed.journal.part, resumed.claimed)))

    def repair(self, receipt: Receipt, spans: Sequence[tuple[int, int]]) -> Left:
        """Begin with what is good of a damaged file: all but `spans`."""
        resumed = begin_repair(self.places, receipt, spans, durable=self._is_durable)
        assert resumed.journal is not None
        self.journal = resumed.journal
        return Left(resumed.journal, tuple(recheck(resumed.journal.part, resumed.claimed)))

    def begin(self, url: str, size: int | None, identity: Identity) -> JournalFile:
        """Make a new temporary file and its journal, in place of any that was there."""
        self.drop()
        self.journal = JournalFile.create(
            self.places, url=url, size=size, identity=identity._asdict(), durable=self._is_durable
        )
        return self.journal

    def drop(self) -> None:
        """Remove the temporary file and the journal: nothing of them is worth keeping."""
        if self.journal is not None:
            self.journal.remove()
            self.journal = None

    def close(self) -> None:
        """Note what had landed, and leave it for a resume, if there can be one; give the target back. Done once."""
        if self.is_closed:
            return
        self.is_closed = True
        try:
            if self.journal is not None and self.journal.header.size is None:
                self.drop()  # of a file of unknown length nothing can be gone on with: it would only take room
            elif self.journal is not None:
                try:
                    if not self.journal.is_broken:
                        self.journal.commit()
                except OSError:
                    # What is not recorded is fetched again: the next run loses time, nothing else.
                    pass
                self.journal.close()
        finally:
            self._lock.release()
