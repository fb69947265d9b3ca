"""Patterns of the scope are the user's, and `re` backtracks: one without end may cost only the URLs it hangs on."""

from __future__ import annotations

import asyncio
import faulthandler
import time
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from crawler.config import loads
from crawler.engine.crawl import Crawl
from crawler.engine.lag import LagMeter
from crawler.errors import ExitCode

HANG = "a" * 40 + "!"
PAGES = {"/": f'<a href="/jump">jump</a> <a href="/fine">fine</a> <a href="/bad">bad</a> {HANG}'}


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """A page that links to a redirect, whose target is what the pattern hangs on, and to a page that links there."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/jump":
            return web.Response(status=302, headers={"Location": f"/{HANG}"})
        if request.path == "/bad":
            return web.Response(text=f'<a href="/{HANG}">x</a>', content_type="text/html")
        if request.path == "/robots.txt":
            return web.Response(status=404)
        return web.Response(text=PAGES.get(request.path, "<p>a page"), content_type="text/html")

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    place = web.TCPSite(runner, "127.0.0.1", 0)
    await place.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_pattern_without_end_costs_the_urls_it_hangs_on(site: str, tmp_path: Path) -> None:
    config = loads(f"""
[job]
seeds = ["{site}/", "{site}/{HANG}"]
out = "{tmp_path / "out"}"
max_failed_ratio = 1.0
[scope]
deny = ['/(a+)+$']
[fetch]
allow_addresses = ["127.0.0.0/8"]
[politeness]
delay = "0s"
per_host = 4
[cpu]
workers = 2
page_timeout = "0.3s"
""")
    # Asked on the loop, the pattern would hold the interpreter lock for ever, and no other timeout could end this.
    faulthandler.dump_traceback_later(25, exit=True)
    meter = LagMeter(asyncio.get_running_loop())
    meter.start()
    began = time.monotonic()
    async with Crawl(config) as crawl:
        summary = await crawl.run()
    meter.stop()
    faulthandler.cancel_dump_traceback_later()
    assert summary.exit_code == ExitCode.COMPLETE
    records = [orjson.loads(line) for line in (tmp_path / "out" / "pages.jsonl").read_bytes().splitlines()]
    assert {record["url"].removeprefix(site) for record in records} == {"/", "/jump", "/fine"}
    skipped = [orjson.loads(line) for line in (tmp_path / "out" / "skipped.jsonl").read_bytes().splitlines()]
    assert [(line["url"], line["reason"]) for line in skipped] == [(f"{site}/{HANG}", "pattern_timeout")]
    errors = [orjson.loads(line) for line in (tmp_path / "out" / "errors.jsonl").read_bytes().splitlines()]
    assert [(line["url"], line["reason"]) for line in errors] == [(f"{site}/bad", "parse_timeout")]
    assert time.monotonic() - began < 10
    assert meter.max_seconds < 0.25, "the loop itself never met the pattern"
