"""Who does what: the queue, the workers, and which task is with whom.

A worker holds at most two tasks: one it runs and one that already lies in its socket, so that it never waits for the
parent between two. What lies there can still be taken back, because a task must be *claimed* before it starts: every
task is sent with one token (a count in an eventfd that both processes hold), the worker takes one token per task it
starts, and whoever reads a token first has it. So

* a task that waits behind a slow one moves to a worker that has become idle;
* a waiting task can be cancelled;
* when a worker dies, the tokens left tell exactly which task had started. Only that one fails, the rest moves on.

After a withdrawal the worker gets nothing until it has reported the skipped frame, or it would claim the next task's
token for the withdrawn one.

Every method here must be called with the supervisor's lock held; none of them settles a future, since callbacks are
the user's code.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from math import inf
from time import monotonic

from pipelines.pool.channel import Channel
from pipelines.pool.frames import Kind
from pipelines.pool.process import HAS_TOKENS, Process
from pipelines.pool.task import Task

MAX_MOVES = 8
"""A task whose workers died this often before they started it ends as crashed: receiving it is what kills."""


class Worker:
    """The parent's view of one worker."""

    __slots__ = (
        "channel",
        "doomed",
        "finished",
        "is_ready",
        "is_retired",
        "kill_at",
        "process",
        "running",
        "stale",
        "waiting",
    )

    def __init__(self, process: Process) -> None:
        self.process = process
        self.channel = Channel(process.sock)
        self.is_ready = False
        self.is_retired = False  # gets no more tasks
        self.running: Task | None = None
        self.waiting: Task | None = None
        self.kill_at = inf  # monotonic seconds
        self.doomed: Task | None = None  # its deadline passed and the worker was killed for it
        self.stale = False  # a withdrawn frame still lies in the socket
        self.finished = 0  # tasks

    def withdraw(self) -> Task | None:
        """Take back the waiting task; None when there is none or it has been claimed."""
        task = self.waiting
        if task is None:
            return None
        try:
            os.eventfd_read(self.process.token)
        except BlockingIOError:
            return None
        self.waiting = None
        self.stale = True
        return task

    def tokens_left(self) -> int:
        """Return how many of the tasks sent were never claimed; takes the tokens."""
        left = 0
        while HAS_TOKENS:
            try:
                os.eventfd_read(self.process.token)
            except BlockingIOError:
                break
            left += 1
        return left


class Crew:
    """All workers and all tasks that are not finished."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.queue: OrderedDict[int, Task] = OrderedDict()
        self._idle: dict[Worker, None] = {}  # run nothing
        self._open: dict[Worker, None] = {}  # run something and can be sent one more
        self.next_check = inf  # no deadline ends before; monotonic seconds
        self.congested: list[Worker] = []  # the selector has to wait for room in their sockets

    def is_quiet(self) -> bool:
        """Nothing is queued, nothing runs."""
        return not self.queue and all(worker.running is None for worker in self.workers)

    def peak_rss_bytes(self, before: int) -> int:
        """Return the largest resident size of a worker, or `before` if that is larger."""
        return max([before, *(worker.process.peak_rss_bytes() for worker in self.workers)])

    def enqueue(self, task: Task) -> None:
        """Take a new task."""
        self.queue[task.ident] = task
        self.dispatch()

    def overdue(self, now: float) -> list[Worker]:
        """Retire and return the workers whose task ran past its deadline."""
        late = [worker for worker in self.workers if worker.kill_at <= now]
        for worker in late:
            worker.doomed, worker.kill_at = worker.running, inf
            self.retire(worker)
        self.next_check = min((worker.kill_at for worker in self.workers), default=inf)
        return late

    def abandon(self) -> list[Task]:
        """Let go of every unfinished task and return them all."""
        tasks = list(self.queue.values())
        self.queue.clear()
        for worker in self.workers:
            self.retire(worker)
            tasks += [task for task in (worker.running, worker.waiting) if task is not None]
            worker.running, worker.waiting, worker.kill_at = None, None, inf
        return tasks

    def ready(self, worker: Worker) -> None:
        """Let a worker have tasks."""
        worker.is_ready = True
        self._place(worker)
        self._share()

    def cancelled(self, ident: int) -> None:
        """Forget a task whose future was cancelled before it ran; when that comes too late, `finish` sees to it."""
        task = self.queue.pop(ident, None)
        if task is None:
            for worker in self.workers:
                if worker.waiting is not None and worker.waiting.ident == ident:
                    task = worker.withdraw()
        if task is not None:
            task.claim()

    def finish(self, worker: Worker, ident: int) -> Task:
        """Note that a worker is through with the task it ran, give it the next, return the one that is done."""
        task = worker.running
        assert task is not None
        assert task.ident == ident, "a worker answers in order"
        worker.finished += 1
        worker.running, worker.kill_at = None, inf
        if worker.waiting is not None:
            following, worker.waiting = worker.waiting, None
            following.claim()  # false when cancelled too late to withdraw: it runs, and its result is dropped
            self._start(worker, following)
        self._place(worker)
        self._share()
        return task

    def skipped(self, worker: Worker) -> None:
        """Note that the withdrawn frame is out of a worker's socket."""
        worker.stale = False
        self._place(worker)
        self.dispatch()

    def bury(self, worker: Worker) -> Task | None:
        """Remove a dead worker, put back what it had not started, return the task that died with it."""
        self.retire(worker)
        self.workers.remove(worker)
        unclaimed = worker.tokens_left()
        running, waiting = worker.running, worker.waiting
        worker.running = worker.waiting = None
        if waiting is not None:
            self._put_back(waiting)
        if running is not None:
            started = unclaimed < (1 if waiting is None else 2)
            innocent = (
                worker.doomed is not None and worker.doomed is not running
            )  # it began while the kill was on its way
            if (not started and running.moves < MAX_MOVES) or innocent:
                running.moves += 1
                self._put_back(running)
                running = None
        self.dispatch()
        return running

    def retire(self, worker: Worker) -> None:
        """Give a worker no more tasks."""
        worker.is_retired = True
        self._idle.pop(worker, None)
        self._open.pop(worker, None)
        if worker in self.congested:
            self.congested.remove(worker)

    def dispatch(self) -> None:
        """Send queued tasks to workers, idle ones first."""
        while self.queue:
            if self._idle:
                worker, _ = self._idle.popitem()
            elif self._open:
                worker = next(iter(self._open))
                del self._open[worker]
            else:
                return
            self._send(worker, self.queue.popitem(last=False)[1])
            self._place(worker)

    def _put_back(self, task: Task) -> None:
        self.queue[task.ident] = task
        self.queue.move_to_end(task.ident, last=False)

    def _share(self) -> None:
        """Dispatch; then let an idle worker take over what waits behind a running task."""
        self.dispatch()
        if not self._idle:
            return
        for other in self.workers:
            if other.waiting is not None and (task := other.withdraw()) is not None:
                worker, _ = self._idle.popitem()
                self._send(worker, task)
                self._place(worker)
                if not self._idle:
                    return

    def _send(self, worker: Worker, task: Task) -> None:
        if worker.running is not None:
            worker.waiting = task
        elif task.claim():
            self._start(worker, task)
        else:
            return  # cancelled this very moment
        if HAS_TOKENS:
            os.eventfd_write(worker.process.token, 1)
        try:
            if not worker.channel.send(Kind.OFFER, task.ident, task.chunks, task.buffers):
                self.congested.append(worker)
        except OSError:
            self.retire(worker)  # it died; what it was sent is put back when it is buried

    def _start(self, worker: Worker, task: Task) -> None:
        worker.running = task
        if task.deadline is not None:
            worker.kill_at = monotonic() + task.deadline
            self.next_check = min(self.next_check, worker.kill_at)

    def _place(self, worker: Worker) -> None:
        """Sort a worker into the group it now belongs to."""
        if not worker.is_ready or worker.is_retired or worker.stale:
            return
        if worker.running is None:
            self._open.pop(worker, None)
            self._idle[worker] = None
        elif worker.waiting is None and HAS_TOKENS:
            self._open[worker] = None
