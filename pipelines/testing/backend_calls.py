"""Rules for backends: a call goes in, its own answer comes out, and nothing else does."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, as_completed
from queue import Empty, SimpleQueue
from typing import Any

from pipelines.backends.backend import Backend, Guarantee
from pipelines.errors import TaskNotPicklable
from pipelines.testing import tasks
from pipelines.testing.memory import forget_peak, peak_bytes
from pipelines.testing.rules import SECONDS, Rule, answer, error_of, expect, rule

PAYLOAD_BYTES = 100 * tasks.MEBIBYTE
PAYLOAD_COPIES = 6
"""How often a payload may be in memory at once while it travels there and back: the caller's, a pickle, a pipe, …"""


@rule("pass `*args` and `**kwargs` on as they are, and take `fn` as a positional-only parameter")
def arguments(backend: Backend) -> None:
    """A call gets its positional and keyword arguments, whatever their names."""
    future = backend.submit(tasks.plus, 1, fn=10, self=100, deadline=SECONDS)
    expect(isinstance(future, Future), f"submit returned a {type(future).__name__}, not a concurrent.futures.Future")
    expect((got := answer(future)) == 111, f"plus(1, fn=10, self=100) returned {got!r}")


@rule("keep each future with the call it was made for")
def order(backend: Backend) -> None:
    """Each future has the answer to its own call."""
    futures = [backend.submit(tasks.plus, number) for number in range(50)]
    answers = [answer(future) for future in futures]
    expect(answers == list(range(50)), f"plus(0) … plus(49) returned {answers}")


@rule("settle a future when its task ends, not when it is its turn; two tasks must run at once", Guarantee.OFF_LOOP)
def completion_order(backend: Backend) -> None:
    """A task that ends early is answered early."""
    _wait_for_two_places(backend)
    slow, fast = backend.submit(tasks.nap, 0.6), backend.submit(tasks.nap, 0.0)
    first = next(as_completed([slow, fast], timeout=SECONDS))
    expect(first is fast, "nap(0.6), then nap(0): the first answer was that of nap(0.6)")
    answer(slow)


@rule("keep nothing of a call in the backend itself but under a lock")
def many_callers(backend: Backend) -> None:
    """Several threads may submit at the same time."""
    found: SimpleQueue[tuple[int, object]] = SimpleQueue()

    def call(first: int) -> None:
        for number in range(first, first + 25):
            try:
                found.put((number, answer(backend.submit(tasks.plus, number))))
            except Exception as error:  # noqa: BLE001 - told by the rule, in the thread that waits
                found.put((number, error))

    callers = [threading.Thread(target=call, args=(first,)) for first in range(0, 100, 25)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for _ in range(100):
        number, got = found.get_nowait()
        expect(got == number, f"plus({number}), submitted by one of four threads, returned {got!r}")


def _wait_for_two_places(backend: Backend) -> None:
    """Return when two tasks run at once: a place may still be on its way."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        started = time.monotonic()
        for future in [backend.submit(tasks.nap, 0.2) for _ in range(2)]:
            answer(future)
        if time.monotonic() - started < 0.35:
            return
    expect(False, f"two times nap(0.2) never took less than 0.35 s, for {SECONDS:.0f} s")


@rule("hand the task over and return", Guarantee.OFF_LOOP)
def does_not_wait(backend: Backend) -> None:
    """`submit` returns before the task has run."""
    answer(backend.submit(tasks.nap, 0))
    future = backend.submit(tasks.nap, 0.4)
    expect(not future.done(), "nap(0.4) was done when submit returned")
    answer(future)


@rule("run tasks in other processes, or do not promise PARALLEL", Guarantee.PARALLEL)
def elsewhere(backend: Backend) -> None:
    """Python code runs beside that of the caller."""
    from os import getpid

    expect(answer(backend.submit(tasks.nap, 0)) != getpid(), "nap(0) ran in the process of the caller")


@rule("catch what a task raises and settle its future with it")
def errors(backend: Backend) -> None:
    """An exception belongs to its future, with its type and its text."""
    bad, good = backend.submit(tasks.fail, "on purpose"), backend.submit(tasks.plus, 4)
    error = error_of(bad)
    expect(isinstance(error, tasks.TaskError) and str(error) == "on purpose", f"TaskError came back as {error!r}")
    expect(answer(good) == 4, "the task after one that raised returned something else")


@rule("when an exception does not load again, or would end an interpreter, send its type and text", Guarantee.ANY_ERROR)
def any_error(backend: Backend) -> None:
    """Whatever a task raises comes back as an Exception and costs nobody else."""
    for kind, text in (
        ("two arguments", "too odd"), ("unpicklable", "holds a function"), ("SystemExit", "3"), ("StopIteration", "3"),
    ):  # fmt: skip
        error = error_of(backend.submit(tasks.fail, kind))
        is_plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
        expect(is_plain and text in str(error), f"{kind} came back as {error!r}")
        expect(answer(backend.submit(tasks.plus, 4)) == 4, f"{kind} cost another task")


@rule("pickle the result where the task ran, and send TaskNotPicklable when that fails", Guarantee.ANY_ERROR)
def unpicklable_result(backend: Backend) -> None:
    """A result that cannot travel is an error of its task; where nothing travels, it is the result."""
    future = backend.submit(tasks.give_function)
    error = error_of(future)
    expect(error is None or isinstance(error, TaskNotPicklable), f"a function as the result came back as {error!r}")
    expect(answer(backend.submit(tasks.plus, 4)) == 4, "an unpicklable result cost another task")


@rule("pickle function and arguments in `submit`, and say what to do", Guarantee.ADVICE)
def advice(backend: Backend) -> None:
    """What cannot travel raises TaskNotPicklable in `submit`."""
    for case, function, argument in (
        ("a lambda", lambda _: 1, 1), ("a lock as the argument", tasks.plus, threading.Lock()),
    ):  # fmt: skip
        future: Future[Any] | None = None
        try:
            future = backend.submit(function, argument)
        except TaskNotPicklable as error:
            expect(len(str(error)) > 40, f"{case}: the text gives no advice: {error}")
        expect(future is None, f"{case} was taken")


@rule("send large payloads out of band or in parts, and drop each copy as soon as it was handed on")
def payload(backend: Backend) -> None:
    """100 MiB travel there and back, in bounded memory and time."""
    answer(backend.submit(tasks.plus, 1))
    data = bytes(PAYLOAD_BYTES)
    forget_peak()
    before, started = peak_bytes(), time.monotonic()
    size, digest = answer(backend.submit(tasks.weigh, data))
    expect((size, digest) == tasks.weigh(data), f"{PAYLOAD_BYTES} bytes arrived as {size}, or changed")
    expect(len(answer(backend.submit(tasks.give, PAYLOAD_BYTES))) == PAYLOAD_BYTES, "the result was cut")
    seconds, grown = time.monotonic() - started, peak_bytes() - before
    expect(seconds < SECONDS, f"it took {seconds:.1f} s")
    expect(grown < PAYLOAD_COPIES * PAYLOAD_BYTES, f"the caller grew by {grown >> 20} MiB")


@rule("run the task in an empty context: `contextvars.Context().run(fn, *args, **kwargs)`")
def context(backend: Backend) -> None:
    """Context variables neither reach the task nor come back from it."""
    token = tasks.MARK.set("set by the caller")
    try:
        found = answer(backend.submit(tasks.read_mark))
        expect(found != "set by the caller", "the task saw the caller's value")
        expect(tasks.MARK.get() == "set by the caller", "the task changed the caller's value")
    finally:
        tasks.MARK.reset(token)


@rule("settle futures without holding a lock that `submit` needs")
def callbacks(backend: Backend) -> None:
    """A future's callback may submit the next task."""
    second: SimpleQueue[Future[Any] | BaseException] = SimpleQueue()

    def go_on(first: Future[Any]) -> None:
        try:
            second.put(backend.submit(tasks.plus, 7 * bool(first.result())))
        except Exception as error:  # noqa: BLE001 - told by the rule, in the thread that waits
            second.put(error)

    backend.submit(tasks.nap, 0.2).add_done_callback(go_on)  # that of a future which is done runs here, at once
    try:
        future = second.get(timeout=SECONDS)
    except Empty:
        expect(False, f"submit in a callback did not return within {SECONDS:.0f} s")
        return
    expect(isinstance(future, Future), f"submit in a callback raised {future!r}")
    assert isinstance(future, Future)
    expect(answer(future) == 7, "the task submitted in a callback returned something else")


@rule("start worker processes without `daemon=True`, and do not touch signals or the environment of a task")
def nested(backend: Backend) -> None:
    """A task may use a pool of its own."""
    expect(answer(backend.submit(tasks.nested)) == 7, "a task with a WorkerPool(1) returned something else")


class _Handler(logging.Handler):
    def __init__(self, seen: SimpleQueue[logging.LogRecord]) -> None:
        super().__init__()
        self._seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        self._seen.put(record)


@rule("send log records to the parent and handle them there", Guarantee.LOGS)
def logs(backend: Backend) -> None:
    """What a task logs reaches the handlers of this process."""
    seen: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler = _Handler(seen)
    logger = logging.getLogger("pipelines.testing")
    logger.addHandler(handler)
    try:
        answer(backend.submit(tasks.log, "a word from the task"))
        record = seen.get(timeout=5)
        case = f"log({'a word from the task'!r}) arrived as {record.levelname} {record.getMessage()!r}"
        expect((record.levelno, record.getMessage()) == (logging.WARNING, "a word from the task"), case)
    except Empty:
        expect(False, "no record within 5 s of the end of a task that logged a warning")
    finally:
        logger.removeHandler(handler)


RULES: tuple[Rule, ...] = (
    arguments, order, many_callers, completion_order, does_not_wait, elsewhere, errors, any_error, unpicklable_result,
    advice, payload, context, callbacks, nested, logs,
)  # fmt: skip
