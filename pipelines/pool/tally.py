"""What happened in a pool so far, counted."""

from __future__ import annotations

from collections import Counter

from pipelines.pool.channel import Frame
from pipelines.pool.crew import Crew
from pipelines.pool.frames import Kind
from pipelines.pool.outcome import Status
from pipelines.pool.stats import Death, PoolStats
from pipelines.pool.task import Task


class Tally:
    """Counts for one supervisor, with its lock held."""

    def __init__(self) -> None:
        self.deaths: Counter[Death] = Counter()
        self.cancelled = self.recycled = 0
        self._answers = [0] * (max(Kind) + 1)
        self._unwanted = 0
        self._losses: Counter[Status] = Counter()
        self._peak_rss = 0

    def answered(self, task: Task, frame: Frame) -> None:
        """Count a task that came back."""
        if task.future.is_unwanted:
            self._unwanted += 1  # and counted as cancelled
        else:
            self._answers[frame.kind] += 1
        if frame.peak_rss > self._peak_rss:
            self._peak_rss = frame.peak_rss

    def failed(self, status: Status) -> None:
        """Count a task that ended with its worker."""
        self._losses[status] += 1

    def look_at(self, crew: Crew) -> None:
        """Read how large the workers have been."""
        self._peak_rss = max([self._peak_rss, *(worker.process.peak_rss_bytes() for worker in crew.workers)])

    def stats(self, crew: Crew, restarts: int) -> PoolStats:
        """Return the figures, with those of this moment."""
        present = [worker for worker in crew.workers if not worker.is_spare]
        ok, errors, exhausted = (self._answers[kind] for kind in (Kind.VALUE, Kind.FAILURE, Kind.EXHAUSTED))
        return PoolStats(
            workers=len(present),
            ready=sum(worker.is_ready for worker in present),
            busy=sum(worker.running is not None for worker in present),
            spares=len(crew.workers) - len(present),
            queued=len(crew.queue) + sum(worker.waiting is not None for worker in present),
            queued_bytes=crew.queue.size,
            done=ok + errors + exhausted + self._unwanted,
            ok=ok,
            errors=errors,
            timeouts=self._losses[Status.TIMEOUT],
            crashes=self._losses[Status.CRASH],
            oom=exhausted + self._losses[Status.OOM],
            cancelled=self.cancelled,
            deaths={death: self.deaths[death] for death in Death},
            recycled=self.recycled,
            restarts=restarts,
            peak_rss_bytes=self._peak_rss,
        )
