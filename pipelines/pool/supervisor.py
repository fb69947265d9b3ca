"""The one thread of a pool: starts workers, reads results, enforces limits, notices deaths, closes.

Every worker has its own socket, so there is no lock and no queue that a dying worker could leave in a bad state.
`submit` writes to a worker's socket from the caller's thread when one is free, and an event loop may take the results
(see attendance.py); this thread does everything else. The lock is held for bookkeeping and for writes that do not
block, never while a future is settled.

Few steps per task matter more here than anywhere: each is taken with the GIL that the caller's event loop wants.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from math import inf
from time import monotonic
from typing import Any

from pipelines.errors import PoolBroken, PoolClosed, PoolError
from pipelines.pool.attendance import Attendance
from pipelines.pool.breaker import Breaker
from pipelines.pool.channel import SCRATCH_BYTES
from pipelines.pool.closing import EXIT_SECONDS, Closing
from pipelines.pool.courier import Courier
from pipelines.pool.crew import Crew, Worker
from pipelines.pool.deaths import condemned, crashed, obituary
from pipelines.pool.limits import Limits
from pipelines.pool.memory import OomKills
from pipelines.pool.nursery import Nursery
from pipelines.pool.outcome import Status
from pipelines.pool.plan import Plan
from pipelines.pool.reception import Reception
from pipelines.pool.relay import Relay
from pipelines.pool.scribe import Scribe
from pipelines.pool.staff import Staff
from pipelines.pool.stats import Death, PoolStats
from pipelines.pool.switchboard import Line, Switchboard
from pipelines.pool.tally import Tally
from pipelines.pool.task import Function, Task, TaskFuture


class Supervisor:
    """Runs the workers of a plan until told to close. All public methods may be called from any thread."""

    def __init__(self, plan: Plan, *, on_refusal: Callable[[], None]) -> None:
        """`on_refusal` is called once, from any thread, when nothing more is taken."""
        self.closed: Future[list[str]] = Future()
        """The names of the tasks that were lost, once no worker and no descriptor is left."""
        self._plan, self._on_refusal = plan, on_refusal
        self._pid = os.getpid()
        self._lock = threading.RLock()  # the garbage collector may run a pool's finalizer anywhere
        self._crew = Crew()
        self._staff = Staff(plan, self._crew)
        self._tally = Tally()
        self._idents = count(1)
        self._refusal: PoolError | None = None  # why nothing more is taken
        self._breaker = Breaker()
        self._closing = Closing()
        self._lost: list[str] = []
        self._relay = Relay()
        self._scribe = Scribe(self._relay, plan.name)
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._board = Switchboard()
        self._nursery = Nursery(plan, self._relay, self._board)
        self._courier = Courier(self._crew, self._lock, self._board)
        self._reception = Reception(
            plan,
            self._crew,
            self._lock,
            courier=self._courier,
            tally=self._tally,
            breaker=self._breaker,
            scribe=self._scribe,
        )
        self.attendance = Attendance(self._crew, self._lock, self._board, self._reception, self._closing)
        self.thread = threading.Thread(target=self._run, name=f"{plan.name}-supervisor", daemon=True)
        self.thread.start()

    def task(
        self,
        function: Function,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        limits: Limits,
        asked: float = 0.0,
    ) -> Task:
        """Return a task for `submit`; pickles it here and now. Raises TaskNotPicklable."""
        return Task(next(self._idents), function, args, kwargs, limits, self._cancelled, asked)

    def submit(self, task: Task) -> TaskFuture[Any]:
        """Take a task. Raises PoolClosed, PoolBroken."""
        with self._lock:
            self.check()
            crew = self._crew
            check = crew.next_check
            crew.enqueue(task)
            if crew.next_check < check:
                self._board.ring()
        self._courier.deliver()
        return task.future

    def check(self) -> None:
        """Raise PoolClosed or PoolBroken if nothing more is taken."""
        if self._pid != os.getpid():
            raise PoolClosed("this pool belongs to the process that forked this one; make another")
        if self._refusal is not None:
            raise type(self._refusal)(*self._refusal.args) from self._refusal.__cause__

    def pids(self) -> tuple[int, ...]:
        """Return the process ids of the workers, without spares."""
        with self._lock:
            return tuple(worker.process.pid for worker in self._crew.workers if not worker.is_spare)

    def stats(self) -> PoolStats:
        """Return the figures of this moment; reads one small file in /proc per worker."""
        with self._lock:
            self._tally.look_at(self._crew)
            return self._tally.stats(self._crew, self._staff.restarts)

    def close(self, drain_seconds: float, *, grace_seconds: float = EXIT_SECONDS, unwinds: bool = True) -> None:
        """Begin to close and return; `closed` tells the end. A later call may shorten the drain, not prolong it.

        Workers get `grace_seconds` to exit by themselves; with 0 they are killed. So are, unless it `unwinds`, those
        that run a task when the drain is over; else the task is made to raise SystemExit.
        """
        if self._pid != os.getpid():
            return
        with self._lock:
            if self._refusal is None:
                self._refusal = PoolClosed("the pool is closed")
            self._closing.begin(monotonic(), drain_seconds, grace_seconds, unwinds=unwinds)
            self.attendance.stand_in()  # the loop may be about to wait for the end
            self._board.ring()
        self._on_refusal()

    def _cancelled(self, ident: int, stop: bool, again: bool) -> None:
        """Forget a task whose future was cancelled; kill the worker that runs it, if it is to be stopped."""
        if self._pid != os.getpid():
            return
        with self._lock:
            self._tally.cancelled += not again
            worker = self._crew.cancelled(ident, stop=stop)
            if worker is not None:
                worker.process.kill()
            if worker is not None or self._closing.has_begun:
                self._board.ring()
        self._courier.deliver()

    # From here on: the supervisor's thread.

    def _run(self) -> None:
        # Workers start with this mask: Ctrl-C must not hit an interpreter that has not yet installed its handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            self._nursery.open()
            self._arrange()
            self._oom_kills = OomKills()  # after the workers' start, which matters more
            while not self._is_over():
                if self._crew.has_changed or self._staff.start_at <= monotonic():
                    self._arrange()
                self._courier.deliver()
                self._courier.watch()
                for line, worker in self._board.wait(self._timeout()):
                    self._attend(line, worker)
                    self._courier.deliver()
                self._enforce_limits()
        except BaseException as exc:
            self._break("the supervisor of the pool failed; this is a bug", exc)
            raise
        finally:
            self._clean_up()

    def _timeout(self) -> float | None:
        if self._crew.has_changed:
            return 0.0
        until = min(self._crew.next_check, self._staff.start_at, self._closing.due())
        return None if until == inf else max(0.0, until - monotonic())

    def _attend(self, line: Line, worker: Worker | None) -> None:
        if worker is None:
            self._crew.has_changed = self._nursery.called()
            return
        if worker.process.is_closed:
            return  # buried earlier in this turn
        match line:
            case Line.FRAME:
                self._read(worker)
            case Line.ROOM:
                self._courier.flush(worker)
            case Line.DEATH:
                self._bury(worker)
            case Line.OUTPUT:
                if not worker.process.output.pump():
                    self._board.drop(worker.process.output_fd)

    def _read(self, worker: Worker) -> None:
        try:
            self._reception.read(worker, self._scratch)
        except BlockingIOError:
            pass
        except (EOFError, ConnectionError):
            self._hung_up(worker)

    def _enforce_limits(self) -> None:
        while self.attendance.gone:
            self._hung_up(self.attendance.gone.popleft())
        now = monotonic()
        if now < self._crew.next_check:
            return
        for worker in self.attendance.look():  # nobody is condemned whose answer has come
            self._read(worker)
        with self._lock:
            condemned = self._crew.check(now)
        for worker in condemned:
            worker.process.kill()

    def _arrange(self) -> None:
        """Promote, release and start whom it takes; a spare is promoted before anything slow is done."""
        with self._lock:
            starts = self._staff.arrange(monotonic(), may_start=self._may_start())
            for worker in self._crew.workers:
                self._crew.dismiss_if_free(worker)
        self._courier.deliver()
        for is_spare in starts:
            if is_spare and self._closing.has_begun:
                continue
            try:
                worker = Worker(self._nursery.start(), is_spare=is_spare)
            except OSError as exc:
                self._start_failed(f"the process could not be started: {exc}", "")
                return
            with self._lock:
                self._staff.add(worker)
                if self._plan.setup is not None:
                    self._crew.prepare(worker, self._plan.setup)
            self._board.connect(worker)

    def _may_start(self) -> bool:
        can_start = self._nursery.is_ready and not self._breaker.is_open and not self._closing.is_drained
        return can_start and (not self._closing.has_begun or len(self._crew.queue) > 0)

    def _hung_up(self, worker: Worker) -> None:
        """A worker closed its end: it is dead, or of no more use."""
        if worker.process.is_closed:
            return
        with self._lock:
            self._crew.retire(worker)
        self._board.deafen(worker)
        worker.process.kill()
        if worker.process.pidfd < 0:
            self._bury(worker)

    def _bury(self, worker: Worker) -> None:
        process = worker.process
        process.reap()
        self._reception.last(worker, self._scratch)
        self._board.disconnect(worker)
        with self._lock:
            victim = self._crew.bury(worker)
        self._courier.deliver()
        words = process.output.last_words()
        worker.channel.shut()
        process.close()
        if not self._closing.is_drained:
            self._mourn(worker, victim, words)

    def _mourn(self, worker: Worker, victim: Task | None, words: str) -> None:
        """Count a death, answer the task that went with it, and see whether it is one too many."""
        pid, code = worker.process.pid, worker.process.exit_code
        if worker.sentence is not None:
            verdict = condemned(worker.sentence)
        elif victim is not None:
            verdict = crashed(victim, pid, code, words, self._oom_kills)
        else:
            if worker.is_leaving:
                self._tally.recycled += 1
            elif worker.is_ready:
                self._tally.deaths[Death.IDLE] += 1
            else:
                self._start_failed(f"{obituary(pid, code)} before it was ready", words)
            return
        self._tally.deaths[verdict.death] += 1
        if victim is not None:
            self._tally.failed(verdict.status)
            victim.fail(verdict.error, verdict.status, verdict.cause)
        if verdict.death == Death.CRASH and self._breaker.crashed(worker.finished):
            what = obituary(pid, code)
            self._break(f"workers crash in a row without finishing any task; the last one: {what}", None, words)

    def _start_failed(self, what: str, words: str) -> None:
        self._tally.deaths[Death.START] += 1
        with self._lock:
            self._staff.failed(monotonic(), self._breaker.pause_seconds())
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
            tasks = self._crew.queue.drain()
        self._on_refusal()
        for task in tasks:
            task.fail(PoolBroken(*error.args), Status.CANCELLED, "the pool broke")

    def _is_over(self) -> bool:
        closing = self._closing
        if not closing.has_begun:
            return False
        now = monotonic()
        if not closing.is_drained:
            with self._lock:
                is_due = self._crew.is_quiet() or now >= closing.drain_until
                lost = self._hang_up(now) if is_due else []
            for task in lost:
                error = PoolClosed(f"the pool was closed before {task.name} had finished")
                task.fail(error, Status.CANCELLED, "the pool was closed")
        elif now >= closing.exit_until:
            for worker in self._crew.workers:
                worker.process.kill()
            closing.killed(now)
        return closing.is_drained and not self._crew.workers

    def _hang_up(self, now: float) -> list[Task]:
        """End the drain: workers are told to go, or killed where that is of no use; return the tasks that are lost."""
        closing = self._closing
        self._tally.look_at(self._crew)
        closing.drained(now)
        for worker in self._crew.workers:
            if not (worker.is_ready and closing.grace):
                worker.process.kill()
            elif worker.running is None:
                worker.process.hang_up()
            elif closing.unwinds:
                worker.tokens_left()  # they are taken: it begins nothing more
                worker.process.unwind()
            else:
                worker.process.kill()
        lost = [task for task in self._crew.abandon() if not task.future.cancelled()]
        self._lost += [task.name for task in lost]
        return lost

    def _clean_up(self) -> None:
        for worker in self._crew.workers:
            worker.process.kill()
            worker.process.reap()
            worker.channel.shut()
            worker.process.close()
        self.attendance.end()
        with self._lock:
            lost = self._crew.abandon()
            self._crew.workers.clear()
            self._nursery.close()  # before the board, which waits for its end
            self._board.close()
        for task in lost:
            task.fail(PoolBroken("the supervisor of the pool failed"), Status.CANCELLED, "the pool broke")
        self._scribe.close()
        self._relay.report()
        self.closed.set_result(self._lost)
