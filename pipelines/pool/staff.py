"""Who is hired, promoted and let go, so that `size` workers are at work and one more is warm.

The spare is started when all others are ready, so it never competes with them at the start. When a worker dies the
spare takes its place at once, and a new spare warms up in the background. A worker that is to be recycled works on
until its successor is ready; then it is released, and ends after the task it runs.
"""

from __future__ import annotations

from math import inf

from pipelines.pool.crew import Crew, Worker
from pipelines.pool.plan import Plan


class Staff:
    """Decides for one crew. Every method must be called with the supervisor's lock held."""

    def __init__(self, plan: Plan, crew: Crew) -> None:
        self._plan = plan
        self._crew = crew
        self._joined = 0  # workers put to work
        self.retry_at = 0.0  # no start before; monotonic seconds
        self.start_at = 0.0  # when `arrange` is due even though nobody came or left

    @property
    def restarts(self) -> int:
        """Workers put to work beyond the first ones."""
        return max(0, self._joined - self._plan.size)

    def arrange(self, now: float, *, may_start: bool) -> list[bool]:
        """Promote and release; return one entry per process to be started, saying whether it is a spare."""
        crew, size = self._crew, self._plan.size
        present = [worker for worker in crew.workers if not worker.is_retired]
        spares = sorted((worker for worker in present if worker.is_spare), key=lambda spare: spare.is_ready)
        at_work = [worker for worker in present if not worker.is_spare and not worker.is_leaving]
        while spares and len(at_work) < size:
            at_work.append(spares.pop())
            crew.promote(at_work[-1])
            self._joined += 1
        is_complete = sum(worker.is_ready for worker in at_work) >= size
        if is_complete:
            for worker in present:
                if worker.is_leaving:
                    crew.release(worker)
        crew.has_changed = False
        self.start_at = inf
        missing = [False] * (size - len(at_work))
        if self._plan.has_spare and is_complete and not spares:
            missing.append(True)
        if not missing or not may_start:
            return []
        if now < self.retry_at:
            self.start_at = self.retry_at
            return []
        return missing

    def add(self, worker: Worker) -> None:
        """Take a process that was started."""
        self._crew.add(worker)
        self._joined += not worker.is_spare

    def failed(self, now: float, pause_seconds: float) -> None:
        """Note that a start failed; the next one is after a pause."""
        self.retry_at = now + pause_seconds
        self._crew.has_changed = True
