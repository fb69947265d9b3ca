"""D61: what is meant for one origin is seen by no other, however the redirects go."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.testing.cases import named
from pipelines.pool.pool import WorkerPool
from tests.support.downloading import fetch, set_up


@pytest.mark.parametrize("name", ["D61", "D61-returns"])
@pytest.mark.parametrize("segments", [1, 8])
async def test_d61_authorization_is_for_its_origin(name: str, segments: int, tmp_path: Path, pool: WorkerPool) -> None:
    case = named(name)
    with set_up(case) as setting:
        ended = await fetch(case, setting, tmp_path / "out", pool, segments)
        seen = setting.server.requests
    assert ended.verdict == "right", ended.result
    assert {request.origin for request in seen} == {0, 1}
    for request in seen:
        assert (request.header("authorization") is None) is (request.origin == 1)
