"""In which phase of its life a job was killed, told by what it left; and how to kill it in a phase that is wanted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import orjson

from tests.support.crash_jobs import OUTPUTS, Job

LOOK_SECONDS = 0.0002  # between two looks: what lies between the write and the commit may take no longer than this
TAIL_BYTES = 32 << 10
"""Of a log of requests: more than what is under way at once."""


class Phase(Enum):
    """What a job was doing. Told by what is on disk and by what its site was asked, not by time."""

    START_UP = "start-up"
    """It had not opened its state yet."""
    BEFORE_THE_FIRST_COMMIT = "before the first commit"
    """It had a state, and nothing in it."""
    RECOVERY = "recovery"
    """It had opened the state of an earlier run and asked nobody for anything yet."""
    CRAWLING = "crawling"
    COMMIT = "commit"
    """Lines were written that the state did not count yet."""
    AFTER_THE_LAST_COMMIT = "after the last commit"

    def can_follow(self, before: Left) -> bool:
        """Tell whether a run that finds this can come into the phase."""
        if self is Phase.BEFORE_THE_FIRST_COMMIT:
            return not before.counters
        return self is not Phase.RECOVERY or bool(before.counters)


PROMISED = (Phase.START_UP, Phase.BEFORE_THE_FIRST_COMMIT, Phase.RECOVERY, Phase.CRAWLING, Phase.COMMIT)
"""In docs/promises.md, by name."""


def told(hits: Mapping[Phase, int]) -> str:
    """Return for a person how often each phase was hit."""
    return ", ".join(f"{count} in {phase.value}" for phase, count in hits.items())


class Left(NamedTuple):
    """What a run left behind, or has until now."""

    runs: int
    """That have opened the state."""
    counters: Mapping[str, int]
    uncounted: int
    """Bytes of outputs behind what is committed."""
    asked_at: float
    """When the last request came that the site has in its log."""


def left_by(job: Job) -> Left:
    """Look at what is on disk. A job that is still there must be stopped."""
    asked_at = _last_request(job.site.log_file)
    with job.state() as db:
        if db is None:
            return Left(0, {}, 0, asked_at)
        (runs,) = db.execute("SELECT count(*) FROM run").fetchone()
        counters = dict(db.execute("SELECT name, value FROM counter"))
        lengths = dict(db.execute("SELECT name, length FROM output"))
    sizes = {name: job.output(name).stat().st_size for name in OUTPUTS if job.output(name).exists()}
    return Left(runs, counters, sum(size - lengths.get(name, 0) for name, size in sizes.items()), asked_at)


def _last_request(log: Path) -> float:
    """Return when the last request of a log began; of its end, since it grows by thousands of lines a run."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = file.read().splitlines()
    return max((orjson.loads(line)["start"] for line in lines[1:-1]), default=0.0)


def phase_of(before: Left, after: Left, began: float) -> Phase:
    """Return the phase of a run that began at `began`, found `before` and left `after`."""
    if after.runs == before.runs:
        return Phase.START_UP
    if not after.counters:
        return Phase.BEFORE_THE_FIRST_COMMIT
    if before.counters and after.asked_at < began:
        return Phase.RECOVERY
    if after.uncounted:
        return Phase.COMMIT
    return Phase.CRAWLING if after.counters["pending"] else Phase.AFTER_THE_LAST_COMMIT


class Aim:
    """Stops a running job in a phase. One for each run."""

    def __init__(self, job: Job, process: subprocess.Popen[bytes], before: Left, began: float) -> None:
        self._job = job
        self._process = process
        self._before = before
        self._began = began
        self._last = self._trace()

    def stop_in(self, phase: Phase) -> bool:
        """Wait for the phase and leave the job stopped in it; False when the job has come to its end."""
        while True:
            if phase is not Phase.START_UP and not self._sees_change(phase):
                return False
            if not self._stop():
                return False
            if phase_of(self._before, left_by(self._job), self._began) is phase:
                return True
            os.killpg(self._process.pid, signal.SIGCONT)

    def _stop(self) -> bool:
        """Stop all processes of the job, and wait until no thread of the first runs; False when that has ended."""
        pid = self._process.pid
        os.killpg(pid, signal.SIGSTOP)
        how = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)  # an end is for `Popen` to take
        if how is None or how.si_code != os.CLD_STOPPED:
            return False
        os.waitid(os.P_PID, pid, os.WSTOPPED)  # or the next stop would find this one again
        return True

    def _sees_change(self, phase: Phase) -> bool:
        """Wait until something changes on disk that the phase changes; False when the job has come to its end."""
        while self._process.poll() is None:
            trace = self._trace()
            last, self._last = self._last, trace
            if trace[phase is Phase.COMMIT] != last[phase is Phase.COMMIT]:
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def _trace(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Return what changes with a commit, and what just before one."""
        state = (self._job.out / "state.sqlite3", self._job.out / "state.sqlite3-wal")
        return _sizes(*state), _sizes(*map(self._job.output, OUTPUTS))


def _sizes(*paths: Path) -> tuple[tuple[int, int], ...]:
    """Return what of files tells that they were written to."""
    known = [path.stat() if path.exists() else None for path in paths]
    return tuple((stat.st_size, stat.st_mtime_ns) if stat else (-1, 0) for stat in known)
