"""The door of the workers: whoever dials is taken in, or finds it closed; no socket is left open."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
from typing import Any, cast

import pytest

from crawler.download import DownloadOptions, crew
from crawler.download.crew import Crew
from crawler.fetch.options import FetchOptions


def nobody() -> Crew:
    """Return one without a worker."""
    return Crew(cast("Any", None), 0, FetchOptions(), DownloadOptions())


def dial(of: Crew) -> socket.socket:
    assert of._folder is not None
    dialled = socket.socket(socket.AF_UNIX)
    dialled.settimeout(10)
    dialled.connect(str(of._folder / "s"))
    return dialled


@pytest.mark.parametrize("turns", range(5))
async def test_who_dials_as_it_closes_is_hung_up_on(turns: int) -> None:
    """However far the loop has come with it: a small file may be done before the second worker has dialled."""
    async with nobody() as one:
        dialled = [dial(one) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
    for each in dialled:
        try:
            assert await asyncio.to_thread(each.recv, 1) == b""
        except ConnectionResetError:  # it was never accepted
            pass
        each.close()
    gc.collect()  # which finds a socket that nobody closed


async def test_without_a_descriptor_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not at once, all the time: who waits at the door makes it look."""
    looks = 0

    class Full(socket.socket):
        def accept(self) -> tuple[socket.socket, Any]:
            nonlocal looks
            looks += 1
            if looks == 1:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return super().accept()

    monkeypatch.setattr(crew, "ACCEPT_PAUSE", 0.05)
    monkeypatch.setattr("crawler.download.crew.socket.socket", Full)
    async with nobody() as one:
        monkeypatch.undo()
        dialled = dial(one)
        async with asyncio.timeout(20):
            while not one._strangers:  # noqa: ASYNC110 - the loop's own doing
                await asyncio.sleep(0.01)
    assert looks == 2
    dialled.close()
