"""A store with somebody who listens to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.store_listener import Heard, OpenStore


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Open stores in one folder; those still open at the end are abandoned."""
    opened: list[Heard] = []

    async def open_one(**options: object) -> Heard:
        opened.append(await Heard.open(tmp_path, **options))
        return opened[-1]

    yield open_one
    for heard in opened:
        await heard.store.abandon()
