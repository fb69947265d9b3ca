"""Files of a host that does not answer, in real crawls: those of other hosts are there long before it is given up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from crawler import Crawl
from crawler.config import Config
from crawler.download.values import FileProgress, FileResult, OnRedirect, ProgressSink, Wanted
from crawler.engine import open_files
from crawler.engine.files import ROOM
from crawler.errors import ExitCode
from crawler.frontier.host import MOST_FILES
from crawler.frontier.places import BEGUN_FREELY
from tests.support.engine_runs import lines
from tests.support.fake_downloads import FakeDownloads
from tests.support.hosts import Host

PLACES = 4
BODY = b"a file" * 100


class Servers:
    """One host that falls silent after so many answers, until it is woken, and one that is well."""

    def __init__(self, answers: int = 0) -> None:
        self.answers = answers
        self.awake = asyncio.Event()
        self.answered = 0
        self.silent = Host("127.0.0.2", self._when_awake)
        self.well = Host("127.0.0.3", self._at_once)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Servers]:
        async with self.silent.open(), self.well.open():
            yield self
            self.awake.set()

    async def _when_awake(self, _: web.Request) -> web.StreamResponse:
        if len(self.silent.seen) > self.answers:
            await self.awake.wait()
        self.answered += 1
        return web.Response(body=BODY)

    async def _at_once(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=BODY)

    def urls(self) -> tuple[list[str], list[str]]:
        """Return three times as many files of the silent host as there are places, and some of the other one."""
        silent = [f"{self.silent.url}/{number}.bin" for number in range(3 * PLACES)]
        return silent, [f"{self.well.url}/{number}.bin" for number in range(2 * PLACES)]


def config_of(out: Path, urls: list[str], **tables: Any) -> Config:
    """List these files. Nothing here is patient: what waits for the silent host waits for longer than the test."""
    usual: dict[str, Any] = {
        "job": {"out": str(out)},
        "fetch": {"allow_addresses": ["127.0.0.0/8"], "read_timeout": "60s", "retries": 2},
        "politeness": {"delay": 0, "robots": False, "per_host": 2 * PLACES},
        "downloads": {"concurrency": PLACES, "stall_timeout": "60s", "processes": 1},
        "output": {"commit_interval": 0.02},
        "cpu": {"workers": 1},
    }
    for name, table in tables.items():
        usual.setdefault(name, {}).update(table)
    return Config(**usual, download=[{"url": url} for url in urls])


def delivered(out: Path) -> set[str]:
    return {line["url"] for line in lines(out, "files") if line["status"] == "unverified"}


async def until_delivered(out: Path, urls: list[str]) -> None:
    async with asyncio.timeout(30):
        while not delivered(out) >= set(urls):  # noqa: ASYNC110  # no event for a line of a file
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("is_silent_first", [True, False])
async def test_a_silent_host_holds_up_no_files_of_others(is_silent_first: bool, tmp_path: Path) -> None:
    """Its limit is larger than the places, so nothing but the share of the others keeps it from taking all of them."""
    async with Servers().open() as servers:
        silent, well = servers.urls()
        config = config_of(tmp_path, silent + well if is_silent_first else well + silent)
        async with Crawl(config) as crawling:
            running = asyncio.create_task(crawling.run())
            await until_delivered(tmp_path, well)
            assert servers.answered == 0, "not one of its files has come to an end"
            assert len(servers.silent.seen) <= BEGUN_FREELY
            crawling.stop()
            summary = await asyncio.wait_for(running, 20)
        assert summary.exit_code == ExitCode.INTERRUPTED
        assert summary.adds_up()
        assert (summary.files, summary.pending) == (len(well), len(silent))

        servers.awake.set()
        async with Crawl(config) as crawling:
            summary = await asyncio.wait_for(crawling.run(), 30)
        assert summary.exit_code == ExitCode.COMPLETE
        assert delivered(tmp_path) == {*silent, *well}
        assert len(lines(tmp_path, "files")) == len(silent) + len(well), "each once"
        assert len(servers.well.seen) == len(well), "what was there is not asked for again"


async def test_a_host_that_falls_silent_leaves_a_place_for_files_found_later(tmp_path: Path) -> None:
    """When a host is alone there is nobody to keep a place for, and still one is kept."""
    async with Servers(answers=PLACES).open() as servers:
        silent, well = servers.urls()
        asked = PLACES + PLACES - 1  # what was answered, and all that it may have under way

        async def page(_: web.Request) -> web.StreamResponse:
            while len(servers.silent.seen) < asked:  # noqa: ASYNC110  # what a server saw is no event
                await asyncio.sleep(0.01)
            links = "".join(f'<a href="{url}">file</a>' for url in well)
            return web.Response(text=links, content_type="text/html")

        async with Host("127.0.0.4", page).open() as pages:
            tables = {"scope": {"hosts": ["127.0.0.3", "127.0.0.4"]}, "downloads": {"patterns": ["*.bin"]}}
            config = config_of(tmp_path, silent, job={"seeds": [f"{pages.url}/"]}, **tables)
            async with Crawl(config) as crawling:
                running = asyncio.create_task(crawling.run())
                await until_delivered(tmp_path, well)
                assert len(servers.silent.seen) == asked
                assert servers.answered == PLACES, "it is as silent as before"
                crawling.stop()
                await asyncio.wait_for(running, 20)


class Unending(FakeDownloads):
    """Files of which some bytes are there, and `more` of them come before nothing happens any more."""

    more = 0

    async def fetch(
        self, wanted: Wanted, progress: ProgressSink | None = None, *, on_redirect: OnRedirect = "follow"
    ) -> FileResult:
        """Tell twice how far the file is."""
        assert progress is not None
        for written in (40, 40 + self.more):
            progress(FileProgress(wanted.url, wanted.path, 100, written, written, 1))
        return await super().fetch(wanted, progress, on_redirect=on_redirect)


@pytest.mark.parametrize(("more", "expected"), [(10, 7), (0, 2)])
async def test_a_host_whose_bytes_come_gets_places_before_a_file_has_ended(
    more: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large files take long. What an earlier run left is no sign of life."""
    downloads = Unending(seconds=60.0)
    downloads.more = more
    monkeypatch.setattr(open_files, "Downloader", downloads)
    config = config_of(
        tmp_path, [f"http://large.test/{number}.bin" for number in range(20)], downloads={"concurrency": 8}
    )
    async with asyncio.timeout(20), Crawl(config) as crawling:
        running = asyncio.create_task(crawling.run())
        while len(downloads.wanted) < expected or crawling.snapshot() is None:  # noqa: ASYNC110  # no event for it
            await asyncio.sleep(0.01)
        for _ in range(100):  # turns of the loop, in which it could get more
            await asyncio.sleep(0)
        crawling.stop()
        assert len(downloads.wanted) == expected
        await running


async def test_a_silent_host_with_more_files_than_a_crawl_looks_at_holds_up_nobody(tmp_path: Path) -> None:
    """Files that were found and wait take memory, so they are limited, and pages wait for files at that limit."""
    async with Servers().open() as servers:
        _, well = servers.urls()
        many = [f"{servers.silent.url}/{number}.bin" for number in range(ROOM + 10)]

        async def page(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(0.02)
            links = "".join(f'<a href="{url}">file</a>' for url in well)
            step = int(request.path[1:])
            return web.Response(
                text=f'<a href="/{step + 1}">on</a>{links if step == 10 else ""}', content_type="text/html"
            )

        async with Host("127.0.0.4", page).open() as pages:
            tables = {"scope": {"hosts": ["127.0.0.3", "127.0.0.4"]}, "downloads": {"patterns": ["*.bin"]}}
            config = config_of(tmp_path, many, job={"seeds": [f"{pages.url}/0"]}, **tables)
            async with Crawl(config) as crawling:
                running = asyncio.create_task(crawling.run())
                await until_delivered(tmp_path, well)
                assert servers.answered == 0
                seen = crawling.snapshot()
                assert seen is not None
                assert seen.files_waiting + len(seen.files_under_way) == MOST_FILES
                crawling.stop()
                await asyncio.wait_for(running, 20)


async def test_files_wait_for_no_checksums_that_cannot_be_fetched_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host with all the files that it may have stands still, and what they wait for may be its next page."""
    monkeypatch.setattr(open_files, "Downloader", FakeDownloads(requests=0))
    names = [*(f"{number}.bin" for number in range(MOST_FILES + 10)), "SHA256SUMS"]

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path != "/":
            return web.Response(text="")
        return web.Response(text="".join(f'<a href="/{name}">file</a>' for name in names), content_type="text/html")

    async with Host("127.0.0.2", answer).open() as host:
        lower = ["SUMS$", "SHA256"]  # they are raised by themselves, so twice
        tables = {"scope": {"hosts": ["127.0.0.2"]}, "priority": {"lower": lower}, "downloads": {"patterns": ["*.bin"]}}
        config = config_of(tmp_path, [], job={"seeds": [f"{host.url}/"]}, **tables)
        async with asyncio.timeout(30), Crawl(config) as crawling:
            summary = await crawling.run()
    assert summary.exit_code == ExitCode.COMPLETE
    assert (summary.files, summary.pending) == (MOST_FILES + 10, 0)
