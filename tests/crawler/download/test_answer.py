"""What a server may answer to a request for a range, and what it is worth: the head alone, as data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.answers.answer import (
    MAX_SKIP,
    Asked,
    AtEnd,
    Changed,
    ContentRange,
    Judgement,
    Part,
    Rejected,
    Whole,
    judge,
    parse_content_range,
    stored_coding,
)  # fmt: skip
from crawler.download.answers.fields import Fields
from crawler.download.answers.identity import Identity
from crawler.download.fault import Fault

SIZE = 1000
PINNED = Identity(SIZE, '"a"', None, "Sun, 01 Mar 2026 12:00:00 GMT", is_date_strong=True)
BARE = Identity(SIZE)
ASKED = Asked(100, 200, PINNED)


def got(status: int, asked: Asked = ASKED, /, **fields: str | list[str]) -> Judgement:
    """Judge an answer; a list is several lines."""
    lines = [
        (name.replace("_", "-"), value)
        for name, values in fields.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return judge(asked, status, Fields(lines))


def fault(judgement: Judgement) -> Fault:
    assert isinstance(judgement, Rejected), judgement
    assert judgement.detail
    return judgement.fault


def span(judgement: Judgement) -> tuple[int, int]:
    assert isinstance(judgement, Part), judgement
    return judgement.first, judgement.end


def test_what_was_asked_for_is_a_part() -> None:
    answer = got(206, content_range="bytes 100-199/1000", content_length="100", etag='"a"')
    assert answer == Part(100, 200, Identity(SIZE, '"a"'))


def test_the_first_answer_tells_the_size_and_the_identity() -> None:
    answer = got(206, Asked(0, 65536), content_range="bytes 0-65535/1000000", content_length="65536", etag='"a"')
    assert answer == Part(0, 65536, Identity(1_000_000, '"a"'))
    assert got(206, Asked(0, 65536), content_range="bytes 0-99/100") == Part(0, 100, Identity(100))


# -- ranges


@pytest.mark.parametrize("pinned", [PINNED, BARE, None])
def test_d01_d02_d03_200_to_a_range_is_the_whole_file(pinned: Identity | None) -> None:
    """Never a part: whoever asked decides between one stream and another try."""
    answer = got(200, Asked(100, 200, pinned), content_length="1000", etag='"a"')
    assert answer == Whole(SIZE, Identity(SIZE, '"a"'))


def test_d04_login_page_of_another_length_is_not_the_file() -> None:
    """It has no validators where the file has some: the file did not change, this is something else."""
    assert fault(got(200, content_length="512", content_type="text/html")) == Fault.RANGE_IGNORED


def test_d04_another_length_is_a_change_where_nothing_else_tells_files_apart() -> None:
    assert isinstance(got(200, Asked(100, 200, BARE), content_length="512"), Changed)


@pytest.mark.parametrize("length", ["1000", "999", "0"])
def test_d05_206_with_full_body_and_the_range_that_was_asked_for(length: str) -> None:
    """What comes is not what Content-Range says: nobody knows which bytes they are."""
    assert fault(got(206, content_range="bytes 100-199/1000", content_length=length)) == Fault.RANGE_WRONG


def test_d05_206_with_full_body_and_an_honest_header_is_skipped_into() -> None:
    assert span(got(206, content_range="bytes 0-999/1000", content_length="1000")) == (0, 1000)


def test_d05_206_with_full_body_of_a_huge_file_is_refused() -> None:
    """To throw away gigabytes for each piece is no way to get a file."""
    size = 10 * MAX_SKIP
    asked = Asked(MAX_SKIP + 1, MAX_SKIP + 10, Identity(size))
    assert fault(got(206, asked, content_range=f"bytes 0-{size - 1}/{size}")) == Fault.RANGE_WRONG
    assert span(got(206, asked, content_range=f"bytes 1-{size - 1}/{size}")) == (1, size)


@pytest.mark.parametrize("where", ["101-200", "200-299", "500-599"])
def test_d06_shifted_with_honest_header(where: str) -> None:
    assert fault(got(206, content_range=f"bytes {where}/1000", content_length="100")) == Fault.RANGE_WRONG


@pytest.mark.parametrize("where", ["0-99", "50-99", "0-0"])
def test_d06_shifted_to_before_what_was_asked_for(where: str) -> None:
    assert fault(got(206, content_range=f"bytes {where}/1000")) == Fault.RANGE_WRONG


def test_d08_no_content_range() -> None:
    assert fault(got(206, content_length="100")) == Fault.RANGE_WRONG


MALFORMED = [
    "", "bytes", "bytes=100-199/1000", "100-199/1000", "items 100-199/1000", "bytes */1000", "bytes 100-199",
    "bytes 100-199/", "bytes -100-199/1000", "bytes 100--199/1000", "bytes 199-100/1000", "bytes 100-1000/1000",
    "bytes 100 - 199/1000", "bytes 100-199 / 1000", "bytes 100-199/-1", "bytes 100-199/1e3", "bytes 0x64-199/1000",
    "bytes 100-199/99999999999999999999", "bytes 9223372036854775807-9223372036854775807/9223372036854775807",
    "bytes 100-9223372036854775808/*", "bytes 100-199/1000, bytes 300-399/1000", "bytes 100-199/1000;x",
    "bytes 100-199/1000\n", "bytes \u0661-\u0662/1000", "bytes: 100-199/1000", "bytes100-199/1000", "none",
]  # fmt: skip


@pytest.mark.parametrize("value", MALFORMED)
def test_d09_malformed_content_range(value: str) -> None:
    assert fault(got(206, content_range=value, content_length="100")) == Fault.RANGE_WRONG


def test_d09_two_content_ranges() -> None:
    both = ["bytes 100-199/1000", "bytes 300-399/1000"]
    assert fault(got(206, content_range=both)) == Fault.RANGE_WRONG
    assert fault(got(206, content_range=both[::-1])) == Fault.RANGE_WRONG
    assert span(got(206, content_range=both[:1] * 2)) == (100, 200)  # the same twice is one


@pytest.mark.parametrize("value", ["BYTES 100-199/1000", "bytes  100-199/1000", "bytes\t0100-00199/01000"])
def test_d09_unusual_but_clear_content_range(value: str) -> None:
    """Range units are case-insensitive (RFC 9110 14.1)."""
    assert span(got(206, content_range=value)) == (100, 200)


def test_d09_unknown_total_is_lawful() -> None:
    assert span(got(206, content_range="bytes 100-199/*", content_length="100")) == (100, 200)
    assert fault(got(206, Asked(900, 1000, PINNED), content_range="bytes 900-1000/*")) == Fault.RANGE_WRONG


def test_d10_shorter_than_asked_is_a_shorter_part() -> None:
    assert span(got(206, content_range="bytes 100-149/1000", content_length="50")) == (100, 150)


def test_d11_longer_than_asked_is_a_longer_part() -> None:
    assert span(got(206, content_range="bytes 100-299/1000", content_length="200")) == (100, 300)


def test_d12_multipart() -> None:
    kind = 'multipart/byteranges; boundary="x"'
    assert fault(got(206, content_type=kind, content_range="bytes 100-199/1000")) == Fault.RANGE_WRONG
    assert fault(got(206, content_type=kind.upper())) == Fault.RANGE_WRONG


def test_d12_a_file_of_that_type_may_be_fetched_whole() -> None:
    assert isinstance(got(200, content_type="multipart/byteranges", content_length="1000"), Whole)


@pytest.mark.parametrize("status", [100, 103, 201, 202, 203, 204, 205, 226, 300, 302, 304])
def test_d13_statuses_that_are_no_file(status: int) -> None:
    assert fault(got(status, content_range="bytes 100-199/1000", content_length="100")) == Fault.NOT_PARTIAL


def test_d13_206_without_body() -> None:
    assert fault(got(206, content_range="bytes 100-199/1000", content_length="0")) == Fault.RANGE_WRONG


def test_d14_416_when_complete() -> None:
    assert got(416, Asked(1000, None, PINNED), content_range="bytes */1000") == AtEnd(1000)
    assert got(416, Asked(1000, None, PINNED)) == AtEnd(1000)


def test_d14_416_when_the_file_shrank() -> None:
    assert isinstance(got(416, content_range="bytes */50"), Changed)


def test_d14_416_inside_the_file_is_a_refusal_of_ranges() -> None:
    assert fault(got(416, content_range="bytes */1000")) == Fault.RANGE_REFUSED
    assert fault(got(416, content_length="9")) == Fault.RANGE_REFUSED
    assert fault(got(416, Asked(0, 65536), content_range="bytes */1000")) == Fault.RANGE_REFUSED


@pytest.mark.parametrize("value", ["bytes 0-9/10", "bytes */*", "bytes */x", "*/1000"])
def test_d14_416_with_nonsense(value: str) -> None:
    assert got(416, Asked(0, 65536), content_range=value) == AtEnd(None)


@pytest.mark.parametrize("value", ["none", "bytes", "pages", ""])
def test_d15_accept_ranges_is_not_asked(value: str) -> None:
    """It is a hint (RFC 9110 14.3); what comes is what counts."""
    assert span(got(206, content_range="bytes 100-199/1000", accept_ranges=value)) == (100, 200)
    assert isinstance(got(200, content_length="1000", accept_ranges=value), Whole)


def test_d17_unknown_length() -> None:
    assert got(200, Asked(0, 65536), transfer_encoding="chunked") == Whole(None, Identity(None))
    assert got(200, Asked(0, 65536)) == Whole(None, Identity(None))


def test_d18_zero_length() -> None:
    assert got(200, Asked(0, 65536), content_length="0") == Whole(0, Identity(0))
    assert got(416, Asked(0, 65536), content_range="bytes */0") == AtEnd(0)


def test_d19_chunked_206_with_content_range() -> None:
    assert span(got(206, transfer_encoding="chunked", content_range="bytes 100-199/1000")) == (100, 200)


def test_d20_chunked_206_without_content_range() -> None:
    assert fault(got(206, transfer_encoding="chunked")) == Fault.RANGE_WRONG


@pytest.mark.parametrize("total", [999, 1001, 200])
def test_d21_total_differs_between_segments(total: int) -> None:
    answer = got(206, content_range=f"bytes 100-199/{total}", etag='"a"')
    assert answer == Changed(f"the size was 1000 and is {total}")


@pytest.mark.parametrize("where", ["0-511", "64-255", "100-255", "64-199"])
def test_d23_server_coalesces_to_larger_blocks(where: str) -> None:
    first, last = map(int, where.split("-"))
    assert span(got(206, content_range=f"bytes {where}/1000")) == (first, last + 1)


# -- identity


def test_d24_etag_changes_between_segments() -> None:
    answer = got(206, content_range="bytes 100-199/1000", etag='"b"')
    assert answer == Changed('ETag was "a" and is "b"')


def test_d25_change_and_if_range_honoured() -> None:
    assert isinstance(got(200, content_length="1000", etag='"b"'), Changed)
    assert isinstance(got(200, content_length="900", etag='"b"'), Changed)
    assert isinstance(got(200, transfer_encoding="chunked", etag='"b"'), Changed)


def test_d26_change_and_if_range_ignored_is_seen_all_the_same() -> None:
    date = "Sun, 01 Mar 2026 12:00:01 GMT"
    assert isinstance(got(206, content_range="bytes 100-199/1000", last_modified=date), Changed)


def test_d28_200_for_an_unchanged_file() -> None:
    """If-Range was misunderstood: the file is the same, so what is on disk stays good."""
    assert got(200, content_length="1000", etag='"a"') == Whole(SIZE, Identity(SIZE, '"a"'))


def test_d31_etag_missing_in_206() -> None:
    assert span(got(206, content_range="bytes 100-199/1000")) == (100, 200)


def test_d34_412_is_a_change() -> None:
    assert isinstance(got(412), Changed)


def test_d35_304_without_asking() -> None:
    assert fault(got(304, etag='"a"')) == Fault.NOT_PARTIAL


def test_d37_mirror_serves_another_version_of_equal_size() -> None:
    assert isinstance(got(206, content_range="bytes 100-199/1000", etag='"mirror"'), Changed)


def test_d38_another_variant() -> None:
    """A negotiated variant has its own tag (RFC 9110 8.8.3.3) or is compressed: either is seen."""
    assert isinstance(got(206, content_range="bytes 100-199/1000", etag='"a-gzip"', vary="Accept-Encoding"), Changed)
    fields = {"content_range": "bytes 100-199/1000", "content_encoding": "gzip", "etag": '"a-gzip"'}
    assert fault(got(206, **fields)) == Fault.ENCODED


# -- framing and coding


def test_d43_content_length_beside_transfer_encoding() -> None:
    fields = {"content_length": "100", "transfer_encoding": "chunked"}
    assert fault(got(206, content_range="bytes 100-199/1000", **fields)) == Fault.PROTOCOL
    assert fault(got(200, **fields)) == Fault.PROTOCOL


@pytest.mark.parametrize("lengths", [["1000", "999"], ["1000, 999"], ["999", "1000"]])
def test_d44_two_content_lengths(lengths: list[str]) -> None:
    assert fault(got(200, content_length=lengths)) == Fault.PROTOCOL


@pytest.mark.parametrize("lengths", [["1000", "1000"], ["1000, 1000"], ["1000,1000", "1000"]])
def test_d44_the_same_length_twice_is_one(lengths: list[str]) -> None:
    """RFC 9110 8.6."""
    assert got(200, content_length=lengths) == Whole(SIZE, Identity(SIZE))


@pytest.mark.parametrize("length", ["", "-1", "+5", "0x10", "1e3", "ten", "1 000", "9" * 19, "9" * 400, "\u0661"])
def test_d44_content_length_that_is_none(length: str) -> None:
    assert fault(got(200, content_length=length)) == Fault.PROTOCOL


@pytest.mark.parametrize(
    "coding", ["gzip", "br", "zstd", "deflate", "GZIP", "x-gzip", "gzip, identity", "identity, br"]
)
@pytest.mark.parametrize("status", [200, 206])
def test_d50_coded_unasked(coding: str, status: int) -> None:
    fields = {"content_range": "bytes 0-999/1000"}
    assert fault(got(status, Asked(0, 1000), content_encoding=coding, **fields)) == Fault.ENCODED


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "identity", "chunked, chunked"])
def test_d50_coded_by_transfer(coding: str) -> None:
    assert fault(got(206, content_range="bytes 100-199/1000", transfer_encoding=coding)) == Fault.ENCODED


@pytest.mark.parametrize("coding", ["identity", "", "Identity"])
def test_d50_identity_is_no_coding(coding: str) -> None:
    assert span(got(206, content_range="bytes 100-199/1000", content_encoding=coding)) == (100, 200)


def test_d51_stored_gzip_labelled_as_a_coding_is_the_file_itself() -> None:
    """Apache does it to x.tar.gz unless told otherwise."""
    asked = ASKED._replace(stored_coding=stored_coding("/pub/x.tar.GZ"))
    assert span(got(206, asked, content_range="bytes 100-199/1000", content_encoding="x-gzip")) == (100, 200)
    assert fault(got(206, asked, content_range="bytes 100-199/1000", content_encoding="br")) == Fault.ENCODED
    assert fault(got(206, asked, content_range="bytes 100-199/1000", content_encoding="gzip, gzip")) == Fault.ENCODED


@pytest.mark.parametrize(
    ("path", "coding"), [("/a.tgz", "gzip"), ("/a.zst", "zstd"), ("/a.iso", None), ("/gz", None), ("", None)]
)
def test_d51_the_coding_a_name_speaks_of(path: str, coding: str | None) -> None:
    assert stored_coding(path) == coding


def test_a_part_under_200_is_not_the_whole_file() -> None:
    """Some servers say 200 and send the range: the worst of all, for whoever believes the status."""
    part = {"content_range": "bytes 100-199/1000", "content_length": "100"}
    assert fault(got(200, Asked(100, 200), **part)) == Fault.RANGE_WRONG
    assert fault(got(200, Asked(0, 100), content_range="bytes 0-99/1000", content_length="100")) == Fault.RANGE_WRONG
    assert isinstance(got(200, content_range="bytes 0-999/1000", content_length="1000"), Whole)


# -- refusals


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, Fault.AUTH), (403, Fault.AUTH), (407, Fault.AUTH), (404, Fault.GONE), (410, Fault.GONE),
        (408, Fault.TIMEOUT), (429, Fault.RATE_LIMITED), (400, Fault.HTTP_4XX), (451, Fault.HTTP_4XX),
        (500, Fault.HTTP_5XX), (503, Fault.HTTP_5XX), (522, Fault.HTTP_5XX), (599, Fault.HTTP_5XX),
        (999, Fault.NOT_PARTIAL), (0, Fault.NOT_PARTIAL),
    ],
)  # fmt: skip
def test_refusals_have_their_reasons(status: int, reason: Fault) -> None:
    answer = got(status)
    assert fault(answer) == reason
    assert isinstance(answer, Rejected)
    assert answer.status == status


# -- properties

NUMBER = st.integers(0, 40) | st.integers(2**62, 2**65)


@given(NUMBER, NUMBER, NUMBER | st.none())
def test_content_range_is_read_as_it_was_written(first: int, last: int, total: int | None) -> None:
    said = parse_content_range(f"bytes {first}-{last}/{'*' if total is None else total}")
    is_valid = first <= last < 2**63 - 1 and (total is None or last < total < 2**63)
    assert said == (ContentRange(first, last + 1, total) if is_valid else None)


@given(st.text(st.sampled_from("bytes 0123456789-/*,=\t"), max_size=30) | st.text(max_size=20))
def test_content_range_of_anything_is_none_or_possible(value: str) -> None:
    said = parse_content_range(value)
    if said is not None and said.first is not None:
        assert said.end is not None
        assert 0 <= said.first < said.end <= (said.total if said.total is not None else 2**63)


FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["content-range", "content-length", "etag", "content-encoding", "transfer-encoding", "date"]),
        st.sampled_from([*MALFORMED, "bytes 100-199/1000", "bytes 0-999/1000", "bytes 90-210/1000", "100", "1000"])
        | st.sampled_from(['"a"', '"b"', 'W/"a"', "gzip", "chunked", "identity"])
        | st.text(max_size=10),
    ),
    max_size=5,
)  # fmt: skip


@given(st.integers(0, 599) | st.sampled_from([200, 206, 206, 206, 416]), FIELDS, st.sampled_from([PINNED, BARE, None]))
def test_a_part_always_holds_what_was_asked_for(
    status: int, lines: list[tuple[str, str]], pinned: Identity | None
) -> None:
    """Whatever comes: never an exception, and a part begins at or before what was asked for and has some of it."""
    match judge(Asked(100, 200, pinned), status, Fields(lines)):
        case Part(first, end, identity):
            assert status == 206
            assert 100 - MAX_SKIP <= first <= 100 < end
            assert pinned is None or (end <= SIZE and identity.size in (SIZE, None))
        case Whole(length, _):
            assert status == 200
            assert pinned is None or length in (SIZE, None)
        case AtEnd() | Changed() | Rejected():
            pass
