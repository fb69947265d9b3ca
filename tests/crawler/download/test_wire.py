"""What parent and workers say survives the way, in whatever portions it comes; a stranger is not understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.worker.wire import (
    MAX_FRAME,
    Arrived,
    BadFrame,
    Cut,
    Ended,
    Fetch,
    Follow,
    Forget,
    Go,
    Hashed,
    Head,
    Held,
    Hello,
    Inbox,
    Landed,
    Progress,
    Rate,
    Stop,
    Upto,
    WasCut,
    Write,
    encode,
)  # fmt: skip

MESSAGES = [
    Fetch(1, 2, "/p", "http://a/", 0, 10, 0, (10, '"x"', None, None, False), "", ("sha256",), True),
    Fetch(3, 4, "", "http://a/", 0, 10, 0, None, solo=("/r", None, "u", (), (("md5", "00", "config", 3),), 2, 5)),
    Arrived(3), Ended(3, "", "", 200, None, "", -1, 5, {}, {"path": "f", "claims": [{"source": "config"}]}),
    Go(1, "/p", True), Cut(1, 5), Stop(1), Write(1, True, 3), Follow(2, "/p", ("md5",)), Upto(2, 7, True), Forget(2),
    Rate(1.5), Hello("t", 3), Head(1, 206, (("etag", '"é"'),), 0, 10, True, (10, None, None, None, False), False),
    Progress(1, 5), WasCut(1, 5), Held(1), Landed(1, 0, 5, 6, None, 7),
    Ended(1, "", "", 200, None, "", 5, 5, {"sha256": "00"}), Hashed(2, 5, {}, "", ""),
]  # fmt: skip


@given(st.lists(st.sampled_from(MESSAGES), max_size=20), st.integers(1, 200))
def test_messages_arrive_whole_and_in_order_however_they_are_cut(messages: list[object], portion: int) -> None:
    data = b"".join(encode(message) for message in messages)  # type: ignore[arg-type]  # a list of all kinds
    inbox = Inbox()
    found = [each for at in range(0, len(data), portion) for each in inbox.feed(data[at : at + portion])]
    assert [type(each) for each in found] == [type(each) for each in messages]
    assert [_plain(each) for each in found] == [_plain(each) for each in messages]


def _plain(value: object) -> object:
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


@pytest.mark.parametrize(
    "data",
    [
        (MAX_FRAME + 1).to_bytes(4, "big"),
        b"\0\0\0\2[]",
        b"\0\0\0\3abc",
        b'\0\0\0\x08["Exec"]',
        b'\0\0\0\x07["Cut"]',
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_message_of_ours_is_refused(data: bytes) -> None:
    """Among them a frame that would take a gigabyte, and a browser that was led to the socket."""
    with pytest.raises(BadFrame):
        list(Inbox().feed(data))
