"""What a user's stage needs to get ready is done once for each worker, before any page has a deadline to break."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from crawler import Crawl
from crawler.engine import workers
from crawler.errors import ConfigError, ExitCode, WorkersError
from tests.support.crash_jobs import Site
from tests.support.engine_runs import Belongings, Tables, config_for, lines


def tables_for(*stages: str) -> Tables:
    """Return a config with a deadline that is half of what the slow stages take."""
    return {"parse": {"stages": list(stages)}, "cpu": {"page_timeout": 0.5, "workers": 2}, "job": {"max_pages": 20}}


@pytest.mark.parametrize("stage", ["mark", "Slow"], ids=["a slow import", "a slow constructor too"])
async def test_a_stage_that_is_slow_to_get_ready_costs_no_page(stage: str, plain_site: Site, tmp_path: Path) -> None:
    before = Belongings()
    config = config_for(plain_site, tmp_path / "out", tables_for(f"tests.support.slow_stages:{stage}"))
    async with Crawl(config) as crawl:
        summary = await crawl.run()
    assert lines(tmp_path / "out", "errors") == []
    assert {line["mark"] for line in lines(tmp_path / "out")} == {1}, "made once"
    assert summary.exit_code == ExitCode.LIMIT
    told = summary.run["workers"]
    assert isinstance(told, dict)
    assert not any(told["deaths"].values())
    before.assert_same()


async def test_a_stage_that_is_named_twice_is_made_twice_before_the_first_page(
    plain_site: Site, tmp_path: Path
) -> None:
    stages = ["tests.support.slow_stages:Slow"] * 2
    async with Crawl(config_for(plain_site, tmp_path / "out", tables_for(*stages))) as crawl:
        await crawl.run()
    assert {line["mark"] for line in lines(tmp_path / "out")} == {2}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise LookupError('no model')", "cannot import {name}: LookupError: no model"),
        ("import time\ntime.sleep(1.0)\nraise LookupError('no model')", "LookupError: no model"),
        ("import nowhere_to_be_found", "which is not installed here"),
        ("def other(doc): ...", "has no 'mark'"),
        ("class mark:\n    def __init__(self): raise OSError('no weights')", "raised OSError: no weights"),
    ],
    ids=["raises", "raises late", "lacks a library", "has another name", "cannot be constructed"],
)
async def test_a_stage_that_cannot_be_had_is_a_problem_of_the_config_and_not_of_the_workers(
    code: str, text: str, plain_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where finding out takes longer than a page may."""
    name = f"stages_{len(code)}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    before = Belongings()
    with pytest.raises(ConfigError) as caught:
        async with Crawl(config_for(plain_site, tmp_path / "out", tables_for(f"{name}:mark"))) as crawl:
            await crawl.run()
    assert [problem.key for problem in caught.value.problems] == ["parse.stages"]
    assert text.format(name=name) in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE
    before.assert_same()


async def test_a_stage_that_never_gets_ready_ends_the_run_and_names_the_line(
    plain_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "endless_stages.py").write_text("sum(iter(int, 1))\n")  # holds the interpreter lock
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(workers, "WARM_UP_SECONDS", 0.2)  # nobody waits for two minutes
    before = Belongings()
    config = config_for(plain_site, tmp_path / "out", tables_for("endless_stages:mark"))
    with pytest.raises(WorkersError, match=r"(?s)do not start.*Timeout.*endless_stages\.py\", line 1"):
        async with asyncio.timeout(20), Crawl(config) as crawl:
            await crawl.run()
    before.assert_same()
