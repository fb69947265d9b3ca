"""Rounds of one job, killed at random until it is complete, each compared with an undisturbed run.

Chance alone would leave it to the day which phases of a crawl are killed. So some kills are aimed at a phase: the job
is stopped where the phase shows from outside, what is on disk is looked at, and it is killed there or sent on.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection
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
)
from tests.support.phases import Aim, Left, Phase, left_by, phase_of

MOST_MISSES = 20
"""Of an aim, before it is called out of reach: each is a run of the job that came to its end."""


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

    def tosses(self) -> bool:
        """Return what a coin says."""
        return self._random.random() < 0.5

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
        self.phases: Counter[Phase] = Counter()
        self._aims: list[Phase] = []
        self._misses = 0

    def run(self, kills: int, extra: Callable[[Job], None] = lambda job: None, *, aims: Collection[Phase] = ()) -> None:
        """Kill so often, and end with a complete job. `extra` is called with each complete one.

        Of the kills, a third is aimed at the phases `aims`, at least one at each: they have been hit for certain.
        """
        self._aims = list(aims) * max(1, kills // (3 * max(1, len(aims))))
        while self.kills < kills or self._aims:
            self.job.remove()
            self._round(kills)
            self.compare()
            extra(self.job)

    def _round(self, kills: int) -> None:
        before = left_by(self.job)
        while self.kills < kills or self._aims:
            aim = self._take_aim(before, is_last=self.kills >= kills)
            began = time.monotonic()
            process = self.job.start()
            if not self._killed(process, aim, Aim(self.job, process, before, began)):
                return
            self.kills += 1
            if self.kills % 100 == 0:
                print(f"{self.kills} kills", flush=True)
            check_state(self.job)
            after = left_by(self.job)
            phase = phase_of(before, after, began)
            self.phases[phase] += 1
            if aim is not None:
                assert phase is aim, f"{aim} was seen, and {phase} is what was left: {before} {after}"
            for name in ("discovered", "done", "redirected", "failed", "skipped", "files"):
                assert after.counters.get(name, 0) >= before.counters.get(name, 0), (
                    f"{name} went back: {before} {after}"
                )
            before = after
        assert self.job.finish() == COMPLETE, self.job.complaints()

    def _take_aim(self, before: Left, *, is_last: bool) -> Phase | None:
        """Return what the next kill is aimed at, if at anything: as often as not, and all that is left at the end."""
        possible = [phase for phase in self._aims if phase.can_follow(before)]
        if not possible or not (is_last or self.killer.tosses()):
            return None
        return possible[0]

    def _killed(self, process: subprocess.Popen[bytes], phase: Phase | None, aim: Aim) -> bool:
        """Kill a job that has been started; False when it came to its end first."""
        if phase is None:
            try:
                code = process.wait(self.killer.delay())
            except subprocess.TimeoutExpired:
                self.kill(process)
                return True
        elif aim.stop_in(phase):
            self.kill(process)
            self._aims.remove(phase)
            return True
        else:
            self._misses += 1
            assert self._misses <= MOST_MISSES, f"{phase} was never seen"
            code = process.wait(60.0)
        assert code == COMPLETE, f"exit code {code}: {self.job.complaints()}"
        return False

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
