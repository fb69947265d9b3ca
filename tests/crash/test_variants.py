"""The promise of test_kills.py under other settings, other deaths, and other ways to run a crawl."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.crash_jobs import (
    COMPLETE,
    LIMIT,
    ROOT,
    STALL_SECONDS,
    Job,
    Site,
    Tables,
    check_state,
    faults,
    kill_group,
    members,
    run_and_kill,
    shortest,
    wait_until,
)
from tests.support.phases import told
from tests.support.torture import Reference, Torture

SEED = int(os.environ.get("CRAWLMILL_SEED", time.time_ns() % 1_000_000))
KILLS = max(4, int(os.environ.get("CRAWLMILL_KILLS", "30")) // 10)


@pytest.fixture(autouse=True)
def tell_seed() -> None:
    """Say how to repeat a failure."""
    print(f"CRAWLMILL_SEED={SEED}")


@pytest.mark.parametrize("output", [{"compress": "zstd"}, {"bodies": True}], ids=["zstd", "bodies"])
def test_no_setting_of_the_output_weakens_it(
    output: dict[str, Any], small_site: Site, small_reference: Reference, tmp_path: Path
) -> None:
    torture = Torture(Job(tmp_path / "job", small_site, {"output": output}), small_reference, SEED)
    torture.run(KILLS, _check_bodies if "bodies" in output else lambda job: None)
    print(told(torture.phases))


def test_fewer_commits_do_not_weaken_it(site: Site, reference: Reference, tmp_path: Path) -> None:
    """One a second, so it takes the larger site to have some before the end."""
    torture = Torture(Job(tmp_path / "job", site, {"output": {"durability": "fast"}}), reference, SEED)
    torture.run(KILLS)
    print(told(torture.phases))


def _check_bodies(job: Job) -> None:
    """Every body a record names is there and is what its name says; nothing else has such a name."""
    records = map(orjson.loads, job.output("pages").read_bytes().splitlines())
    wanted = {record["sha256"] for record in records if record["sha256"]}
    files = {path.name: path for path in (job.out / "bodies").glob("??/??/*")}
    assert wanted == files.keys()
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == name
        assert path.parts[-3:-1] == (name[:2], name[2:4])
    assert list((job.out / "bodies" / ".parts").iterdir()) == []


def test_workers_do_not_outlive_a_parent_that_was_killed_alone(
    small_site: Site, small_reference: Reference, tmp_path: Path
) -> None:
    def kill(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait(10)
        assert wait_until(lambda: not members(process.pid), 2.0), "orphans after two seconds"

    torture = Torture(Job(tmp_path / "job", small_site), small_reference, SEED, kill=kill)
    torture.run(KILLS)


def test_a_worker_killed_by_hand_changes_nothing(site: Site, reference: Reference, tmp_path: Path) -> None:
    """Several times in one crawl, so that some die at work and some while idle or starting."""
    job = Job(tmp_path / "job", site)
    dice = random.Random(SEED)
    process = job.start()
    killed = 0
    until = time.monotonic() + 60.0
    try:
        while process.poll() is None and time.monotonic() < until:
            time.sleep(dice.uniform(0.05, 0.25))
            workers = sorted(members(process.pid) - {process.pid})
            if (
                workers and process.poll() is None and killed < 4
            ):  # five before one of them starts would be a crash loop
                os.kill(dice.choice(workers), signal.SIGKILL)
                killed += 1
        assert process.poll() == COMPLETE, job.complaints()
    finally:
        kill_group(process)
    assert killed >= 2
    Torture(job, reference, SEED).compare()


def test_a_limit_is_kept_over_kills_and_lifted_later(
    small_site: Site, small_reference: Reference, tmp_path: Path
) -> None:
    job = Job(tmp_path / "job", small_site)
    dice = random.Random(SEED)
    for limit in (50, 200):
        for _ in range(3):
            seconds = small_reference.start_seconds * dice.uniform(0.9, 2.0)
            assert run_and_kill(job, seconds, "--max-pages", str(limit)).get("done", 0) <= limit
        assert job.finish("--max-pages", str(limit)) == LIMIT
        assert check_state(job)["done"] == limit
    assert job.finish() == COMPLETE
    Torture(job, small_reference, SEED).compare()


CONSUMER = """
import asyncio, sys, tomllib
from crawler.config import load
from crawler.engine.crawl import Crawl

async def main():
    async with Crawl(load(sys.argv[1])) as crawl:
        async for record in crawl:
            print(record["url"], flush=True)
            await asyncio.sleep(0.0005)

asyncio.run(main())
"""


def test_a_consumer_that_is_killed_with_its_crawl_has_seen_durable_records_only(
    small_site: Site, small_reference: Reference, tmp_path: Path
) -> None:
    job = Job(tmp_path / "job", small_site)
    script = tmp_path / "consumer.py"
    script.write_text(CONSUMER)
    dice = random.Random(SEED)
    seen: set[str] = set()
    for number in range(4):
        command = [sys.executable, str(script), str(job.config)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, env=environment)
        try:
            out, _ = process.communicate(timeout=60 if number == 3 else dice.uniform(0.6, 2.0))
        except subprocess.TimeoutExpired:
            kill_group(process)
            out, _ = process.communicate()
        lines = out.decode().rpartition("\n")[0].splitlines()
        check_state(job)
        with job.state() as db:
            assert db is not None
            lengths = dict(db.execute("SELECT name, length FROM output"))
        recorded = {url for url, *_ in job.found(lengths).pages}
        assert not seen & set(lines), "told twice"
        assert len(lines) == len(set(lines))
        assert set(lines) <= recorded, "told before it was durable"
        seen |= set(lines)
    assert process.returncode == 0
    Torture(job, small_reference, SEED).compare()


def killed_and_finished(site: Site, job: Job, kills: int) -> None:
    """Crawl a site to the end, with some kills on the way; every page must be there."""
    dice = random.Random(SEED)
    for _ in range(kills):
        run_and_kill(job, dice.uniform(0.5, 1.5))
    assert job.finish() == COMPLETE, job.complaints()
    assert {page.url for page in site.demo.expected().pages()} == {url for url, *_ in job.found().pages}


def test_crawl_delay_is_kept_across_kills(tmp_path: Path) -> None:
    """A start takes less than the delay, so a run that did not wait at first would be seen."""
    arguments = ["--pages", "12", "--plain", "--crawl-delay", "1.0"]
    site = Site(tmp_path, *arguments, pages=12, cases=False, crawl_delay_seconds=1.0)
    try:
        killed_and_finished(site, Job(tmp_path / "job", site), 4)
        assert faults(site, site.requests(), per_host=16) == []
    finally:
        site.close()


def test_the_delay_and_the_limit_of_a_host_are_kept_across_kills(tmp_path: Path) -> None:
    arguments = ["--pages", "200", "--plain", "--crawl-delay", "0", "--delay", "0.08"]
    site = Site(tmp_path, *arguments, pages=200, cases=False, crawl_delay_seconds=0.0, delay_seconds=0.08)
    tables: Tables = {"politeness": {"per_host": 2, "delay": "50ms"}, "output": {"commit_interval": "50ms"}}
    try:
        killed_and_finished(site, Job(tmp_path / "job", site, tables), 4)
        assert faults(site, site.requests(), per_host=2) == []
        assert shortest(site.requests(), 10) >= 10 * 0.05 - STALL_SECONDS
    finally:
        site.close()
