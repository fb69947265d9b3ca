"""One backend for each rule that it breaks. All are threads in disguise, and promise what they do not keep."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from pipelines.backends import Guarantee, ThreadsBackend
from pipelines.errors import TaskNotPicklable, TaskTimeout
from pipelines.testing import tasks

KEPT = ThreadsBackend.guarantees


class Plain:
    """Keeps all that threads can keep; each subclass breaks one thing."""

    guarantees: frozenset[Guarantee] = KEPT
    name = "plain"

    def __init__(self) -> None:
        self.inner = ThreadsBackend(2)

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, deadline: float | None = None, **kwargs: Any
    ) -> Future[Any]:
        return self.inner.submit(fn, *args, **kwargs)

    def close(self, *, timeout: float = 5.0) -> None:
        self.inner.close(timeout=timeout)


class DropsKeywords(Plain):
    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        return self.inner.submit(fn, *args)


class KeepsNames(Plain):
    def submit(  # type: ignore[override]  # on purpose
        self, fn: Any, *args: Any, deadline: float | None = None, **kwargs: Any
    ) -> Future[Any]:
        return self.inner.submit(fn, *args, **kwargs)


class MixesUp(Plain):
    """Answers with what was asked before."""

    last: Future[Any] | None = None

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        future = self.inner.submit(fn, *args, **kwargs)
        answer, self.last = self.last, future
        return answer if answer is not None and fn is tasks.plus and not kwargs else future


class LateDeadline(Plain):
    """Looks at the clock once in a while: too late by three quarters of a second."""

    guarantees = KEPT | {Guarantee.DEADLINE}

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        if deadline is None or fn is tasks.plus:
            return self.inner.submit(fn, *args, **kwargs)
        future: Future[Any] = Future()
        threading.Timer(deadline + 0.75, future.set_exception, [TaskTimeout("too late")]).start()
        return future


class KeepsAnswers(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        self.futures.append(self.inner.submit(fn, *args, **kwargs))
        return self.futures[-1]


class OneCaller(Plain):
    """Keeps the call in itself until it is handed over."""

    call: tuple[Any, ...]

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        self.call = args
        time.sleep(0.002)
        return self.inner.submit(fn, *self.call, **kwargs)


class GivesAnswers(Plain):
    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Any:
        return self.inner.submit(fn, *args, **kwargs).result()


class InTurn(Plain):
    """One thread: what ends early waits for what came before."""

    def __init__(self) -> None:
        self.inner = ThreadsBackend(1)


class Blocks(Plain):
    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        future = self.inner.submit(fn, *args, **kwargs)
        if args != (0.2,):  # the probe for two places
            wait([future], 3)
        return future


class SaysParallel(Plain):
    guarantees = KEPT | {Guarantee.PARALLEL}


class WrapsErrors(Plain):
    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        return self.inner.submit(_wrapped, fn, *args, **kwargs)


def _wrapped(fn: Any, /, *args: Any, **kwargs: Any) -> Any:
    try:
        return fn(*args, **kwargs)
    except Exception as error:
        raise RuntimeError(str(error)) from error


class PassesExit(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.pool = ThreadPoolExecutor(2)

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        return self.pool.submit(fn, *args, **kwargs)

    def close(self, *, timeout: float = 5.0) -> None:
        self.pool.shutdown()
        super().close()


class LosesResults(Plain):
    """What it cannot pickle is an obscure error."""

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        return self.inner.submit(_refusing, fn, *args, **kwargs)


def _refusing(fn: Any, /, *args: Any, **kwargs: Any) -> Any:
    value = fn(*args, **kwargs)
    if callable(value):
        raise OSError("broken pipe")
    return value


class SaysAdvice(Plain):
    guarantees = KEPT | {Guarantee.ADVICE}


class TersePickle(Plain):
    guarantees = KEPT | {Guarantee.ADVICE}

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        if fn.__name__ == "<lambda>" or (args and not isinstance(args[0], int | float | str | bytes)):
            raise TaskNotPicklable("no")
        return self.inner.submit(fn, *args, **kwargs)


class CutsPayload(Plain):
    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        if fn is tasks.weigh:
            args = (args[0][: 1 << 20],)
        return self.inner.submit(fn, *args, **kwargs)


class CopiesPayload(Plain):
    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        copies = [bytearray(args[0]) for _ in range(8)] if fn is tasks.weigh else []
        future = self.inner.submit(fn, *args, **kwargs)
        del copies
        return future


class CarriesContext(Plain):
    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - belongs to the future
            future.set_exception(error)
        return future

    guarantees = KEPT - {Guarantee.OFF_LOOP, Guarantee.ANY_ERROR}


class Locks(Plain):
    """Settles a future while it holds the lock that submit needs."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        if not self.lock.acquire(timeout=1.0):
            raise OSError("submit waited for the lock of submit")
        self.lock.release()
        outer: Future[Any] = Future()
        outer.set_running_or_notify_cancel()

        def settle(inner: Future[Any]) -> None:
            with self.lock:
                error = inner.exception()
                outer.set_exception(error) if error is not None else outer.set_result(inner.result())

        self.inner.submit(fn, *args, **kwargs).add_done_callback(settle)
        return outer

    guarantees = KEPT - {Guarantee.OFF_LOOP}


class Silent(Plain):
    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        return self.inner.submit(_silent if fn is tasks.log else fn, *args, **kwargs)


def _silent(text: str) -> None:
    logging.getLogger("pipelines.testing.nobody").debug("%s", text)


class NeverNested(Plain):
    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        return self.inner.submit(_daemonic if fn is tasks.nested else fn, *args, **kwargs)


def _daemonic() -> None:
    raise AssertionError("daemonic processes are not allowed to have children")


class Shielded(Plain):
    """Futures that cannot be cancelled, ever."""

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        inner = self.inner.submit(fn, *args, **kwargs)
        inner.cancel = lambda: False  # type: ignore[method-assign]  # on purpose
        return inner


class CancelsRunning(Plain):
    """Says yes to whoever cancels what runs."""

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        inner = self.inner.submit(fn, *args, **kwargs)
        cancel = inner.cancel
        inner.cancel = lambda: cancel() or inner.running()  # type: ignore[method-assign]  # on purpose
        return inner


class CancelsDone(Plain):
    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        inner = self.inner.submit(fn, *args, **kwargs)
        cancel = inner.cancel
        inner.cancel = lambda: cancel() or inner.done()  # type: ignore[method-assign]  # on purpose
        return inner


class SaysStop(Plain):
    guarantees = KEPT | {Guarantee.STOP}


class SaysDeadline(Plain):
    guarantees = KEPT | {Guarantee.DEADLINE}

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        if fn is tasks.nap and args[0] > 2:
            args = (2.5,)  # or the test would take half a minute
        return self.inner.submit(fn, *args, **kwargs)


class SaysIsolation(Plain):
    """Says so, and answers a death like any other error."""

    guarantees = KEPT | {Guarantee.ISOLATION}

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        return self.inner.submit(_broken_pipe if fn is tasks.die else fn, *args, **kwargs)


def _broken_pipe(kind: str) -> None:
    raise BrokenPipeError(kind)


class AnswersTwice(Plain):
    """The forked child's answer is taken for its parent's."""

    guarantees = KEPT | {Guarantee.ISOLATION}

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        if fn is tasks.die:
            return self.inner.submit(_crashed)
        return self.inner.submit(_no if fn is tasks.fork else fn, *args, **kwargs)


def _crashed() -> None:
    from pipelines.errors import WorkerCrashed

    raise WorkerCrashed("as it should be")


def _no() -> bool:
    return False


class SaysMemoryLimit(Plain):
    guarantees = KEPT | {Guarantee.MEMORY_LIMIT}

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        return self.inner.submit(fn, *((16,) if fn is tasks.hog else args), **kwargs)


class LosesOnClose(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        self.taken.append(self.inner.submit(fn, *args, **kwargs))
        return self.taken[-1]

    def close(self, *, timeout: float = 5.0) -> None:
        for future in self.taken:
            future.cancel()
        super().close()


class StaysOpen(Plain):
    """Takes tasks after close."""

    def close(self, *, timeout: float = 5.0) -> None:
        time.sleep(0.3)


class ClosesOnce(Plain):
    is_closed = False

    def close(self, *, timeout: float = 5.0) -> None:
        if self.is_closed and sys._getframe(1).f_code.co_name == "close":
            raise OSError("closed already")
        self.is_closed = True
        super().close()


class SaysBounded(Plain):
    guarantees = KEPT | {Guarantee.BOUNDED_CLOSE}


class Nameless(Plain):
    name = ""


class Vague(Plain):
    guarantees = "deadline"  # type: ignore[assignment]  # on purpose


class LeavesOrphans(Plain):
    """Runs what would be killed with it in a process of its own."""

    def submit(self, fn: Any, /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[Any]:
        if fn is tasks.nap_marking:
            code = "import sys; from pipelines.testing.tasks import nap_marking; nap_marking(20, sys.argv[1])"
            subprocess.Popen([sys.executable, "-c", code, args[1]])
            return self.inner.submit(time.sleep, 20)
        return self.inner.submit(fn, *args, **kwargs)
