"""Kill a crawl at any instant, as often as you like: the same command ends with the records of an undisturbed run.

`CRAWLMILL_KILLS` says how many kills (30; `make torture` takes 1,000), `CRAWLMILL_SEED` repeats the instants of a run.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.crash_jobs import COMPLETE, Found, Job, Killer, Site, assert_no_duplicates, check_state, kill_group

KILLS = int(os.environ.get("CRAWLMILL_KILLS", "30"))
SEED = int(os.environ.get("CRAWLMILL_SEED", time.time_ns() % 1_000_000))


@dataclass(frozen=True)
class Reference:
    """An undisturbed run."""

    found: Found
    start_seconds: float
    run_seconds: float


@pytest.fixture(scope="session")
def reference(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Crawl once without a kill, and hold the result against the ground truth."""
    job = Job(tmp_path_factory.mktemp("reference") / "job", site)
    began = time.monotonic()
    assert job.finish() == COMPLETE, job.complaints()
    seconds = time.monotonic() - began
    found = job.found()
    assert_no_duplicates(found)
    by_url = {url: sha256 for url, _, sha256, _ in found.pages}
    pages = list(site.demo.expected().pages())
    assert {page.url for page in pages} <= by_url.keys()
    assert [page.url for page in pages if page.sha256 and by_url[page.url] != page.sha256] == []
    first = min(entry.start for entry in site.requests())
    return Reference(found, first - began, seconds)


class Torture:
    """Rounds of one job: killed until it is complete, compared with the reference, thrown away, begun anew."""

    def __init__(self, job: Job, reference: Reference, seed: int) -> None:
        self.job = job
        self.reference = reference
        self.killer = Killer(seed, reference.start_seconds, reference.run_seconds)
        self.kills = 0
        self.phases: Counter[str] = Counter()

    def run(self, kills: int) -> None:
        """Kill so often, and end with a complete job."""
        while self.kills < kills:
            self._round(kills)
            self.compare()
            self.job.remove()

    def _round(self, kills: int) -> None:
        before: dict[str, int] = {}
        while self.kills < kills:
            process = self.job.start()
            try:
                code = process.wait(self.killer.delay())
            except subprocess.TimeoutExpired:
                kill_group(process)
            else:
                assert code == COMPLETE, f"exit code {code}: {self.job.complaints()}"
                return
            self.kills += 1
            after = check_state(self.job)
            self.phases[_phase(before, after)] += 1
            for name in ("discovered", "done", "redirected", "failed", "skipped"):
                assert after.get(name, 0) >= before.get(name, 0), f"{name} went back: {before} {after}"
            before = after
        assert self.job.finish() == COMPLETE, self.job.complaints()

    def compare(self) -> None:
        """Hold the finished job against the undisturbed run."""
        check_state(self.job)
        found = self.job.found()
        assert found.pages == self.reference.found.pages
        assert found.errors == self.reference.found.errors
        assert found.skipped == self.reference.found.skipped


def _phase(before: dict[str, int], after: dict[str, int]) -> str:
    if not after:
        return "before the first commit"
    if not after.get("pending"):
        return "after the last commit"
    return "in recovery" if after == before else "crawling"


def test_kills_change_nothing(site: Site, reference: Reference, tmp_path: Path) -> None:
    print(f"CRAWLMILL_SEED={SEED} CRAWLMILL_KILLS={KILLS}")
    torture = Torture(Job(tmp_path / "job", site), reference, SEED)
    torture.run(KILLS)
    print(f"start {reference.start_seconds:.2f} s, run {reference.run_seconds:.2f} s, {dict(torture.phases)}")
