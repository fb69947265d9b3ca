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
the user's code, and none of them writes a task: `letters` says which is to be sent to whom, and whoever let go of the
lock sends them (see courier.py). A worker with a letter under way gets no other one.
"""

from __future__ import annotations

import os
from collections import deque
from math import inf
from time import monotonic
from typing import NamedTuple

from pipelines.pool.backlog import Backlog
from pipelines.pool.channel import Channel
from pipelines.pool.frames import Kind, size_of
from pipelines.pool.plan import Setup
from pipelines.pool.process import HAS_TOKENS, Process
from pipelines.pool.stats import Death
from pipelines.pool.task import Task

MAX_MOVES = 8
"""A task whose workers died this often before they started it ends as crashed: receiving it is what kills."""
WATCH_SECONDS = 0.05
"""How often the memory of a worker is looked at while it runs a task with a limit."""
DISMISSAL_SECONDS = 2.0
"""What a recycled worker gets, in which the functions it registered with `atexit` run."""
ANSWER_SECONDS = 0.05
"""When to look again at a task that is over by its worker's account but not by ours."""


class Sentence(NamedTuple):
    """Why we kill a worker."""

    task: Task
    death: Death
    cause: str


class Letter(NamedTuple):
    """A task that is to be sent, its token being there already."""

    worker: Worker
    task: Task


class Worker:
    """The parent's view of one worker."""

    __slots__ = (
        "channel",
        "finished",
        "has_letter",
        "is_leaving",
        "is_ready",
        "is_retired",
        "is_spare",
        "kill_at",
        "process",
        "running",
        "sentence",
        "stale",
        "waiting",
    )

    def __init__(self, process: Process, *, is_spare: bool) -> None:
        self.process = process
        self.channel = Channel(process.sock, process.tray)
        self.is_ready = False
        self.is_spare = is_spare  # gets no task before it is promoted
        self.is_leaving = False  # works until its successor is ready
        self.is_retired = False  # gets no more tasks
        self.running: Task | None = None
        self.waiting: Task | None = None
        self.kill_at = inf  # monotonic seconds
        self.sentence: Sentence | None = None
        self.stale = False  # a withdrawn frame still lies in the socket
        self.has_letter = False  # one that has not been sent yet
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
        self.queue = Backlog()
        self.next_check = inf  # no deadline ends before, and no memory need be looked at; monotonic seconds
        self.congested: list[Worker] = []  # the selector has to wait for room in their sockets
        self.has_changed = True  # somebody came, left or became ready
        self.letters: deque[Letter] = deque()  # may be taken without the lock
        self.patience = inf  # seconds after which to look whether an answer that is expected lies there
        self._idle: dict[Worker, None] = {}  # run nothing
        self._open: dict[Worker, None] = {}  # run something and can be sent one more

    def is_quiet(self) -> bool:
        """Nothing is queued, nothing runs."""
        return not self.queue and all(worker.running is None for worker in self.workers)

    def enqueue(self, task: Task) -> None:
        """Take a new task."""
        self.queue.append(task)
        self.dispatch()
        if self.queue and self.patience < inf:
            self.next_check = min(self.next_check, monotonic() + self.patience)

    def add(self, worker: Worker) -> None:
        """Take a worker that begins to start."""
        self.workers.append(worker)
        self.has_changed = True

    def prepare(self, worker: Worker, setup: Setup) -> None:
        """Send the initializer to a worker that begins to start."""
        try:
            if not worker.channel.send(Kind.SETUP, 0, setup.chunks, size_of(setup.chunks), setup.buffers):
                self.congested.append(worker)
        except OSError:
            self.retire(worker)  # it is dead already

    def ready(self, worker: Worker) -> None:
        """Note that a worker is warm; unless it is a spare it gets tasks."""
        worker.is_ready = True
        self.has_changed = True
        if not worker.is_spare:
            self._place(worker)
            self._share()

    def promote(self, spare: Worker) -> None:
        """Put a spare to work, now or as soon as it is ready."""
        spare.is_spare = False
        if spare.is_ready:
            self.ready(spare)

    def leave(self, worker: Worker) -> None:
        """Note that a worker is to be replaced; it works on until its successor is ready."""
        if not worker.is_leaving:
            worker.is_leaving = True
            self.has_changed = True

    def check(self, now: float) -> list[Worker]:
        """Retire and return the workers that ran past a deadline or outgrew a memory limit; set `next_check`."""
        is_expecting = self.queue or not all(worker.is_ready for worker in self.workers)
        self.next_check = now + self.patience if is_expecting else inf
        condemned = [worker for worker in self.workers if self._is_over(worker, now)]
        self.dispatch()
        return condemned

    def condemn(self, worker: Worker, task: Task, death: Death, cause: str) -> bool:
        """Retire a worker that is to be killed for a task it runs; False when it is through with that task.

        What waits behind is taken back first. Where that fails the worker has claimed it, so the answer to the task
        before it is on its way; unless the task to be stopped is the very one that we still believe to wait.
        """
        if worker.waiting is not None:
            following = worker.withdraw()
            if following is not None:
                self._put_back(following)
            elif worker.waiting is not task:
                return False
        if death is not Death.STOPPED:  # of which nobody hears, and which may hold up an event loop
            task.record.peak_rss = max(task.record.peak_rss, worker.process.peak_rss_bytes())
        worker.sentence = Sentence(task, death, cause)
        worker.kill_at = inf
        self.retire(worker)
        return True

    def release(self, worker: Worker) -> None:
        """Retire a worker that ends once it is through with what it has claimed."""
        self.retire(worker)
        following = worker.withdraw()
        if following is not None:
            self._put_back(following)
            self.dispatch()

    def dismiss_if_free(self, worker: Worker) -> None:
        """Tell a released worker to go, once it is through with its tasks."""
        if worker.is_leaving and worker.is_retired and worker.running is None and not worker.stale:
            worker.process.hang_up()
            worker.kill_at = monotonic() + DISMISSAL_SECONDS
            self.next_check = min(self.next_check, worker.kill_at)

    def abandon(self) -> list[Task]:
        """Let go of every unfinished task and return them all."""
        tasks = self.queue.drain()
        for worker in self.workers:
            self.retire(worker)
            tasks += [task for task in (worker.running, worker.waiting) if task is not None]
            worker.running, worker.waiting, worker.kill_at = None, None, inf
        return tasks

    def cancelled(self, ident: int, *, stop: bool) -> Worker | None:
        """Forget a task whose future was cancelled; return the worker to be killed for it, if it is to be stopped."""
        if self.queue.discard(ident) is not None:
            return None
        for worker in self.workers:
            waiting, running = worker.waiting, worker.running
            if waiting is not None and waiting.ident == ident:
                if worker.withdraw() is None and stop and self.condemn(worker, waiting, Death.STOPPED, "stopped"):
                    return worker
            elif running is not None and running.ident == ident and stop:
                is_doomed = worker.sentence is None and self.condemn(worker, running, Death.STOPPED, "stopped")
                self.dispatch()
                return worker if is_doomed else None
        return None

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
            has_started = unclaimed < (1 if waiting is None else 2)
            if not has_started and running.moves < MAX_MOVES:
                running.moves += 1
                running.future.has_started = False
                self._put_back(running)
                running = None
        self.dispatch()
        return running

    def retire(self, worker: Worker) -> None:
        """Give a worker no more tasks."""
        worker.is_retired = True
        self.has_changed = True
        self._idle.pop(worker, None)
        self._open.pop(worker, None)
        if worker in self.congested:
            self.congested.remove(worker)

    def sent(self, worker: Worker, *, has_left: bool) -> None:
        """Note that a letter is on its way, wholly or as far as there was room."""
        worker.has_letter = False
        if not has_left and not worker.is_retired:
            self.congested.append(worker)
        self._place(worker)
        if self._idle or self.queue:
            self._share()

    def dispatch(self) -> None:
        """Assign queued tasks to workers, idle ones first."""
        while self.queue:
            if self._idle:
                worker, _ = self._idle.popitem()
            elif self._open:
                worker = next(iter(self._open))
                del self._open[worker]
            else:
                return
            self._assign(worker, self.queue.popleft())

    def _put_back(self, task: Task) -> None:
        """Queue a task again that no worker has claimed, unless it was cancelled meanwhile."""
        if not task.future.is_unwanted:
            self.queue.put_back(task)

    def _is_over(self, worker: Worker, now: float) -> bool:
        """Whether a worker is to be killed for what it runs; arranges for the next look."""
        task = worker.running
        if worker.sentence is not None:
            return False
        if task is None:  # what has to end is a worker that was told to go
            self.next_check = min(self.next_check, inf if worker.kill_at <= now else worker.kill_at)
            return worker.kill_at <= now
        if worker.kill_at <= now:
            if self.condemn(worker, task, Death.TIMEOUT, f"deadline of {task.limits.deadline:g} s"):
                return True
            worker.kill_at = now + ANSWER_SECONDS
        limit = task.limits.memory
        if limit is not None:
            size = worker.process.rss_bytes()
            task.record.peak_rss = max(task.record.peak_rss, size)
            if size > limit and self.condemn(worker, task, Death.OOM, f"RSS {_mib(size)} above {_mib(limit)}"):
                return True
            self.next_check = min(self.next_check, now + WATCH_SECONDS)
        self.next_check = min(self.next_check, worker.kill_at, now + self.patience)
        return False

    def _share(self) -> None:
        """Dispatch; then let an idle worker take over what waits behind a running task."""
        self.dispatch()
        if not self._idle:
            return
        for other in self.workers:
            if other.waiting is not None and (task := other.withdraw()) is not None:
                worker, _ = self._idle.popitem()
                self._assign(worker, task)
                if not self._idle:
                    return

    def _assign(self, worker: Worker, task: Task) -> None:
        """Give a task to a worker that is in no group now; it is placed again once the letter has been sent."""
        if worker.running is not None:
            worker.waiting = task
        elif task.claim():
            self._start(worker, task)
        else:
            self._place(worker)  # cancelled this very moment
            return
        if HAS_TOKENS:
            os.eventfd_write(worker.process.token, 1)
        worker.has_letter = True
        self.letters.append(Letter(worker, task))

    def _start(self, worker: Worker, task: Task) -> None:
        worker.running = task
        record, limits = task.record, task.limits
        record.sent = now = monotonic()
        record.worker = worker.process.pid
        record.attempts += 1
        if limits.deadline is not None:
            worker.kill_at = now + limits.deadline
        self.next_check = min(self.next_check, worker.kill_at, now + self.patience)
        if limits.memory is not None:
            self.next_check = min(self.next_check, now + WATCH_SECONDS)

    def _place(self, worker: Worker) -> None:
        """Sort a worker into the group it now belongs to."""
        if not worker.is_ready or worker.is_retired or worker.stale or worker.has_letter:
            return
        if worker.running is None:
            self._open.pop(worker, None)
            self._idle[worker] = None
        elif worker.waiting is None and HAS_TOKENS:
            self._open[worker] = None


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size >= 10 * 2**20 else f"{size / 2**20:.1f} MiB"
