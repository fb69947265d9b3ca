"""A worker with an event loop of its own, for work that is half waiting and half computing.

    python examples/worker_loop.py

The worker runs `asyncio.run(visit(...))`: it opens its own connections and computes between two answers, and none of it
touches this loop. Cancelling here cancels the coroutine there, so that its `finally` blocks run.
"""

from __future__ import annotations

import asyncio

from cpu_work import visit

from pipelines.cpu import close_default_pool
from pipelines.in_worker import run_async_in_worker


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a server that says how long each line is."""
    while line := await reader.readline():
        writer.write(b"%d\n" % (len(line) - 1))
        await writer.drain()
    writer.close()


async def main() -> None:
    """Serve here, visit from two workers."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    async with server:
        results = await asyncio.gather(
            run_async_in_worker(visit, host, port, ["one", "three"]),
            run_async_in_worker(visit, host, port, ["seven", "eleven"], deadline=10.0),
        )
    for found in results:
        for word, number in found.items():
            print(f"{word}: {number}")
    await close_default_pool()


if __name__ == "__main__":
    asyncio.run(main())
