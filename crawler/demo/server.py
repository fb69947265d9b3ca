"""Serves a `Demo` over HTTP/1.1 on loopback: a small protocol of its own.

Not aiohttp.web, for two reasons. On a machine that crawler and demo share, every microsecond the server takes is taken
from the crawl: an answer costs 80 µs of CPU here and 110 there, most of both for making up the page. And half the point
of the demo is to send what no proper server sends: half a body, a reset, a body in drips.

Only GET and HEAD are answered. There is no Date field: equal requests get equal bytes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import TracebackType

from crawler.demo.answer import Answer
from crawler.demo.connection import Connection
from crawler.demo.listen import listen
from crawler.demo.log import AccessLog
from crawler.demo.site import Demo


class DemoServer:
    """Serves a demo site while its context is open: `async with DemoServer(Demo(pages=100)) as server: ...`.

    `port=0` picks a free one; `server.demo` is the site at the real port, `server.url` its first page. Entries of the
    access log are in `server.log.entries` (unless `keep_log` is off) and in `log_file`, if one is given. Entering
    raises OSError when an address is taken or the log cannot be opened.
    """

    def __init__(
        self, demo: Demo | None = None, *, port: int = 0, log_file: Path | None = None, keep_log: bool = True
    ) -> None:
        self.demo = replace(demo or Demo(), port=port)
        self.log = AccessLog(log_file, keep=keep_log)
        self.connections: set[Connection] = set()
        self.numbers: Iterator[int] = count(1)
        self._servers: list[asyncio.Server] = []
        self._asked: Counter[tuple[str, str]] = Counter()

    @property
    def url(self) -> str:
        """The first page of the first host."""
        return self.demo.start_url

    @property
    def port(self) -> int:
        """The port all hosts listen on."""
        return self.demo.port

    def answer(self, host: str, target: str, accept: str) -> Answer:
        """Return the answer of the site, and count the request where that makes a difference."""
        if not self.demo.is_counted(host, target):
            return self.demo.answer(host, target, accept=accept)
        earlier = self._asked[host, target]
        self._asked[host, target] += 1
        return self.demo.answer(host, target, accept=accept, earlier=earlier)

    async def __aenter__(self) -> DemoServer:
        addresses = [name if name.startswith("127.") else "127.0.0.1" for name in self.demo.hosts_served]
        sockets = listen(sorted(set(addresses)), self.demo.port)
        try:
            self.log.open()
        except OSError:
            for sock in sockets:
                sock.close()
            raise
        self.demo = replace(self.demo, port=sockets[0].getsockname()[1])
        self.demo.warm()
        loop = asyncio.get_running_loop()
        for sock in sockets:
            self._servers.append(await loop.create_server(lambda: Connection(self), sock=sock))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)  # lets connection_lost run, which writes the last entries
        for server in self._servers:
            await server.wait_closed()
        self.log.close()
