"""The hash behind the frontier, right for every order of arrival, and the check of what a journal claims."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.download.disk import follow
from crawler.download.disk.disk import Disk
from crawler.download.disk.errors import DownloadError
from crawler.download.disk.follow import Follower, recheck
from crawler.download.disk.journal import Piece
from crawler.download.plan.spans import Spans
from crawler.download.proof.checksum import checksum
from crawler.download.proof.digests import new_hash
from tests.support.downloads import body, piece_of


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    number = os.open(tmp_path / "part", os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)


@pytest.mark.parametrize("count", range(1, 7))
def test_d116_every_order_of_arrival(count: int, fd: int) -> None:
    """All permutations of up to six pieces: the digest is that of hashlib, and at no time ahead of the frontier."""
    data = body(count * 100 + 37)
    edges = [0, *(at * 100 + 7 for at in range(1, count)), len(data)]
    pieces = [piece_of(data, *edge) for edge in itertools.pairwise(edges)]
    expected = hashlib.sha256(data).digest()
    for order in itertools.permutations(pieces):
        os.ftruncate(fd, 0)
        os.ftruncate(fd, len(data))
        follower = Follower(fd, {"sha256": hashlib.sha256()})
        done = Spans()
        for piece in order:
            os.pwrite(fd, data[piece.first : piece.end], piece.first)
            done.add(piece.first, piece.end)
            frontier = done.first_gap()
            follower.advance(frontier)
            assert follower.position == frontier
            assert follower.digests()["sha256"] == hashlib.sha256(data[:frontier]).digest()
        assert follower.digests() == {"sha256": expected}


def test_d115_ended_at_every_block_boundary_and_begun_again(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No state is saved, so none can be foreign or corrupt: a resume reads again, whatever the boundary."""
    monkeypatch.setattr(follow, "BLOCK_BYTES", 64)
    data = body(64 * 5 + 1)
    os.pwrite(fd, data, 0)
    for boundary in range(0, len(data), 64):
        for at in (boundary - 1, boundary, boundary + 1):
            if not 0 <= at <= len(data):
                continue
            ended = Follower(fd, {"sha256": hashlib.sha256()})
            ended.advance(at)
            assert ended.digests()["sha256"] == hashlib.sha256(data[:at]).digest()
            again = Follower(fd, {"sha256": hashlib.sha256()})
            again.advance(at)
            again.advance(len(data))
            assert again.digests()["sha256"] == hashlib.sha256(data).digest()


def test_d83_a_file_that_was_cut_is_not_hashed_as_if_it_were_whole(fd: int) -> None:
    os.pwrite(fd, body(100), 0)
    with pytest.raises(DownloadError, match="ends at byte 100") as raised:
        Follower(fd, {"sha256": hashlib.sha256()}).advance(200)
    assert raised.value.fault == "disk"


def test_several_algorithms_in_one_pass_and_none_for_an_empty_file(fd: int) -> None:
    data = body(5000)
    os.pwrite(fd, data, 0)
    names = ("sha256", "md5", "crc32")
    follower = Follower(fd, {name: new_hash(name) for name in names})
    follower.advance(0)
    assert follower.digests()["md5"] == hashlib.md5(b"").digest()
    follower.advance(len(data))
    assert follower.digests() == {
        "sha256": hashlib.sha256(data).digest(),
        "md5": hashlib.md5(data).digest(),
        "crc32": zlib.crc32(data).to_bytes(4, "big"),
    }


def test_d122_pieces_beyond_four_gib_of_a_sparse_file(tmp_path: Path) -> None:
    data = body(4096)
    far = (5 << 30) + 3
    path = tmp_path / "part"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, data, far)
    os.close(fd)
    good = Piece(far, far + len(data), checksum(data, 0))
    bad = Piece(far - 1, far + len(data) - 1, checksum(data, 0))
    beyond = Piece(far, far + len(data) + 1, checksum(data, 0))
    assert recheck(path, [bad, good, beyond]) == [good]


def test_d90_holes_are_not_believed(tmp_path: Path) -> None:
    """The size is right, the blocks were never written."""
    data = body(3000)
    path = tmp_path / "part"
    path.write_bytes(data[:1000])
    os.truncate(path, 3000)
    pieces = [piece_of(data, at, at + 1000) for at in (0, 1000, 2000)]
    assert recheck(path, pieces) == pieces[:1]


def test_d78_what_cannot_be_read_back_is_not_believed(tmp_path: Path) -> None:
    class Broken(Disk):
        def read_into(self, fd: int, buffer: memoryview, offset: int) -> int:
            if offset <= 1000 < offset + len(buffer):
                raise OSError(errno.EIO, "Input/output error")
            return super().read_into(fd, buffer, offset)

    data = body(3000)
    path = tmp_path / "part"
    path.write_bytes(data)
    pieces = [piece_of(data, at, at + 1000) for at in (0, 1000, 2000)]
    assert recheck(path, pieces, disk=Broken()) == [pieces[0], pieces[2]]
    fd = os.open(path, os.O_RDONLY)
    try:
        follower = Follower(fd, {"sha256": hashlib.sha256()}, disk=Broken())
        with pytest.raises(OSError, match="Input/output"):
            follower.advance(3000)
    finally:
        os.close(fd)


def test_d79_reads_that_come_short_are_read_on(tmp_path: Path) -> None:
    class Slow(Disk):
        def read_into(self, fd: int, buffer: memoryview, offset: int) -> int:
            return super().read_into(fd, buffer[:7], offset)

    data = body(3000)
    path = tmp_path / "part"
    path.write_bytes(data)
    assert recheck(path, [piece_of(data, 5, 2999)], disk=Slow()) == [piece_of(data, 5, 2999)]


def test_recheck_reads_no_link(tmp_path: Path) -> None:
    (tmp_path / "part").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic"):
        recheck(tmp_path / "part", [])
