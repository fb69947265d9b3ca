"""What happens in a worker costs its own page at most; what happens to a worker costs nothing."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from crawler import Config, Crawl
from crawler.errors import ExitCode, WorkersError
from crawler.frontier.coded import decoded
from pipelines.errors import WorkerCrashed
from tests.support.crash_jobs import TABLES, Site
from tests.support.engine_runs import Belongings, Tables, config_for, lines


@pytest.mark.parametrize(
    ("stage", "reason", "deaths"),
    [
        ("die", "parse_crash", {"crash": 2}),
        ("hang", "parse_timeout", {"timeout": 2}),
        ("spin", "parse_timeout", {"timeout": 2}),
        ("throw", "parse_error", {}),
    ],
)
async def test_a_page_that_breaks_its_worker_costs_itself_only(
    stage: str, reason: str, deaths: dict[str, int], plain_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Belongings()
    evil = plain_site.demo.graph.url(119)  # the last one: no page is found through it alone
    monkeypatch.setenv("HOSTILE_PAGE", evil.split("/", 3)[3])
    tables: Tables = {
        "parse": {"stages": [f"tests.support.hostile_stages:{stage}"]},
        "cpu": {"page_timeout": 0.4, "workers": 2},
    }
    async with Crawl(config_for(plain_site, tmp_path / "out", tables)) as crawl:
        summary = await crawl.run()
    assert [(line["url"], line["reason"]) for line in lines(tmp_path / "out", "errors")] == [(evil, reason)]
    expected = {page.url for page in plain_site.demo.expected().pages()}
    found = Counter(line["url"] for line in lines(tmp_path / "out"))
    assert set(found) == expected - {evil}
    assert set(found.values()) == {1}
    assert summary.failed == 1
    assert summary.adds_up()
    told: Any = summary.run["workers"]
    for cause, least in deaths.items():
        assert told["deaths"][cause] >= least
    before.assert_same()


async def test_workers_that_die_all_the_time_lose_no_page(
    plain_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of the pages kills its worker, but only the first time: each is tried again, its neighbours too."""
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("HOSTILE_MARKS", str(marks))
    tables = {"parse": {"stages": ["tests.support.hostile_stages:dies_sometimes"]}}
    async with Crawl(config_for(plain_site, tmp_path / "out", tables)) as crawl:
        summary = await crawl.run()
    assert summary.exit_code == ExitCode.COMPLETE
    assert lines(tmp_path / "out", "errors") == []
    expected = Counter(page.url for page in plain_site.demo.expected().pages())
    assert Counter(line["url"] for line in lines(tmp_path / "out")) == expected


async def test_workers_that_cannot_live_end_the_run_with_what_was_recorded(plain_site: Site, tmp_path: Path) -> None:
    before = Belongings()
    tables = {"parse": {"stages": ["tests.support.hostile_stages:die_always"]}}
    with pytest.raises(WorkersError, match=r"workers cannot go on.*same command goes on") as caught:
        async with Crawl(config_for(plain_site, tmp_path / "out", tables)) as crawl:
            await crawl.run()
    assert caught.value.exit_code == ExitCode.INTERNAL
    before.assert_same()
    async with Crawl(config_for(plain_site, tmp_path / "out")) as crawl:
        summary = await crawl.run()
    assert summary.done + summary.failed == 120
    assert summary.adds_up()


async def test_an_executor_that_was_closed_is_reported_and_waited_for_by_nobody(
    plain_site: Site, tmp_path: Path
) -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        async with asyncio.timeout(10), Crawl(config_for(plain_site, tmp_path / "out"), executor=executor) as crawl:
            await crawl.run()


class Breaking(ThreadPoolExecutor):
    """Threads that lose the worker under a robots.txt some times."""

    def __init__(self, times: int) -> None:
        super().__init__(1)
        self.times = times

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if fn is not decoded or self.times == 0:
            return super().submit(fn, *args, **kwargs)
        self.times -= 1
        future: Future[Any] = Future()
        future.set_exception(WorkerCrashed("somebody killed it"))
        return future


@pytest.mark.parametrize(
    ("times", "pages", "reason"), [(0, 1, "robots"), (1, 1, "robots"), (2, 0, "robots_unavailable")]
)
async def test_a_worker_lost_under_a_robots_txt_costs_a_try(
    times: int, pages: int, reason: str, tmp_path: Path
) -> None:
    """Twice, and the rules are unknown, which forbids the host (RFC 9309 2.3.1.4); the crawl goes on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        body, coding = b"<a href='/no'>x</a>", b""
        if target == b"/robots.txt":
            body, coding = gzip.compress(b"User-agent: *\nDisallow: /no\n"), b"Content-Encoding: gzip\r\n"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n%bContent-Length: %d\r\n\r\n"
        writer.write(head % (coding, len(body)) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seed = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    config = Config(job={"seeds": [seed], "out": tmp_path / "out"}, **TABLES)
    with Breaking(times) as executor:
        async with Crawl(config, executor=executor) as crawl:
            await crawl.run()
    server.close()
    await server.wait_closed()
    assert len(lines(tmp_path / "out")) == pages
    assert {line["reason"] for line in lines(tmp_path / "out", "skipped")} == {reason}
