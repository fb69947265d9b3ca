"""A handful of pages that a test puts where it wants them, crawled in its own process; it tells what it was asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from crawler import Config, Crawl, Summary
from crawler.engine.clock import Clock
from crawler.testing import FaultServer, Reply, Request
from crawler.testing.bodies import Literal
from tests.support.engine_runs import Inline


class SmallWeb(FaultServer):
    """Three hosts with the same pages, each at a port of its own."""

    def put(self, path: str, *links: str, head: str = "", **fields: str) -> None:
        """Serve a page with these links; `head` is HTML, `fields` are header lines."""
        self.mount(path, lambda request: html(*links, head=head, **fields))

    def rules(self, text: str, path: str = "/robots.txt") -> None:
        """Serve a robots.txt on all hosts."""
        self.mount(path, lambda request: Reply(200, (("Content-Type", "text/plain"),), Literal(text.encode())))

    def asked(self, path: str | None = None, origin: int | None = None) -> list[Request]:
        """Return the requests so far; those for one path, or to one host."""
        return [
            request
            for request in self.requests
            if path in (None, request.path) and origin in (None, request.origin)
        ]  # fmt: skip

    def pages(self, origin: int | None = None) -> list[str]:
        """Return the targets asked for, in order, without robots.txt."""
        return [request.target for request in self.asked(origin=origin) if request.path != "/robots.txt"]

    def config(self, out: Path, **tables: Any) -> Config:
        """Return the config of a crawl of all three hosts from `/` of the first."""
        merged: dict[str, dict[str, Any]] = {
            "job": {"seeds": [self.url("/")], "out": str(out), "max_failed_ratio": 1.0},
            "scope": {"hosts": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]},
            "fetch": {"allow_addresses": ["127.0.0.0/8"], "retries": 1, "retry_delay": 0.01},
            "politeness": {"delay": 0, "per_host": 16},
        }
        more = {name: tables.pop(name) for name in ("origin", "download") if name in tables}
        for name, table in tables.items():
            merged.setdefault(name, {}).update(table)
        return Config(**merged, **more)


def html(*links: str, head: str = "", **fields: str) -> Reply:
    """Return a page with these links."""
    body = f"<!doctype html><head>{head}</head>" + "".join(f'<a href="{link}">a link</a>' for link in links)
    lines = tuple((name.replace("_", "-").title(), value) for name, value in fields.items())
    return Reply(200, (("Content-Type", "text/html; charset=utf-8"), *lines), Literal(body.encode()))


async def crawl(config: Config, clock: Clock | None = None) -> Summary:
    """Crawl to the end, without processes, and within a time that no pause here comes near to."""
    async with asyncio.timeout(20), Crawl(config, executor=Inline(), clock=clock) as crawling:
        return await crawling.run()
