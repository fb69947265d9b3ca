"""D65: whatever a server calls its file, it lands below the root, under a harmless name; nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.testing.bodies import damage
from crawler.testing.cases import CASES, Case
from crawler.testing.oracle import strays
from pipelines.pool.pool import WorkerPool
from tests.support.downloading import fetch, set_up


@pytest.mark.parametrize("case", [case for case in CASES if case.id == "D65"], ids=lambda case: case.name)
async def test_d65_unsafe_names(case: Case, tmp_path: Path, pool: WorkerPool) -> None:
    root = tmp_path / "deep" / "out"
    before = tmp_path / "deep" / "neighbour"
    before.parent.mkdir()
    before.write_text("mine")
    with set_up(case) as setting:
        ended = await fetch(case, setting, root, pool, 2, name=None)
        body = setting.file.body
    assert ended.result.fault is None, ended.result
    assert ended.result.path is not None
    target = root / ended.result.path
    assert target.resolve().is_relative_to(root.resolve())
    assert damage(target, body) == []
    name = target.name
    assert not name.startswith(".")
    assert len(name.encode()) <= 255
    assert not set(name) & set('/\\\0<>:"|?*\u202e\n')
    assert name.split(".")[0].upper() not in ("CON", "NUL", "AUX", "PRN", "")
    assert strays(tmp_path, [root]) == [before]
    assert sorted(path.name for path in root.iterdir()) == sorted([".crawlmill", name])


async def test_d65_a_clash_of_names_replaces_nothing(tmp_path: Path, pool: WorkerPool) -> None:
    """Two downloads whose server gives them one name: both are there, and neither has the other's bytes."""
    case = next(case for case in CASES if case.name == "D65-folder")
    root = tmp_path / "out"
    names = []
    for _ in range(2):
        with set_up(case) as setting:  # another port each time: another URL
            ended = await fetch(case, setting, root, pool, 2, name=None)
            assert ended.result.fault is None, ended.result
            assert ended.result.path is not None
            names.append(ended.result.path)
            assert damage(root / ended.result.path, setting.file.body) == []
    assert len(set(names)) == 2
