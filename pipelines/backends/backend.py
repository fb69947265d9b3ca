"""What every place that runs CPU work has in common, and what it can promise.

Four things make a backend: a name, what it guarantees, `submit`, `close`. There is no class to inherit; whatever has
them and passes `pipelines.testing.check_backend` is one. What it does not guarantee it says in words (`lacking`), and
those who need a guarantee ask for it by name instead of asking which class they were given.

The same everywhere, since code that is tested inline has to work in another process:

- The future is a `concurrent.futures.Future`, so `asyncio.wrap_future` awaits it and `as_completed` sorts it by end.
- Context variables stay out: the task sees the defaults, not those of whoever submitted it, and sets none of theirs.
  They cannot cross into another process. What a task needs to know is an argument.
- A future's callbacks may submit again. A task may make a backend of its own; it cannot reach the one it runs in.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from enum import StrEnum
from logging import Logger
from typing import Any, Protocol


class Guarantee(StrEnum):
    """A promise that not every backend can make."""

    OFF_LOOP = "off_loop"
    """`submit` returns before the task has run; until it runs, `cancel` of its future takes it back."""
    PARALLEL = "parallel"
    """Python code of several tasks runs at the same time."""
    DEADLINE = "deadline"
    """A task past its deadline is killed within a quarter of a second, whatever it does, and its place comes back."""
    ISOLATION = "isolation"
    """A task that kills its process fails alone, with WorkerCrashed; a child it forks answers for nobody."""
    MEMORY_LIMIT = "memory_limit"
    """A task that takes more memory than a worker may have is killed and fails alone, with WorkerOutOfMemory."""
    STOP = "stop"
    """The futures have `stop()`: the task ends now, also while it runs."""
    NO_ORPHANS = "no_orphans"
    """Nothing runs on for more than two seconds after this process is killed."""
    BOUNDED_CLOSE = "bounded_close"
    """`close` returns soon after its `timeout`; what has not finished by then is killed and fails with PoolClosed."""
    ADVICE = "advice"
    """A function or argument that cannot travel raises TaskNotPicklable in `submit`, with the remedy."""
    ANY_ERROR = "any_error"
    """Whatever a task raises comes back and costs nobody else; what would end an interpreter, as RemoteError."""
    LOGS = "logs"
    """What a task logs reaches the handlers of this process."""


_LACKING = {
    Guarantee.OFF_LOOP: "submit runs the task at once, and an event loop that calls it stands still until it is done",
    Guarantee.PARALLEL: "tasks share one interpreter lock: Python code runs on one core, and takes it from the caller",
    Guarantee.DEADLINE: "deadlines are ignored: a task that hangs keeps its place for ever",
    Guarantee.ISOLATION: "a task that kills its process (a crash in C code, out of memory) takes other tasks with it",
    Guarantee.MEMORY_LIMIT: "no limit of memory: one task can use up the memory of the machine",
    Guarantee.STOP: "a task that runs cannot be stopped",
    Guarantee.NO_ORPHANS: "its processes may run on when this one is killed",
    Guarantee.BOUNDED_CLOSE: "close waits for the tasks taken for as long as they take, whatever the timeout",
    Guarantee.ADVICE: "what cannot be pickled is not refused at the call: it works only here, or fails late and darkly",
    Guarantee.ANY_ERROR: "an exception that cannot travel, or ends an interpreter, costs more than its own task",
    Guarantee.LOGS: "what tasks log and warn of does not reach the logging of this process",
}


def sentences(lacking: frozenset[Guarantee]) -> list[str]:
    """Return for each guarantee what its absence means, in the order of the enum."""
    return [_LACKING[guarantee] for guarantee in Guarantee if guarantee in lacking]


class Backend(Protocol):
    """Runs functions. Owned by whoever made it, who closes it. Safe to use from several threads.

    A cluster fits as it is. Where its client offers a `concurrent.futures.Executor` (Dask: `Client.get_executor()`),
    `ForeignBackend` takes that, with the guarantees its owner vouches for: OFF_LOOP and PARALLEL, ISOLATION where the
    scheduler retries elsewhere, NO_ORPHANS where it drops the tasks of a client that is gone. Where a cluster's
    workers run a `WorkerPool` of their own (its children are allowed inside daemonic processes), they keep DEADLINE,
    MEMORY_LIMIT and STOP on the far side, and a class with the four members below passes them on.
    """

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What it promises; the rest is lacking."""

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, deadline: float | None = None, **kwargs: Any
    ) -> Future[Any]:
        """Run `fn(*args, **kwargs)`; `deadline` in seconds, ignored without Guarantee.DEADLINE.

        Raises PoolClosed after `close`, and PoolBroken when it can never run anything again.
        """

    def close(self, *, timeout: float = 5.0) -> None:
        """Take no more tasks, finish those taken, free everything. Closing twice is fine.

        `timeout`: seconds for the finishing; without Guarantee.BOUNDED_CLOSE there is no limit.
        """


def lacking(backend: Backend) -> list[str]:
    """Return what `backend` does not guarantee, one sentence each; empty for one that promises everything."""
    return sentences(frozenset(Guarantee) - backend.guarantees)


def log_lacking(backend: Backend, log: Logger) -> None:
    """Log one warning that says what `backend` lacks; nothing when it lacks nothing."""
    if missing := lacking(backend):
        log.warning("%s does not guarantee everything: %s", backend.name, "; ".join(missing))
