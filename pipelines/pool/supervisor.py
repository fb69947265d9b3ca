"""The one thread of a pool: starts workers, reads results, enforces deadlines, notices deaths, closes.

Every worker has its own socket, so there is no lock and no queue that a dying worker could leave in a bad state.
`submit` writes to a worker's socket from the caller's thread when one is free; this thread does everything else. The
lock is held for bookkeeping and for writes that do not block, never while a future is settled.

Few steps per task matter more here than anywhere: each is taken with the GIL that the caller's event loop wants.
"""

from __future__ import annotations

import os
import selectors
import signal
import threading
from collections import Counter
from concurrent.futures import Future
from itertools import count
from math import inf
from time import monotonic
from typing import Any

from pipelines.errors import PoolBroken, PoolClosed, PoolError, TaskTimeout, WorkerCrashed
from pipelines.pool.breaker import Breaker
from pipelines.pool.channel import SCRATCH_BYTES, Frame
from pipelines.pool.crew import Crew, Worker
from pipelines.pool.frames import Kind, decode
from pipelines.pool.process import Process
from pipelines.pool.stats import Death, PoolStats
from pipelines.pool.task import Function, Task

EXIT_SECONDS = 0.5
"""What an idle worker gets to exit by itself at the close."""


_BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


class Supervisor:
    """Runs `size` workers until told to close. All public methods may be called from any thread."""

    def __init__(self, size: int, *, preload: tuple[str, ...], nice: int, name: str) -> None:
        self.closed: Future[None] = Future()
        """Done when no worker and no descriptor is left."""
        self._size, self._preload, self._nice = size, preload, nice
        self._pid = os.getpid()
        self._lock = threading.RLock()  # the garbage collector may run a pool's finalizer anywhere
        self._crew = Crew()
        self._idents = count(1)
        self._refusal: PoolError | None = None  # why nothing more is taken
        self._breaker = Breaker()
        self._drain_until: float | None = None  # closing; monotonic seconds
        self._grace = EXIT_SECONDS
        self._exit_until = inf  # set once the drain is over
        self._spawn_at = 0.0
        self._hired = self._done = self._peak_rss = 0
        self._deaths: Counter[Death] = Counter()
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self._run, name=f"{name}-supervisor", daemon=True)
        self.thread.start()

    def submit(
        self, function: Function, args: tuple[object, ...], kwargs: dict[str, object], deadline: float | None
    ) -> Future[Any]:
        """Take a task; pickles it here and now. Raises TaskNotPicklable, PoolClosed, PoolBroken."""
        if self._pid != os.getpid():
            raise PoolClosed("this pool belongs to the process that forked this one; make another")
        task = Task(next(self._idents), function, args, kwargs, deadline, self._cancelled)
        with self._lock:
            if self._refusal is not None:
                raise type(self._refusal)(*self._refusal.args) from self._refusal.__cause__
            crew = self._crew
            check = crew.next_check
            crew.enqueue(task)
            if crew.congested or crew.next_check < check:
                self._wake()
        return task.future

    def pids(self) -> tuple[int, ...]:
        """Return the process ids of the workers."""
        with self._lock:
            return tuple(worker.process.pid for worker in self._crew.workers)

    def stats(self) -> PoolStats:
        """Return the figures of this moment; reads one small file in /proc per worker."""
        with self._lock:
            self._peak_rss = self._crew.peak_rss_bytes(self._peak_rss)
            workers = self._crew.workers
            waiting = sum(worker.waiting is not None for worker in workers)
            return PoolStats(
                workers=len(workers),
                ready=sum(worker.is_ready for worker in workers),
                busy=sum(worker.running is not None for worker in workers),
                queued=len(self._crew.queue) + waiting,
                done=self._done,
                deaths={death: self._deaths[death] for death in Death},
                restarts=max(0, self._hired - self._size),
                peak_rss_bytes=self._peak_rss,
            )

    def close(self, drain_seconds: float, *, grace_seconds: float = EXIT_SECONDS) -> None:
        """Begin to close and return; `closed` tells the end. A later call may shorten the drain, not prolong it.

        Idle workers get `grace_seconds` to exit by themselves; with 0 they are killed.
        """
        if self._pid != os.getpid():
            return
        with self._lock:
            if self._refusal is None:
                self._refusal = PoolClosed("the pool is closed")
            until = monotonic() + drain_seconds
            self._grace = min(self._grace, grace_seconds)
            self._exit_until = self._exit_until if grace_seconds or self._exit_until == inf else 0.0
            self._drain_until = until if self._drain_until is None else min(until, self._drain_until)
            self._wake()

    def _cancelled(self, ident: int) -> None:
        with self._lock:
            self._crew.cancelled(ident)
            self._wake_if_closing()

    def _wake_if_closing(self) -> None:
        if self._drain_until is not None:
            self._wake()

    def _wake(self) -> None:
        if self._wake_write >= 0:
            try:
                os.write(self._wake_write, b"\0")
            except BlockingIOError:
                pass  # a full pipe wakes just as well

    # From here on: the supervisor's thread.

    def _run(self) -> None:
        # Workers start with this mask: Ctrl-C must not hit an interpreter that has not yet installed its handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            while not self._is_over():
                self._hire()
                self._watch_congested()
                for key, mask in self._selector.select(self._timeout()):
                    self._attend(key, mask)
                self._enforce_deadlines()
        except BaseException as exc:
            self._break("the supervisor of the pool failed; this is a bug", exc)
            raise
        finally:
            self._clean_up()

    def _timeout(self) -> float | None:
        until = min(self._crew.next_check, self._exit_until)
        if self._exit_until == inf and self._drain_until is not None:
            until = min(until, self._drain_until)
        if self._wants_more():
            until = min(until, self._spawn_at)
        return None if until == inf else max(0.0, until - monotonic())

    def _attend(self, key: selectors.SelectorKey, mask: int) -> None:
        if key.data is None:
            os.read(self._wake_read, 4096)
            return
        source, worker = key.data
        if worker.process.pidfd == -1 and worker not in self._crew.workers:
            return  # buried earlier in this turn
        if source == "socket":
            if mask & selectors.EVENT_READ:
                self._read(worker)
            else:
                self._flush(worker)
        elif source == "pid":
            self._bury(worker)
        elif not worker.process.relay():
            self._selector.unregister(worker.process.output)

    def _read(self, worker: Worker) -> None:
        try:
            for frame in worker.channel.read(self._scratch):
                self._handle(worker, frame)
        except BlockingIOError:
            pass
        except (EOFError, ConnectionError):
            self._lost(worker)

    def _handle(self, worker: Worker, frame: Frame) -> None:
        kind = frame.kind
        if kind == Kind.VALUE or kind == Kind.FAILURE:
            with self._lock:
                if worker.running is None:
                    return  # abandoned at the close
                task = self._crew.finish(worker, frame.ident)
                self._done += 1
            self._breaker.finished()
            task.settle(frame)
        elif kind == Kind.READY:
            self._breaker.started()
            with self._lock:
                self._crew.ready(worker)
        elif kind == Kind.SKIPPED:
            with self._lock:
                self._crew.skipped(worker)
        else:
            worker.process.tail = decode(frame.body, frame.buffers, copy=True).encode()

    def _watch_congested(self) -> None:
        """Wait for room in the sockets that did not take everything."""
        with self._lock:
            congested, self._crew.congested = self._crew.congested, []
        for worker in congested:
            self._selector.modify(worker.process.sock, _BOTH, ("socket", worker))

    def _flush(self, worker: Worker) -> None:
        with self._lock:
            try:
                is_drained = worker.channel.flush()
            except OSError:
                is_drained = True  # it died; its end is noticed separately
        if is_drained:
            self._selector.modify(worker.process.sock, selectors.EVENT_READ, ("socket", worker))

    def _enforce_deadlines(self) -> None:
        now = monotonic()
        if now < self._crew.next_check:
            return
        with self._lock:
            late = self._crew.overdue(now)
        for worker in late:
            worker.process.kill()

    def _wants_more(self) -> bool:
        if self._breaker.is_open or self._exit_until < inf:
            return False
        if self._drain_until is not None and not self._crew.queue:
            return False
        return len(self._crew.workers) < self._size

    def _hire(self) -> None:
        while self._wants_more() and monotonic() >= self._spawn_at:
            try:
                process = Process(preload=self._preload, nice=self._nice)
            except OSError as exc:
                self._start_failed(f"the process could not be started: {exc}", "")
                continue
            worker = Worker(process)
            with self._lock:
                self._crew.workers.append(worker)
            self._hired += 1
            self._selector.register(process.sock, selectors.EVENT_READ, ("socket", worker))
            self._selector.register(process.output, selectors.EVENT_READ, ("output", worker))
            if process.pidfd >= 0:
                self._selector.register(process.pidfd, selectors.EVENT_READ, ("pid", worker))

    def _lost(self, worker: Worker) -> None:
        """A worker closed its end: it is dead, or of no more use."""
        with self._lock:
            self._crew.retire(worker)
        self._selector.unregister(worker.process.sock)
        worker.process.kill()
        if worker.process.pidfd < 0:
            self._bury(worker)

    def _bury(self, worker: Worker) -> None:
        process = worker.process
        process.reap()
        self._read_rest(worker)
        for key in list(self._selector.get_map().values()):
            if key.data is not None and key.data[1] is worker:
                self._selector.unregister(key.fileobj)
        with self._lock:
            victim = self._crew.bury(worker)
        words = process.last_words()
        process.close()
        if self._exit_until < inf:
            return
        what = f"worker {process.pid} {process.obituary()}"
        if victim is not None and victim is worker.doomed:
            self._deaths[Death.TIMEOUT] += 1
            victim.fail(
                TaskTimeout(f"{victim.name} ran past its deadline of {victim.deadline:g} s; its worker was killed")
            )
        elif victim is not None:
            self._deaths[Death.CRASH] += 1
            victim.fail(_crash(f"{what} while it ran {victim.name}; only this task is affected", words))
            if self._breaker.crashed(worker.finished):
                self._break(f"workers crash in a row without finishing any task; the last one: {what}", None, words)
        elif worker.is_ready:
            self._deaths[Death.IDLE if worker.doomed is None else Death.TIMEOUT] += 1
        else:
            self._start_failed(f"{what} before it was ready", words)

    def _read_rest(self, worker: Worker) -> None:
        """Read the answers that a dead worker had still written."""
        try:
            while True:
                for frame in worker.channel.read(self._scratch):
                    self._handle(worker, frame)
        except (BlockingIOError, EOFError, OSError):
            pass  # that was all; what it left half-written is of no use

    def _start_failed(self, what: str, words: str) -> None:
        self._deaths[Death.START] += 1
        self._spawn_at = monotonic() + self._breaker.pause_seconds()
        others_work = any(worker.is_ready and not worker.is_retired for worker in self._crew.workers)
        if self._breaker.failed_to_start(others_work=others_work):
            self._break(f"workers do not start; the last one: {what}", None, words)

    def _break(self, message: str, cause: BaseException | None, words: str = "") -> None:
        """Open the breaker: what no worker has, and what comes from now on, fails."""
        self._breaker.is_open = True
        error = PoolBroken(f"{message}\n{words}".strip())
        error.__cause__ = cause
        with self._lock:
            if self._refusal is None:
                self._refusal = error
            tasks = list(self._crew.queue.values())
            self._crew.queue.clear()
        for task in tasks:
            task.fail(PoolBroken(*error.args))

    def _is_over(self) -> bool:
        if self._drain_until is None:
            return False
        now = monotonic()
        if self._exit_until == inf:
            with self._lock:
                is_due = self._crew.is_quiet() or now >= self._drain_until
                lost = self._hang_up(now) if is_due else []
            for task in lost:
                task.fail(PoolClosed(f"the pool was closed before {task.name} had finished"))
        elif now >= self._exit_until:
            for worker in self._crew.workers:
                worker.process.kill()
            self._exit_until = now + EXIT_SECONDS
        return self._exit_until < inf and not self._crew.workers

    def _hang_up(self, now: float) -> list[Task]:
        """End the drain: idle workers are told to go, the others are killed; return the tasks that are lost."""
        self._peak_rss = self._crew.peak_rss_bytes(self._peak_rss)
        self._exit_until = now + self._grace
        for worker in self._crew.workers:
            if worker.is_ready and worker.running is None and self._grace:
                worker.process.hang_up()
            else:
                worker.process.kill()
        return self._crew.abandon()

    def _clean_up(self) -> None:
        for worker in self._crew.workers:
            worker.process.kill()
            worker.process.reap()
            worker.process.close()
        with self._lock:
            lost = self._crew.abandon()
            self._crew.workers.clear()
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_write = -1
        self._selector.close()
        for task in lost:
            task.fail(PoolBroken("the supervisor of the pool failed"))
        self.closed.set_result(None)


def _crash(message: str, words: str) -> WorkerCrashed:
    error = WorkerCrashed(message)
    if words:
        error.add_note(f"the worker's last output:\n{words}")
    return error
