"""D83, D84, D88 in whole downloads: what an earlier run left was damaged meanwhile, and nobody is told of it.

A download is stopped half-way, its temporary file or its journal is changed, and it is resumed: right in the end, and
what could still be proved is not fetched again.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download.disk import journal as records
from crawler.download.downloader import Downloader
from crawler.download.values import FileResult, Wanted
from crawler.testing import FaultServer, serve, version
from crawler.testing.bodies import Body
from crawler.testing.oracle import judge
from pipelines.pool.pool import WorkerPool
from tests.support.downloading import LIMIT_SECONDS, SPARE_BYTES, options

MIB = 1024 * 1024
SIZE = 6 * MIB + 3
FILE = version("A", SIZE)
FOREIGN = Body(SIZE, "somebody else's")


class Left:
    """What a stopped download left."""

    def __init__(self, parts: Path) -> None:
        (self.journal,) = parts.glob("*.journal")
        (self.part,) = parts.glob("*.part")

    @property
    def proved(self) -> records.Journal:
        """What the journal says now."""
        return records.read(self.journal.read_bytes())

    def patch(self, path: Path, offset: int, data: bytes) -> None:
        """Write into one of the two files."""
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(data)


async def stopped(root: Path, server: FaultServer, pool: WorkerPool) -> Left:
    """Download about half of the file; return what is left."""
    server.mount("/f", lambda request: replace(serve(request, FILE), rate=6.0 * MIB))
    async with Downloader(root, options(3), pool=pool) as downloader:
        task = asyncio.create_task(downloader.fetch(Wanted(server.url("/f"), "f")))
        async with asyncio.timeout(LIMIT_SECONDS):
            while server.sent < SIZE * 0.6:  # noqa: ASYNC110 - the server counts in another thread
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
    return Left(root / ".crawlmill/parts")


async def resumed(root: Path, server: FaultServer, pool: WorkerPool) -> tuple[FileResult, int]:
    """Download the rest; return the result and the bytes that were sent for it. The file is right, alone."""
    server.mount("/f", lambda request: serve(request, FILE))
    server.forget()
    async with Downloader(root, options(3), pool=pool) as downloader:
        result = await asyncio.wait_for(downloader.fetch(Wanted(server.url("/f"), "f")), LIMIT_SECONDS)
    assert result.fault is None, result
    assert judge(root / "f", [FILE.body], says_success=True) == "right"
    assert list((root / ".crawlmill/parts").iterdir()) == []
    return result, server.sent


def flip_a_bit_of_data(left: Left) -> int:
    """One bit in the largest piece: that piece is lost."""
    piece = max(left.proved.pieces, key=lambda piece: piece.end - piece.first)
    at = (piece.first + piece.end) // 2
    (byte,) = left.part.read_bytes()[at : at + 1]
    left.patch(left.part, at, bytes([byte ^ 0x10]))
    return piece.end - piece.first


def put_other_bytes_in_all_of_it(left: Left) -> int:
    """The file has the right size and name, and another content: everything is lost."""
    left.part.write_bytes(FOREIGN.read(0, SIZE))
    return SIZE


def put_other_bytes_at_its_end(left: Left) -> int:
    """Behind all that was proved: nothing is lost."""
    end = max(piece.end for piece in left.proved.pieces)
    left.patch(left.part, end, FOREIGN.read(end, SIZE))
    return 0


def zero_a_block(left: Left) -> int:
    """A hole that a crash left, in a file of the right size."""
    piece = left.proved.pieces[0]
    left.patch(left.part, piece.first, bytes(min(4096, piece.end - piece.first)))
    return piece.end - piece.first


def lengthen_it(left: Left) -> int:
    """Somebody appended to it: the first bytes are as they were."""
    left.patch(left.part, SIZE, b"appended" * 1000)
    return 0


def flip_a_bit_of_the_journal(left: Left) -> int:
    """In its last record, which is not believed then."""
    data = left.journal.read_bytes()
    before = sum(piece.end - piece.first for piece in left.proved.pieces)
    left.patch(left.journal, len(data) - 20, bytes([data[-20] ^ 0x10]))
    return before - sum(piece.end - piece.first for piece in left.proved.pieces)


def flip_a_bit_of_the_header(left: Left) -> int:
    """The chain begins there: nothing is believed."""
    data = left.journal.read_bytes()
    left.patch(left.journal, 60, bytes([data[60] ^ 1]))
    return SIZE


def make_the_journal_one_of_the_future(left: Left) -> int:
    """Version 2, well made: what it says may mean anything."""
    pieces, header = left.proved.pieces, left.proved.header
    assert header is not None
    records.VERSION = 2
    try:
        start, proof = records.begin(header)
    finally:
        records.VERSION = 1
    left.journal.write_bytes(start + records.encode(proof, pieces)[0])
    return SIZE


def put_something_else_in_the_journal(left: Left) -> int:
    """As an editor does that was pointed at the wrong file."""
    left.journal.write_text("- buy milk\n" * 100)
    return SIZE


def put_two_journals_in_one(left: Left) -> int:
    """The journal of another attempt, appended to this: a record of it does not fit the chain."""
    header = left.proved.header
    assert header is not None
    start, proof = records.begin(header._replace(part="f.other.part"))
    piece, _ = records.encode(proof, [records.Piece(0, SIZE, 0)])
    with left.journal.open("ab") as file:
        file.write(start + piece)
        file.write(piece)
    return 0


def leave_two_attempts(left: Left) -> int:
    """A second temporary file of the same target, and a copy of the journal under another name."""
    token = left.part.name.split(".")[-2]
    other = left.part.name.replace(token, token[::-1])
    shutil.copy(left.part, left.part.with_name(other))
    shutil.copy(left.journal, left.journal.with_name(other.replace(".part", ".new")))
    return 0


DAMAGES = [
    flip_a_bit_of_data, put_other_bytes_in_all_of_it, put_other_bytes_at_its_end, zero_a_block, lengthen_it,
    flip_a_bit_of_the_journal, flip_a_bit_of_the_header, make_the_journal_one_of_the_future,
    put_something_else_in_the_journal, put_two_journals_in_one, leave_two_attempts,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_d83_d84_d88_what_was_left_and_damaged_meanwhile(
    damage: Callable[[Left], int], tmp_path: Path, pool: WorkerPool
) -> None:
    with FaultServer() as server:
        left = await stopped(tmp_path, server, pool)
        there = sum(piece.end - piece.first for piece in left.proved.pieces)
        assert there > MIB, "else nothing is to be lost"
        lost = damage(left)
        result, sent = await resumed(tmp_path, server, pool)
    assert result.resumed_bytes == max(0, there - lost)
    assert sent <= SIZE - result.resumed_bytes + SPARE_BYTES
