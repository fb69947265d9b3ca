"""`Crawl`: one crawl as a thing a program can hold: opened, run or iterated, stopped, closed.

    async with Crawl(config) as crawl:
        async for record in crawl:
            print(record["url"], record["sha256"])

Everything it makes it owns, and nothing of it is global: several crawls run in one event loop, and leaving the block,
also by cancellation, leaves no task, process, thread or file descriptor behind.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import AsyncExitStack
from time import monotonic
from types import TracebackType
from typing import Any, Self

import orjson

from crawler.config import Config
from crawler.engine import assemble
from crawler.engine.build import build_engine, seeds_of
from crawler.engine.clock import Clock
from crawler.engine.lag import LagMeter
from crawler.engine.loop import Engine
from crawler.engine.snapshot import Snapshot, snapshot_of
from crawler.engine.summarize import summarize
from crawler.engine.summary import Summary, write_summary
from crawler.engine.workers import Workers
from crawler.errors import ConfigError, ExitCode, Problem, StateError, WorkersError
from crawler.frontier.reasons import Reason
from crawler.job.lock import JobLock
from crawler.store.group import Applied, Committed
from crawler.store.store import Listener, Opened, Store
from pipelines.errors import PoolBroken, StageError

DRAIN_SECONDS = 10.0  # after a stop, what is in flight may take this long to end


class Crawl:
    """One run of a job. Enter it, then either `await run()` or iterate over it; once."""

    def __init__(
        self,
        config: Config,
        *,
        executor: Executor | None = None,
        workers: Workers | None = None,
        accept_changes: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """`executor` runs the CPU work instead of the crawl's own worker processes, and stays the caller's to close.

        `accept_changes` resumes a job whose scope was changed since its last run; what was crawled stays.
        """
        self._config = config
        self._workers = workers or Workers(config.cpu, config.parse.stages, executor)
        self._accept_changes = accept_changes
        self._clock = clock
        self._stack: AsyncExitStack
        self._store: Store | None = None
        self._engine: Engine | None = None
        self._main: asyncio.Task[bool] | None = None
        self._drain: asyncio.TimerHandle | None = None
        self._stop_code: ExitCode | None = None
        self._runner: asyncio.Task[Summary] | None = None  # only when iterated over
        self._groups: asyncio.Queue[Committed | None] = asyncio.Queue()  # committed and not yet consumed
        self._current: Committed | None = None
        self._lines: deque[bytes] = deque()  # of the current group
        self._store_error: Exception | None = None
        self._started = monotonic()
        self.summary: Summary | None = None
        """How the run ended; None before."""

    async def __aenter__(self) -> Self:
        out = self._config.job.out
        async with AsyncExitStack() as stack:
            try:
                out.mkdir(parents=True, exist_ok=True)
                stack.enter_context(JobLock(out))
            except OSError as exc:
                text = f"{out}: cannot be used as output directory: {exc.strerror or exc}"
                raise StateError(f"{text}; make room or mend the disk, or choose another job.out") from exc
            stack.push_async_callback(self._workers.close)
            self._workers.start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._runner is not None:
                await _end(self._runner)
        finally:
            await self._stack.aclose()

    async def run(self) -> Summary:
        """Crawl to the end. Cancelling it is safe.

        Raises ConfigError, StateError, WorkersError; a bug in here passes as it is.
        """
        return await self._run(keep_lines=False)

    def __aiter__(self) -> Self:
        """Yield every record once it is durable. A slow consumer slows the crawl.

        A loop that was left can be entered again and goes on with the next record. The crawl ends with the block.
        """
        return self

    async def __anext__(self) -> dict[str, Any]:
        """Return the next record; raises what `run` raises, after the last one."""
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(keep_lines=True))
            self._runner.add_done_callback(lambda _: self._groups.put_nowait(None))
        while not self._lines:
            self._consumed()
            self._current = await self._groups.get()
            if self._current is None:
                self._groups.put_nowait(None)  # for whoever asks again
                await asyncio.shield(self._runner)
                raise StopAsyncIteration
            self._lines.extend(self._current.lines)
        record: dict[str, Any] = orjson.loads(self._lines.popleft())
        return record

    def _consumed(self) -> None:
        if self._current is not None and self._engine is not None:
            self._engine.release([self._current])
        self._current = None

    def stop(self, code: ExitCode = ExitCode.INTERRUPTED) -> None:
        """Start nothing new and end within ten seconds; a second call ends at once. What was not done stays pending."""
        first = self._stop_code is None
        self._stop_code = code if first else self._stop_code
        if self._main is None or self._engine is None:
            return
        if first:
            self._engine.stop()
            self._drain = asyncio.get_running_loop().call_later(DRAIN_SECONDS, self._main.cancel)
        else:
            self._main.cancel()

    def snapshot(self, *, hosts: int = 5) -> Snapshot | None:
        """Return the figures of this moment, with the busiest `hosts`; None until the state is open.

        For the event loop's thread. Waits for nothing; takes 0.3 ms, and 0.6 ms more with 4,096 hosts in memory.
        """
        if self._engine is None or self._store is None:
            return None
        seconds = monotonic() - self._started
        return snapshot_of(self._engine, self._store.live_counters, self._workers, seconds=seconds, hosts=hosts)

    # -- one run

    async def _run(self, *, keep_lines: bool) -> Summary:
        async with AsyncExitStack() as stack:
            meter = LagMeter(asyncio.get_running_loop())
            opened = await self._open_store(stack, keep_lines)
            self._check_job(opened)
            engine = self._engine = await self._assemble(stack, opened)
            assert self._store is not None
            await self._seed(engine)
            meter.start()
            stack.callback(meter.stop)
            code = await self._crawl(engine)
            closing = asyncio.create_task(self._workers.close())  # they end while the store syncs
            try:
                if code is ExitCode.COMPLETE:
                    await self._store.end_deferred()
                    code = self._judge(engine)
                await self._store.close(code)
            finally:
                await closing
            self.summary = self._summarize(code, engine, meter)
            try:
                write_summary(self._config.job.out, self.summary)
            except OSError as exc:
                raise StateError(f"{self._config.job.out}: cannot write summary.json: {exc.strerror or exc}") from exc
            return self.summary

    async def _crawl(self, engine: Engine) -> ExitCode:
        """Run the engine and say how it ended; a stop that had to cancel what was in flight is an orderly end too."""
        self._main = asyncio.create_task(engine.run())
        if self._stop_code is not None:
            engine.stop()
        try:
            complete = await self._main
        except asyncio.CancelledError:
            await _end(self._main)
            if (current := asyncio.current_task()) is None or current.cancelling():
                raise
            if self._store_error is not None:
                raise self._store_error from None
            assert self._stop_code is not None, "nobody else cancels it"
            complete = False
        except ExceptionGroup as group:
            error = self._store_error or _first(group)
            if isinstance(error, PoolBroken | BrokenExecutor):
                text = f"the workers cannot go on: {error}; what was recorded is intact"
                raise WorkersError(f"{text}, and the same command goes on from there") from error
            if isinstance(error, StageError):  # a worker cannot build the pipeline, as `crawl check` would have told
                raise ConfigError([Problem(key="parse.stages", rule=str(error))]) from error
            raise error from group
        finally:
            if self._drain is not None:
                self._drain.cancel()
        if complete:
            return ExitCode.COMPLETE
        return self._stop_code or ExitCode.LIMIT

    def _judge(self, engine: Engine) -> ExitCode:
        """Say whether a crawl that has nothing left to do counts as a success.

        URLs of a host whose robots.txt cannot be had were wanted and not got: failures here, although they are listed
        as skipped. A crawl that recorded nothing at all has failed whatever the ratio, and so has one that lacks a file
        that was listed: cron must hear of it.
        """
        assert self._store is not None
        counters = self._store.live_counters
        got = counters["done"] + counters["files:verified"] + counters["files:unverified"]
        failed = counters["failed"] + counters[f"skipped:{Reason.ROBOTS_UNAVAILABLE.value}"]
        failed += counters["files:mismatch"] + counters["files:failed"]
        if engine.bugs or (engine.files is not None and engine.files.bugs):
            return ExitCode.INTERNAL
        if not got or counters["files_missed"] or failed > self._config.job.max_failed_ratio * (got + failed):
            return ExitCode.FAILURES
        return ExitCode.COMPLETE

    # -- putting it together

    async def _open_store(self, stack: AsyncExitStack, keep_lines: bool) -> Opened:
        config = self._config
        options = assemble.store_options(config, keep_lines=keep_lines)
        listener = Listener(applied=self._applied, committed=self._committed, failed=self._store_failed)
        meta = {"fingerprint_key": os.urandom(16).hex(), "scope": config.scope_digest()}
        self._store, opened = await Store.open(config.job.out, options, listener, meta)
        stack.push_async_callback(self._store.abandon)
        return opened

    def _check_job(self, opened: Opened) -> None:
        digest = self._config.scope_digest()
        if opened.meta["scope"] == digest:
            return
        if not self._accept_changes:
            raise ConfigError([
                Problem(
                    key="job.out",
                    rule="this directory holds a crawl with other seeds or another scope",
                    value=str(self._config.job.out),
                    remedy="choose another directory, or resume it as it is now with --accept-changes",
                )
            ])  # fmt: skip

    async def _assemble(self, stack: AsyncExitStack, opened: Opened) -> Engine:
        assert self._store is not None
        if opened.meta["scope"] != self._config.scope_digest():
            await self._store.set_meta("scope", self._config.scope_digest())
        clock = self._clock or Clock(asyncio.get_running_loop().time)
        return await build_engine(stack, self._config, self._store, opened, self._workers, clock)

    async def _seed(self, engine: Engine) -> None:
        """Put the seeds; those known from an earlier run change nothing."""
        seeds = await seeds_of(self._config, engine, self._workers)
        assert self._store is not None
        engine.expect_group()
        self._store.put(seeds)

    # -- what the store says

    def _applied(self, applied: Applied) -> None:
        if self._engine is not None:
            self._engine.applied(applied)

    def _committed(self, groups: Sequence[Committed]) -> None:
        if self._engine is None:
            return
        if self._runner is None:
            self._engine.release(list(groups))
            return
        for group in groups:
            self._groups.put_nowait(group)

    def _store_failed(self, error: Exception) -> None:
        """Stop at once: nothing done from now on could be kept. Without a main task somebody awaits the store."""
        self._store_error = error
        if self._main is not None:
            self._main.cancel()

    # -- the end

    def _summarize(self, code: ExitCode, engine: Engine, meter: LagMeter) -> Summary:
        assert self._store is not None
        return summarize(
            code,
            engine,
            self._store.live_counters,
            meter,
            self._workers,
            seconds=monotonic() - self._started,
            outputs=self._store.output_paths(),
        )


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and return when it is over, however often the caller is cancelled meanwhile."""
    task.cancel()
    again: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            again = exc
    if not task.cancelled():
        task.exception()  # seen: it is what ended the block, or comes second to it
    if again is not None:
        raise again


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """Return the first error of a group, whatever groups it is in."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
