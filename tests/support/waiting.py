"""Waiting for what happens elsewhere, in the server's thread or in other processes: for as long as it takes."""

from __future__ import annotations

import asyncio

from crawler.testing.faultserver import FaultServer

LIMIT_SECONDS = 60.0
"""For a machine that has much else to do; an idle one needs a hundredth."""


async def bytes_sent(server: FaultServer, count: int) -> None:
    """Wait until the bodies of a server's answers have come to so many bytes. Raises TimeoutError."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while server.sent < count:  # noqa: ASYNC110 - the server counts in a thread of its own
            await asyncio.sleep(0.01)
