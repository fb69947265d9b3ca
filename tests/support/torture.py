"""Rounds of one job, killed at random until it is complete, each compared with an undisturbed run."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from pathlib import Path

from tests.support.crash_jobs import (
    COMPLETE,
    Found,
    Job,
    Site,
    assert_no_duplicates,
    assert_ways_are_told,
    check_state,
    differences,
    kill_group,
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """What an undisturbed run found, and how long it took."""

    found: Found
    start_seconds: float
    """From the start of the process to its first request."""
    run_seconds: float

    @classmethod
    def of(cls, site: Site, folder: Path) -> Reference:
        """Crawl the site once, and hold the result against its ground truth."""
        job = Job(folder, site)
        known = len(site.requests())
        began = time.monotonic()
        assert job.finish() == COMPLETE, job.complaints()
        seconds = time.monotonic() - began
        found = job.found()
        assert_no_duplicates(found)
        by_url = {url: sha256 for url, _, sha256, _ in found.pages}
        pages = list(site.demo.expected().pages())
        assert [page.url for page in pages if page.sha256 != by_url[page.url]] == []
        return cls(found, min(entry.start for entry in site.requests(known)) - began, seconds)


class Killer:
    """Chooses when to kill: log-uniform over a run, which meets the short phases of its start, or uniform over what
    follows the start, where the commits are."""

    def __init__(self, seed: int, reference: Reference) -> None:
        self._random = random.Random(seed)
        self._start = reference.start_seconds
        self._run = reference.run_seconds

    def delay(self) -> float:
        """Return seconds after the start of the process."""
        if self._random.random() < 0.4:
            return exp(self._random.uniform(log(0.005), log(self._run)))
        return self._random.uniform(self._start, self._run)


class Torture:
    """Kills one job again and again; a job that is complete is compared, thrown away, and begun anew."""

    def __init__(
        self, job: Job, reference: Reference, seed: int, *, kill: Callable[[subprocess.Popen[bytes]], None] = kill_group
    ) -> None:
        self.job = job
        self.reference = reference
        self.killer = Killer(seed, reference)
        self.kill = kill
        self.kills = 0
        self.phases: Counter[str] = Counter()

    def run(self, kills: int, extra: Callable[[Job], None] = lambda job: None) -> None:
        """Kill so often, and end with a complete job. `extra` is called with each complete one."""
        while self.kills < kills:
            self.job.remove()
            self._round(kills)
            self.compare()
            extra(self.job)

    def _round(self, kills: int) -> None:
        before: dict[str, int] = {}
        while self.kills < kills:
            process = self.job.start()
            try:
                code = process.wait(self.killer.delay())
            except subprocess.TimeoutExpired:
                self.kill(process)
            else:
                assert code == COMPLETE, f"exit code {code}: {self.job.complaints()}"
                return
            self.kills += 1
            if self.kills % 100 == 0:
                print(f"{self.kills} kills", flush=True)
            after = check_state(self.job)
            self.phases[_phase(before, after)] += 1
            for name in ("discovered", "done", "redirected", "failed", "skipped", "files"):
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
        assert found.files == self.reference.found.files
        assert differences(found, self.reference.found) == {}
        assert_ways_are_told(found.records)


def _phase(before: dict[str, int], after: dict[str, int]) -> str:
    if not after:
        return "before the first commit"
    if not after.get("pending"):
        return "after the last commit"
    return "in start or recovery" if after == before else "crawling"
