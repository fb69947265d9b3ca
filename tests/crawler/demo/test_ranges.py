"""The demo site's files can be had in parts, as RFC 9110 says."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.demo.answer import Answer
from crawler.demo.ranges import part_of
from crawler.demo.server import DemoServer
from crawler.demo.site import Demo, Kind

BODY = bytes(range(100))
WHOLE = Answer(200, (("Accept-Ranges", "bytes"), ("ETag", '"x"'), ("Last-Modified", "then")), BODY)


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-9", 0, 10), ("bytes=90-", 90, 100), ("bytes=-5", 95, 100), ("bytes=95-200", 95, 100),
        ("bytes=-200", 0, 100),
    ],
)  # fmt: skip
def test_one_range_is_a_part(asked: str, first: int, end: int) -> None:
    part = part_of(WHOLE, asked, "")
    assert (part.status, part.body) == (206, BODY[first:end])
    assert ("Content-Range", f"bytes {first}-{end - 1}/100") in part.headers


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=9-3"])
def test_a_range_outside_is_refused(asked: str) -> None:
    part = part_of(WHOLE, asked, "")
    assert (part.status, part.headers) == (416, (("Content-Range", "bytes */100"),))


@pytest.mark.parametrize(
    ("asked", "condition"),
    [("bytes=0-1,3-4", ""), ("items=0-1", ""), ("bytes=-", ""), ("bytes=a-b", ""), ("bytes=0-1", '"y"')],
)
def test_what_cannot_be_a_part_is_the_whole(asked: str, condition: str) -> None:
    assert part_of(WHOLE, asked, condition) is WHOLE
    assert part_of(Answer(200, (), BODY), "bytes=0-1", "").status == 200


@pytest.mark.parametrize("condition", ['"x"', "then"])
def test_a_condition_that_holds_changes_nothing(condition: str) -> None:
    assert part_of(WHOLE, "bytes=0-1", condition).status == 206


@given(st.text(alphabet="bytes=-,0123456789", max_size=20), st.binary(max_size=30))
def test_a_part_is_always_a_piece_of_the_body(asked: str, body: bytes) -> None:
    part = part_of(Answer(200, (("Accept-Ranges", "bytes"),), body), asked, "")
    assert part.status in (200, 206, 416)
    assert part.body in body


async def test_the_files_are_served_as_promised() -> None:
    async with DemoServer(Demo(pages=4, hosts=1, downloads=True)) as server, aiohttp.ClientSession() as session:
        files = server.demo.files()
        assert {file.status for file in files} == {"verified", "unverified", "mismatch", "failed"}
        for file in files:
            async with session.get(file.url, headers={"Range": "bytes=0-99"}) as response:
                body = await response.read()
                if file.status == "failed":
                    assert response.status == 404
                elif file.has_ranges and file.body:
                    assert (response.status, body) == (206, file.body[:100])
                    assert response.headers["Content-Range"].endswith(f"/{len(file.body)}")
                elif file.body:
                    assert (response.status, hashlib.sha256(body).hexdigest()) == (200, file.sha256)
                else:
                    assert response.status == 416


def test_without_downloads_there_are_none() -> None:
    assert Demo(pages=4).files() == ()
    paths = {urlsplit(found.url).path for found in Demo(pages=4).expected()}
    assert not any(path.startswith("/downloads/") for path in paths)
    with_files = {found.url: found for found in Demo(pages=4, downloads=True).expected()}
    for file in Demo(pages=4, downloads=True).files():
        found = with_files[file.url]
        assert found.kind is (Kind.ERROR if file.status == "failed" else Kind.PAGE), "to a crawl without files"
