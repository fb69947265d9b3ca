"""A store, and what it told its listener."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from crawler.frontier.request import Request
from crawler.store.group import Applied, Committed, Item, Recorded, Seeds
from crawler.store.store import Listener, Opened, Store, StoreOptions
from pipelines.url import CanonicalUrl
from tests.support.store_model import Link, link, processed

META = {"fingerprint_key": "00", "scope": "s"}


class Heard:
    """An open store, with everything it said."""

    store: Store
    opened: Opened

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.applied: list[Applied] = []
        self.committed: list[Item] = []
        self._groups = 0
        self.failures: list[BaseException] = []

    @classmethod
    async def open(cls, directory: Path, **options: Any) -> Heard:
        """Open a store; a commit interval of an hour leaves commits to `flush`."""
        heard = cls(directory)
        chosen = StoreOptions(**{"commit_interval": 3600.0, "durable": False} | options)
        heard.store, heard.opened = await Store.open(directory, chosen, heard.listener(), META)
        return heard

    def listener(self) -> Listener:
        """Return what writes down here what a store says."""
        return Listener(applied=self.applied.append, committed=self._commit, failed=self.failures.append)

    def _commit(self, groups: list[Committed]) -> None:
        for group in groups:
            items = self.applied[self._groups].items
            assert group.pages == [item.request.id for item in items if isinstance(item, Recorded)]
            self.committed += items
            self._groups += 1

    def rows(self) -> dict[str, Request]:
        """Return a request for every URL heard of as new."""
        found = {}
        for applied in self.applied:
            for _, priority, row_id, url, depth, via, *_ in applied.new:
                found[url] = Request(row_id, CanonicalUrl(url), url.split("/")[2], depth, priority, via)
        return found

    async def seed(self, *numbers: int) -> list[Request]:
        """Put seeds, commit, and return requests for them."""
        self.store.put(Seeds([link(number) for number in numbers], []))
        await self.store.flush()
        rows = self.rows()
        return [rows[link(number)[1]] for number in numbers]

    def put_page(self, request: Request, *links: Link, body: int = 1) -> Recorded:
        """Put a finished page."""
        item = Recorded(request, processed(request, list(links), [], body), 10)
        self.store.put(item)
        return item

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop run until something is true, for at most five seconds."""
        async with asyncio.timeout(5.0):
            while not condition():  # noqa: ASYNC110  # what is waited for has no event
                await asyncio.sleep(0.002)

    def lines(self, name: str = "pages") -> list[dict[str, Any]]:
        """Return what the output file holds, committed or not."""
        data = self.store.output_paths()[name].read_bytes()
        return [orjson.loads(line) for line in data.splitlines()]


OpenStore = Callable[..., Awaitable[Heard]]
