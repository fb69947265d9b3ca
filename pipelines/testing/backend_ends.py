"""Rules for backends: how tasks end that do not end by themselves, and how the backend ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pipelines.backends.backend import Backend, Guarantee
from pipelines.errors import PoolClosed, TaskTimeout, WorkerCrashed, WorkerOutOfMemory
from pipelines.testing import tasks
from pipelines.testing.rules import SECONDS, Rule, answer, error_of, expect, rule

SLACK_SECONDS = 1.0
"""For what is promised without a number, so that a busy machine breaks no rule."""
LATE_SECONDS = 0.25
"""What the guarantee of deadlines says."""
ALLOWANCE_SECONDS = 0.25
"""For this thread to hear of it, on a machine that runs other tests besides."""
HOG_MEBIBYTES = 4096
HOPELESS_LETTERS = 60  # `tasks.hold_lock` would go on for some thousand years


@rule("leave `cancel` to the future, and drop its task when the future was cancelled before it ran", Guarantee.OFF_LOOP)
def cancel_before(backend: Backend) -> None:
    """A task that waits can be cancelled, and never runs."""
    naps = [backend.submit(tasks.nap, 0.05) for _ in range(24)]
    last = naps[-1]
    expect(last.cancel(), "the last of 24 tasks could not be cancelled at once")
    expect(last.cancelled(), "a cancelled future does not say so")
    expect(all(answer(future) for future in naps[:-1]), "tasks before the cancelled one were lost")


@rule("mark the future as running (`set_running_or_notify_cancel`) when its task starts", Guarantee.OFF_LOOP)
def cancel_during(backend: Backend) -> None:
    """A task that runs cannot be cancelled and is answered."""
    answer(backend.submit(tasks.nap, 0))
    future = backend.submit(tasks.nap, 0.5)
    _wait_for(future.running)
    expect(not future.cancel(), "cancel() of a running task returned True")
    expect(answer(future) > 0, "the task was not answered")


@rule("settle each future once and leave it alone")
def cancel_after(backend: Backend) -> None:
    """Cancelling what is done changes nothing."""
    future = backend.submit(tasks.plus, 4)
    answer(future)
    expect(not future.cancel(), "cancel() of a done future returned True")
    expect(answer(future) == 4, "cancel() changed the answer")


@rule("kill the process that runs the task, and settle the future as cancelled", Guarantee.STOP)
def stop(backend: Backend) -> None:
    """A task that runs can be stopped, and its place comes back."""
    answer(backend.submit(tasks.nap, 0))
    future: Any = backend.submit(tasks.nap, SECONDS)
    _wait_for(future.running)
    started = time.monotonic()
    future.stop()
    error_of(future)
    expect(future.cancelled(), "a stopped future is not cancelled")
    expect(time.monotonic() - started < SLACK_SECONDS, "nap(30) ended more than a second after stop()")
    _all_places_work(backend)


@rule(
    "let the parent keep the time and kill the process: no timer inside it fires while C code runs", Guarantee.DEADLINE
)
def deadline(backend: Backend) -> None:
    """A task past its deadline fails with TaskTimeout, whatever it does, and its place comes back."""
    answer(backend.submit(tasks.nap, 0))
    for case, function, argument in (
        ("a task that sleeps", tasks.nap, SECONDS), ("a regex that holds the lock", tasks.hold_lock, HOPELESS_LETTERS),
    ):  # fmt: skip
        started = time.monotonic()
        guilty = backend.submit(function, argument, deadline=1.0)
        other = backend.submit(tasks.plus, 4, deadline=SECONDS)
        error = error_of(guilty)
        expect(isinstance(error, TaskTimeout), f"{case}, deadline 1 s: ended with {error!r}")
        late = time.monotonic() - started - 1.0
        expect(late < LATE_SECONDS + ALLOWANCE_SECONDS, f"{case}, deadline 1 s: ended {late:.2f} s late")
        expect(answer(other) == 4, f"{case}: another task suffered")
    _all_places_work(backend)


def _dies(kind: str) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        guilty = backend.submit(tasks.die, kind)
        others = [backend.submit(tasks.plus, number) for number in range(8)]
        error = error_of(guilty)
        expect(isinstance(error, WorkerCrashed), f"{kind} ended with {error!r}")
        for number, other in enumerate(others):
            expect(error_of(other) is None, f"{kind} took another task with it: {error_of(other)!r}")
            expect(answer(other) == number, f"{kind}: another task was answered wrongly")
        _all_places_work(backend)

    check.__name__ = f"dies_by_{kind.lower().removeprefix('os.')}"
    check.__doc__ = f"A task that ends its process by {kind} fails alone, with WorkerCrashed."
    return check


_one_each = rule(
    "give each worker a pipe of its own and one task at a time, and replace the worker", Guarantee.ISOLATION, fresh=True
)
dies_by_sigkill, dies_by_sigsegv, dies_by_exit = (_one_each(_dies(kind)) for kind in ("SIGKILL", "SIGSEGV", "os._exit"))


@rule("let a worker remember its process id, and end a process that is not it", Guarantee.ISOLATION, fresh=True)
def forks(backend: Backend) -> None:
    """A child that a task forks does not answer in its name."""
    for _ in range(3):
        expect(answer(backend.submit(tasks.fork)) is True, "fork() was answered by the child")
    expect([answer(backend.submit(tasks.plus, n)) for n in range(8)] == list(range(8)), "later answers are mixed up")


@rule("watch the worker's resident size and kill it above the limit", Guarantee.MEMORY_LIMIT, fresh=True)
def memory(backend: Backend) -> None:
    """A task that takes too much memory fails alone, with WorkerOutOfMemory."""
    guilty = backend.submit(tasks.hog, HOG_MEBIBYTES)
    others = [backend.submit(tasks.plus, number) for number in range(8)]
    error = error_of(guilty)
    expect(isinstance(error, WorkerOutOfMemory), f"taking up to {HOG_MEBIBYTES} MiB ended with {error!r}")
    expect([answer(other) for other in others] == list(range(8)), "other tasks suffered")


@rule("in `close`, refuse new tasks first, wait for those taken, then free everything; make the second call a no-op",
      fresh=True)  # fmt: skip
def close(backend: Backend) -> None:
    """Closing finishes what was taken and takes no more; closing twice is fine."""
    futures = [backend.submit(tasks.nap, 0.05) for _ in range(6)]
    backend.close(timeout=SECONDS)
    undone = sum(not future.done() for future in futures)
    expect(undone == 0, f"{undone} of 6 tasks taken were not done after close")
    expect(all(error_of(future) is None for future in futures), "close lost tasks that had the time to finish")
    backend.close()
    try:
        backend.submit(tasks.plus, 1)
    except PoolClosed:
        return
    expect(False, "submit after close was accepted")


@rule("kill what runs when the timeout of `close` is over", Guarantee.BOUNDED_CLOSE, Guarantee.OFF_LOOP, fresh=True)
def bounded_close(backend: Backend) -> None:
    """Closing ends in time, and what is lost fails with PoolClosed."""
    answer(backend.submit(tasks.nap, 0))
    futures: list[Future[Any]] = [backend.submit(tasks.nap, 3.0) for _ in range(3)]
    started = time.monotonic()
    backend.close(timeout=0.3)
    took = time.monotonic() - started
    expect(took < 0.3 + 2 * SLACK_SECONDS, f"close(timeout=0.3) with nap(3) running took {took:.1f} s")
    for future in futures:
        expect(future.done() and isinstance(error_of(future), PoolClosed), f"close left a future behind: {future!r}")


def _all_places_work(backend: Backend) -> None:
    expect([answer(backend.submit(tasks.plus, n)) for n in range(8)] == list(range(8)), "later tasks are not answered")


def _wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        expect(time.monotonic() < until, f"nap did not start within {SECONDS:.0f} s")
        time.sleep(0.005)


RULES: tuple[Rule, ...] = (
    cancel_before, cancel_during, cancel_after, stop, deadline, dies_by_sigkill, dies_by_sigsegv, dies_by_exit, forks,
    memory, close, bounded_close,
)  # fmt: skip
