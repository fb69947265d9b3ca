"""The end of all tasks at once: ask, cancel, give up, each at its own moment, in as long as the slowest may take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.tasks.status import State, StopReport
from pipelines.tasks.supervised import Supervised

_log = logging.getLogger(__name__)


LAST_CHANCE_SECONDS = 0.05
"""After the cancellation, also for a task whose time passed while something blocked the loop."""


@dataclass(slots=True)
class _Ending:
    """What is left of a task's time; seconds on the loop's clock."""

    task: Supervised
    cancel_at: float
    until: float
    is_cancelled: bool = False


class Shutdown:
    """Asks every task to stop when it is made; `run` sees to it that they do."""

    def __init__(self, tasks: Sequence[Supervised], now: float) -> None:
        self._tasks = [task for task in tasks if task.is_alive]
        self._began = now
        self._left: list[_Ending] = []
        self._given_up: set[str] = set()
        for task in self._tasks:
            timeout = task.options.shutdown_timeout
            share = task.ask_to_stop()
            self._left.append(_Ending(task, now + share * timeout, now + timeout))

    def hurry(self) -> None:
        """Cancel at the next step what was left to end by itself."""
        for ending in self._left:
            ending.cancel_at = self._began

    def step(self, now: float) -> float | None:
        """Cancel and give up what is due; return when to step again, None when nothing is left."""
        self._left = [ending for ending in self._left if ending.task.is_alive]
        for ending in self._left:
            if ending.cancel_at <= now and not ending.is_cancelled:
                ending.is_cancelled = True
                ending.until = max(ending.until, now + LAST_CHANCE_SECONDS)
                ending.task.task.cancel()
            elif ending.until <= now:
                self._given_up.add(ending.task.name)
                ending.task.give_up()
        self._left = [ending for ending in self._left if ending.until > now]
        return min((end.until if end.is_cancelled else end.cancel_at for end in self._left), default=None)

    async def run(self) -> asyncio.CancelledError | None:
        """Return when every task has ended or was given up. When cancelled: hurry, go on, and return the cancellation.

        The caller owes that cancellation to whoever asked for it.
        """
        interrupted = None
        now = asyncio.get_running_loop().time
        while (at := self.step(now())) is not None:
            try:
                await asyncio.wait([ending.task.task for ending in self._left], timeout=at - now())
            except asyncio.CancelledError as exc:
                interrupted = exc
                self.hurry()
        return interrupted

    def report(self, now: float) -> StopReport:
        """Return how it went."""
        ends: dict[State, list[str]] = {state: [] for state in State}
        for task in self._tasks:  # one that was given up stays so, even if it ended a moment later
            state = State.STRAGGLER if task.name in self._given_up else task.status().state
            ends[state].append(task.name)
        report = StopReport(
            ended=tuple(ends[State.FINISHED]),
            cancelled=tuple(ends[State.STOPPED]),
            failed=tuple(ends[State.FAILED]),
            stragglers=tuple(ends[State.STRAGGLER]),
            seconds=now - self._began,
        )
        if report.stragglers:
            _log.error("stopped without waiting for: %s", ", ".join(report.stragglers))
        return report
