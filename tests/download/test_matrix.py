"""D1 to D124 against our downloader, in segments and not: right bytes, or a reason and no file. Never wrong.

With 1 and 8 connections; `make torture` (CRAWLMILL_SEGMENTS=1,2,8) with 2 as well, which takes two minutes more.

Each case is one script of the catalogue in `crawler/testing/cases`; `test_catalogue.py` looks after those that no
server can show.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from crawler.testing.cases import CASES, Case
from pipelines.pool.pool import WorkerPool
from tests.support.downloading import SPARE_BYTES, check, fetch, heal, set_up

SEGMENTS = [int(number) for number in os.environ.get("CRAWLMILL_SEGMENTS", "1,8").split(",")]
ELSEWHERE = {"D65", "D101"}  # D65: names, in test_named.py; D101: test_budget.py

SUSPECT = {"changed", "changed_too_often", "seam_mismatch", "digest_mismatch"}  # what came before is not all believed


def rows() -> list[pytest.param]:  # type: ignore[valid-type]  # pytest.param is a function; its type is private
    """List each case with each number of segments; what takes long with the last one only."""
    return [
        pytest.param(case, segments, id=f"{case.name}-{segments}", marks=[pytest.mark.slow] if case.is_slow else [])
        for case in CASES
        if case.id not in ELSEWHERE
        for segments in (SEGMENTS[-1:] if case.is_slow else SEGMENTS)
    ]


def can_run(case: Case) -> bool:
    """Tell whether this machine has what a case needs."""
    if not any(":" in origin.address for origin in case.origins):
        return True
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(("case", "segments"), rows())
async def test_right_or_absent(case: Case, segments: int, tmp_path: Path, pool: WorkerPool) -> None:
    """And when it failed: the same download succeeds once the server is well, without asking again for what it has."""
    if not can_run(case):
        pytest.skip("this machine has no IPv6")
    root = tmp_path / "out"
    with set_up(case) as setting:
        ended = await fetch(case, setting, root, pool, segments)
        check(case, setting, ended, root)
        if ended.result.fault is None or case.name == "D69-certificate":
            return
        heal(setting)
        setting.url, setting.mirrors = setting.server.url("/data.bin"), []
        sent = setting.server.sent
        again = await fetch(case, setting, root, pool, segments)
        assert again.verdict == "right", again.result
        resumed = 0 if ended.result.fault in SUSPECT else again.result.resumed_bytes
        assert not resumed or setting.server.sent - sent <= case.size - resumed + SPARE_BYTES, again.result
