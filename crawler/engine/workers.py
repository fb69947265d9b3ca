"""Where the CPU work of a crawl runs: its own supervised processes, or any executor the caller brings.

Imports nothing heavy, so that the processes can be started before the rest of the program is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from crawler.config.sections import Cpu
from pipelines.cpus import available_cpus
from pipelines.errors import WorkerCrashed
from pipelines.page import Page, Processed
from pipelines.pool.pool import WorkerPool
from pipelines.work import WARM_UP_SECONDS, Address, prepare, process_batch

if TYPE_CHECKING:
    import asyncio

    from crawler.frontier.scope import Admitted, Scope
    from pipelines.url import CanonicalUrl

T = TypeVar("T")

BROKEN_TRIPS = 2
JUDGED_AT_ONCE = 1000
PRELOAD = ("pipelines.pipeline", "crawler.frontier.scope")


class Workers:
    """Runs batches through `loop.run_in_executor`. Owns the pool it made, never an executor that was given."""

    def __init__(self, options: Cpu, stages: Sequence[str] = (), executor: Executor | None = None) -> None:
        """`stages` names the user's, which each worker makes ready before its first page, outside of deadlines."""
        self._options = options
        self._foreign = executor
        limit = available_cpus(options.workers)
        self.count, self._why = limit.count, limit.why
        self._pool = None if executor is not None else _pool(self.count, options, stages)
        self._executor: Executor | None = executor
        self._is_warned = False

    def start(self) -> None:
        """Start the processes and return at once. Further calls do nothing."""
        if self._foreign is not None and not self._is_warned:
            import logging

            from pipelines.backends.foreign import warn_of

            self._is_warned = True
            warn_of(self._foreign, logging.getLogger(__name__))
        if self._pool is not None and self._executor is None:
            self._pool.start()
            self._executor = self._pool.executor(deadline=self._options.page_timeout)

    def process(
        self, spec: bytes, pages: Sequence[Page], slate: Address | None = None
    ) -> asyncio.Future[list[Processed]]:
        """Send one batch; the deadline of one page is that of the batch, whose pages are sent alone after it."""
        from asyncio import get_running_loop

        assert self._executor is not None, "started"
        return get_running_loop().run_in_executor(self._executor, process_batch, spec, pages, slate)

    async def decode(self, page: Page) -> bytes | None:
        """Return the body of a robots.txt without its content codings, capped; None when it breaks a worker twice."""
        from crawler.frontier.coded import decoded

        return await self._run(decoded, page)

    async def judge(self, scope: Scope, urls: Sequence[CanonicalUrl]) -> list[Admitted | str | None]:
        """Return what `scope` says of each URL; None where one of its patterns comes to no end.

        A scope without patterns answers here and now. With patterns it is asked in a worker: they are the user's, on
        URLs of strangers, in an engine that backtracks.
        """
        from crawler.frontier.scope import judge

        if not scope.has_patterns:
            return [*judge(scope, urls)]
        verdicts: list[Admitted | str | None] = []
        for start in range(0, len(urls), JUDGED_AT_ONCE):
            portion = urls[start : start + JUDGED_AT_ONCE]
            found = await self._run(judge, scope, portion)
            if found is not None:
                verdicts += found
            elif len(portion) == 1:
                verdicts.append(None)
            else:
                for url in portion:
                    verdicts += await self.judge(scope, [url])
        return verdicts

    async def _run(self, function: Callable[..., T], *args: object) -> T | None:
        """Run a small task; None when it crashes or hangs its worker twice. Once, somebody may have killed it."""
        from asyncio import get_running_loop

        assert self._executor is not None, "started"
        for _ in range(BROKEN_TRIPS):
            try:
                return await get_running_loop().run_in_executor(self._executor, function, *args)
            except (WorkerCrashed, TimeoutError):  # the task's own doing, or somebody killed the worker
                continue
        return None

    def report(self) -> dict[str, object]:
        """Return figures for the summary."""
        if self._pool is None:
            return {"executor": type(self._foreign).__name__}
        stats = self._pool.stats()
        return {
            "count": self.count,
            "why": self._why,
            "restarts": stats.restarts,
            "deaths": {str(cause.value): count for cause, count in stats.deaths.items()},
        }

    def busy(self) -> int:
        """Return how many workers are at work."""
        return self._pool.stats().busy if self._pool is not None else 0

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers alive; empty with an executor that was given."""
        return self._pool.pids if self._pool is not None else ()

    async def close(self) -> None:
        """End the processes. A crawl that closes them wants nothing more of them: what is still at work is killed."""
        if self._pool is not None:
            await self._pool.aclose(timeout=0.0)

    def kill(self) -> None:
        """End the processes now, from any thread and without an event loop: for a start that failed half-way."""
        if self._pool is not None:
            self._pool.kill()


def _pool(count: int, options: Cpu, stages: Sequence[str]) -> WorkerPool:
    """Return a pool without a spare: its start would take a core from a crawl of a second, and most lose no worker.

    A worker that is large between two batches makes room: a page of a few megabytes leaves holes behind.

    The user's modules are imported by each worker and not by the fork server: what they open, or draw from a random
    source, must not be shared.
    """
    return WorkerPool(
        count,
        preload=PRELOAD,
        initializer=partial(prepare, tuple(stages), WARM_UP_SECONDS) if stages else None,
        nice=options.nice,
        memory_limit=options.worker_memory,
        recycle_above=options.worker_memory // 2,
        spare=False,
        forkserver=True,
    )
