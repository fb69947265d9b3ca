"""Reads what workers send, and settles the tasks they answer.

Two may do so: the supervisor's thread, and an event loop that waits for answers anyway (see attendance.py). One lock
keeps a worker's frames in order. It is not held while a future is settled: callbacks are the user's code.
"""

from __future__ import annotations

import threading

from pipelines.errors import WorkerCrashed
from pipelines.pool.breaker import Breaker
from pipelines.pool.channel import Frame
from pipelines.pool.courier import Courier
from pipelines.pool.crew import Crew, Worker
from pipelines.pool.frames import Kind, decode
from pipelines.pool.outcome import Status
from pipelines.pool.plan import Plan
from pipelines.pool.scribe import Scribe
from pipelines.pool.tally import Tally
from pipelines.pool.task import Task

Answers = list[tuple[Task, Frame]]


class Reception:
    """Takes the frames of one crew's workers."""

    def __init__(
        self,
        plan: Plan,
        crew: Crew,
        lock: threading.RLock,
        *,
        courier: Courier,
        tally: Tally,
        breaker: Breaker,
        scribe: Scribe,
    ) -> None:
        """`lock`: the supervisor's; it is taken inside the one of this, never the other way round."""
        self._plan, self._crew, self._lock = plan, crew, lock
        self._courier, self._tally, self._breaker, self._scribe = courier, tally, breaker, scribe
        self._reading = threading.Lock()

    def read(self, worker: Worker, scratch: memoryview) -> None:
        """Receive once, and settle what that answered; `scratch` is the caller's alone.

        Raises BlockingIOError when there is nothing, EOFError and ConnectionError when the worker has hung up.
        """
        answers: Answers = []
        held: list[Task | None] = []
        try:
            with self._reading:
                if worker.process.is_closed:
                    return  # buried meanwhile
                held = [worker.running, worker.waiting]
                for frame in worker.channel.read(scratch):
                    self._handle(worker, frame, answers)
            self._settle(answers)
        except (EOFError, OSError):
            raise  # nothing was read
        except BaseException:
            self._interrupted(worker, held)
            raise

    def last(self, worker: Worker, scratch: memoryview) -> None:
        """Take what a dead worker had still written."""
        answers: Answers = []
        with self._reading:
            for frame in worker.channel.rest(scratch):
                body = memoryview(bytes(frame.body))  # the next one may come into the same memory
                self._handle(worker, frame._replace(body=body), answers)
        self._settle(answers)

    def _interrupted(self, worker: Worker, held: list[Task | None]) -> None:
        """Ctrl-C on an event loop: nobody knows what was taken. The worker's death answers what it still has."""
        worker.process.kill()
        for task in held:
            if task is not None and task not in (worker.running, worker.waiting) and not task.future.done():
                error = WorkerCrashed(f"the answer of {task.name} was lost to an interrupt")
                task.fail(error, Status.CRASH, "interrupt")

    def _settle(self, answers: Answers) -> None:
        self._courier.deliver()  # before the user's callbacks: what was assigned has its deadline running
        for task, frame in answers:
            task.settle(frame)

    def _handle(self, worker: Worker, frame: Frame, answers: Answers) -> None:
        kind = frame.kind
        if kind == Kind.VALUE or kind == Kind.FAILURE or kind == Kind.EXHAUSTED:
            task = self._answered(worker, frame)
            if task is not None:
                answers.append((task, frame))
        elif kind == Kind.LOG:
            self._scribe.take(frame)
        elif kind == Kind.READY:
            with self._lock:
                self._breaker.started()
                self._crew.ready(worker)
        elif kind == Kind.SKIPPED:
            with self._lock:
                self._crew.skipped(worker)
                self._crew.dismiss_if_free(worker)
        elif kind == Kind.HEAVY:
            with self._lock:
                self._crew.leave(worker)
        else:
            worker.process.output.verdict = decode(frame.body, frame.buffers, copy=True)

    def _answered(self, worker: Worker, frame: Frame) -> Task | None:
        with self._lock:
            if worker.running is None:
                return None  # abandoned at the close
            crew = self._crew
            task = crew.finish(worker, frame.ident)
            self._tally.answered(task, frame)
            if frame.kind == Kind.EXHAUSTED:
                crew.leave(worker)
                crew.release(worker)
            elif self._plan.recycle_after is not None and worker.finished >= self._plan.recycle_after:
                crew.leave(worker)
            if worker.is_leaving:
                crew.dismiss_if_free(worker)
            self._breaker.finished()
        return task
