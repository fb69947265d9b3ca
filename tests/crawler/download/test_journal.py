"""The journal as bytes: what it proves, and that nothing else is ever believed."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.disk.journal import Drop, Header, Journal, Piece, begin, encode, read

HEADER = Header("http://a/x", "x", "x.0123456789abcdef.part", 1 << 40, {"etag": '"a"', "weak": None}, options={"n": 8})
PIECES = (Piece(0, 1024, 1, None, 11), Piece(1024, 2048, 2, 22, 0), Piece(1 << 33, (1 << 33) + 5, 0xFFFFFFFF, 0, None))


def written(*records: Piece | Drop, header: Header = HEADER) -> bytes:
    data, proof = begin(header)
    return data + encode(proof, records)[0]


WHOLE = written(*PIECES)


def is_believable(found: Journal, pieces: tuple[Piece, ...] = PIECES) -> bool:
    """Only what was written may be read, and of that only what no gap precedes."""
    if found.header is None:
        return found.pieces == ()
    return found.header == HEADER and found.pieces == pieces[: len(found.pieces)]


def test_what_was_written_is_read() -> None:
    found = read(WHOLE)
    assert found == Journal(HEADER, PIECES, len(WHOLE), found.proof, "")


def test_d122_positions_beyond_32_bits_survive() -> None:
    assert read(WHOLE).pieces[-1] == PIECES[-1]
    last = Piece((1 << 40) - 1, 1 << 40, 7)
    assert read(written(last)).pieces == (last,)


def test_writing_goes_on_where_reading_ended() -> None:
    cut = read(WHOLE[:-1])
    more = (Piece(4096, 8192, 9), Drop(0, 10))
    found = read(WHOLE[: cut.cut_at] + encode(cut.proof, more)[0])
    assert found.why == ""
    assert found.pieces == (PIECES[1], more[0])


def test_d88_cut_at_every_byte() -> None:
    ends = [len(written(*PIECES[:count])) for count in range(len(PIECES) + 1)]
    for size in range(len(WHOLE)):
        found = read(WHOLE[:size])
        assert len(found.pieces) == max(0, sum(end <= size for end in ends) - 1)
        assert is_believable(found)
        assert found.why != "" or size in ends
        assert found.cut_at == max([end for end in ends if end <= size], default=0)


def test_d88_every_bit_flipped() -> None:
    for at in range(len(WHOLE)):
        for bit in range(8):
            data = bytearray(WHOLE)
            data[at] ^= 1 << bit
            found = read(bytes(data))
            assert is_believable(found)
            assert len(found.pieces) < len(PIECES)
            assert found.why


@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"\1"])
def test_d88_filled_from_any_byte_on(filler: bytes) -> None:
    for at in range(len(WHOLE)):
        found = read(WHOLE[:at] + filler * (len(WHOLE) - at + 64))
        assert is_believable(found)
        assert found.cut_at <= at + 1


def test_d88_records_of_another_journal_do_not_fit() -> None:
    """The same pieces, of another attempt: its temporary file has other bytes."""
    other = HEADER._replace(part="x.fedcba9876543210.part")
    tail = written(*PIECES, header=other)[len(begin(other)[0]) :]
    assert read(begin(HEADER)[0] + tail).pieces == ()


def test_d88_a_record_that_is_missing_or_moved_ends_the_journal() -> None:
    ends = [len(written(*PIECES[:count])) for count in range(len(PIECES) + 1)]
    first, second, third = (WHOLE[start:end] for start, end in pairwise(ends))
    head = WHOLE[: ends[0]]
    assert read(head + second + third).pieces == ()
    assert read(head + first + third).pieces == PIECES[:1]
    assert read(head + first + first + second).pieces == PIECES[:1]
    assert read(head + second + first + third).pieces == ()


def test_d88_a_newer_version_is_named_and_not_believed() -> None:
    found = read(WHOLE.replace(b"-journal 1\n", b"-journal 2\n"))
    assert found.header is None
    assert found.why == "version 2 is not 1"
    assert read(b"\x7fELF" + WHOLE).why == "not a journal"
    assert read(b"").why == "not a journal"


def test_an_unknown_checksum_is_not_believed() -> None:
    """The header names it, so a later version may have another; this one knows one."""
    assert read(written(*PIECES, header=HEADER._replace(checksum="crc32"))).header is None


@pytest.mark.parametrize(
    "piece", [Piece(5, 5, 0), Piece(6, 5, 0), Piece(0, (1 << 40) + 1, 0)], ids=["empty", "backwards", "beyond"]
)
def test_impossible_pieces_are_not_believed(piece: Piece) -> None:
    found = read(written(PIECES[0], piece, PIECES[1]))
    assert found.pieces == PIECES[:1]
    assert found.why


def test_pieces_may_lie_anywhere_while_the_size_is_unknown() -> None:
    piece = Piece(0, 1 << 62, 1)
    assert read(written(piece, header=HEADER._replace(size=None))).pieces == (piece,)


@pytest.mark.parametrize(
    "change",
    [{"size": -1}, {"size": 1.5}, {"size": True}, {"size": 1 << 63}, {"url": ""}, {"url": 7}, {"part": "../x"},
     {"part": ".."}, {"identity": []}, {"identity": {"a": [1]}}, {"identity": {"a": 1.5}}, {"options": None},
     {"path": None}],
)  # fmt: skip
def test_a_header_that_says_nothing_usable(change: dict[str, object]) -> None:
    """Proved bytes may still come from a program with other ideas."""
    from crawler.download.disk import journal

    values = {**HEADER._asdict(), **change}
    magic = journal.MAGIC % journal.VERSION
    record, _ = journal._record(journal._start(magic), 1, json.dumps(values).encode())
    assert read(magic + record).header is None


def test_deep_json_is_no_header() -> None:
    from crawler.download.disk import journal

    magic = journal.MAGIC % journal.VERSION
    for payload in (b"[" * 100_000, b"\xff\xfe", b"null", b'{"url": 1e999}', b""):
        record, _ = journal._record(journal._start(magic), 1, payload)
        assert read(magic + record).header is None


def test_a_header_too_large_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="journal header"):
        begin(HEADER._replace(url="x" * (2 << 20)))


@given(st.binary(max_size=300), st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE)))
def test_d88_arbitrary_bytes_anywhere_never_raise_and_never_lie(noise: bytes, at: int, to: int) -> None:
    assert is_believable(read(WHOLE[:at] + noise + WHOLE[to:])) or WHOLE[:at] + noise + WHOLE[to:] == WHOLE
    read(noise)
    read(b"crawlmill-journal 1\n" + noise)


SPANS = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda each: (each[0], each[0] + each[1]))


@given(st.lists(st.tuples(SPANS, st.booleans()), max_size=30))
def test_a_later_record_takes_the_place_of_what_it_overlaps(steps: list[tuple[tuple[int, int], bool]]) -> None:
    records: list[Piece | Drop] = []
    model: list[Piece] = []
    for number, ((first, end), is_piece) in enumerate(steps):
        model = [piece for piece in model if piece.end <= first or piece.first >= end]
        if is_piece:
            model.append(Piece(first, end, number))
            records.append(model[-1])
        else:
            records.append(Drop(first, end))
    found = read(written(*records))
    assert found.why == ""
    assert found.pieces == tuple(sorted(model))


CHECKSUMS = st.integers(0, 0xFFFFFFFF)
OVERLAPPING = st.builds(
    Piece, st.integers(0, 99), st.integers(100, 1 << 40), CHECKSUMS, st.none() | CHECKSUMS, st.none() | CHECKSUMS
)


@given(st.lists(OVERLAPPING, max_size=5))
def test_the_last_of_overlapping_pieces_comes_back_as_it_was(pieces: list[Piece]) -> None:
    assert read(written(*pieces)).pieces == tuple(pieces[-1:])
