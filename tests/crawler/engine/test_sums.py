"""Files wait for the checksum files of their folder, and for nothing else, and never for ever."""

from __future__ import annotations

import asyncio

from crawler.engine.sums import SumsWatch
from crawler.frontier.host import Row
from crawler.frontier.request import Request
from pipelines.url import CanonicalUrl

FILE = "http://a.test/d/sub/a.zip"


def row(number: int, url: str) -> Row:
    return [1, 0, number, url, 0, None, 0, None, "a.test"]


def request(number: int) -> Request:
    return Request(number, CanonicalUrl("http://a.test/"), "a.test")


async def is_free(watch: SumsWatch, url: str = FILE) -> bool:
    waiting = asyncio.create_task(watch.wait_for(url))
    for _ in range(3):
        await asyncio.sleep(0)
    if not waiting.done():
        waiting.cancel()
    return waiting.done() and not waiting.cancelled()


async def test_a_file_waits_for_the_sums_of_its_folder_and_those_above() -> None:
    watch = SumsWatch()
    assert await is_free(watch)
    watch.saw([row(1, "http://a.test/d/SHA256SUMS"), row(2, "http://a.test/d/sub/a.zip.md5"), row(3, FILE)])
    assert not await is_free(watch)
    assert await is_free(watch, "http://a.test/e/a.zip")
    assert await is_free(watch, "http://b.test/d/a.zip")
    watch.settled(request(1))
    assert not await is_free(watch)
    watch.settled(request(2))
    watch.settled(request(3))
    assert await is_free(watch)


async def test_rows_that_are_read_again_count_once() -> None:
    watch = SumsWatch()
    for _ in range(2):
        watch.saw([row(1, "http://a.test/d/SHA256SUMS")])
    watch.settled(request(1))
    assert await is_free(watch)


async def test_waiting_ends_with_the_last_one_and_when_there_is_a_hurry() -> None:
    watch = SumsWatch()
    watch.saw([row(1, "http://a.test/d/SHA256SUMS"), row(2, "http://a.test/e/SHA256SUMS")])
    first, second = (asyncio.create_task(watch.wait_for(f"http://a.test/{name}/a.zip")) for name in "de")
    await asyncio.sleep(0)
    watch.settled(request(1))
    await asyncio.wait_for(first, 1)
    assert not second.done()
    watch.hurry()
    await asyncio.wait_for(second, 1)
    watch.saw([row(3, "http://a.test/d/SHA256SUMS")])
    assert await is_free(watch), "from then on nobody waits"


async def test_one_host_in_a_hurry_costs_no_other_its_proofs() -> None:
    watch = SumsWatch()
    watch.saw([row(1, "http://a.test/d/SHA256SUMS"), row(2, "http://b.test/d/SHA256SUMS")])
    hurried, patient = (asyncio.create_task(watch.wait_for(f"http://{name}.test/d/a.zip")) for name in "ab")
    await asyncio.sleep(0)
    watch.hurry("a.test")
    await asyncio.wait_for(hurried, 1)
    assert not patient.done()
    watch.settled(request(2))
    await asyncio.wait_for(patient, 1)
