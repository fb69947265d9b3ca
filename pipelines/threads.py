"""Threads for calls that block, which never hold up the end of the program for longer than a bound.

`ThreadPoolExecutor` joins its threads at exit however long they take: one call that hangs, and the program never ends.
These are daemon threads. At exit those that still run get `EXIT_SECONDS`, and who needed longer is named in the log.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from pipelines.pool.names import name_of

T = TypeVar("T")

EXIT_SECONDS = 5.0
"""What calls that still run at the end of the program get to finish, all together."""
IDLE_SECONDS = 10.0
"""After which an idle thread ends."""

_log = logging.getLogger("pipelines")


class _Call(NamedTuple):
    future: Future[Any]
    name: str
    function: Callable[[], Any]


class Threads(Executor):
    """At most `most` daemon threads, started when needed. Any thread may call."""

    def __init__(self, most: int, *, name: str) -> None:
        self._most = most
        self._name = name
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._unfinished: dict[Future[Any], str] = {}
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._is_shut = False
        self._pid = os.getpid()
        atexit.register(_at_exit, weakref.ref(self))

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn(*args, **kwargs)` in a thread; raises RuntimeError after `shutdown`."""
        return self.start(name_of(fn), lambda: fn(*args, **kwargs))

    def start(self, name: str, function: Callable[[], T]) -> Future[T]:
        """Run `function` in a thread, under a name for messages; raises RuntimeError after `shutdown`."""
        future: Future[T] = Future()
        with self._lock:
            if self._is_shut:
                raise RuntimeError(f"{self._name}: closed, takes no more calls")
            self._unfinished[future] = name
            self._queue.put(_Call(future, name, function))
            if self._idle:
                self._idle -= 1  # promised to this call
            elif len(self._threads) < self._most:
                thread = threading.Thread(target=self._serve, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.add(thread)
                thread.start()
        future.add_done_callback(self._done)
        return future

    def unfinished(self) -> dict[Future[Any], str]:
        """Return the calls that wait or run, with their names."""
        return dict(self._unfinished)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with `wait`, return when those taken are done. Not bounded; see `drain`."""
        self._shut(cancel=cancel_futures)
        if wait:
            self._join(None)

    def drain(self, timeout: float) -> list[str]:
        """Take no more calls, cancel those that wait, and return the names of those that run on after `timeout`."""
        self._shut(cancel=True)
        self._join(timeout)
        return list(self.unfinished().values())

    def _done(self, future: Future[Any]) -> None:
        self._unfinished.pop(future, None)

    def _shut(self, *, cancel: bool) -> None:
        with self._lock:
            self._is_shut = True
            threads = len(self._threads)
        if cancel:
            for future in list(self._unfinished):
                future.cancel()
        for _ in range(threads):
            self._queue.put(None)

    def _join(self, timeout: float | None) -> None:
        until = None if timeout is None else monotonic() + timeout
        for thread in list(self._threads):
            thread.join(None if until is None else max(0.0, until - monotonic()))

    def _serve(self) -> None:
        try:
            while (call := self._next()) is not None:
                _run(call)
                del call  # what it held is not to live on while this thread waits
                with self._lock:
                    self._idle += 1
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _next(self) -> _Call | None:
        while True:
            try:
                return self._queue.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._idle:  # else a call is on its way to this thread
                        self._idle -= 1
                        return None


def _run(call: _Call) -> None:
    future, name, function = call
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = function()
    except StopIteration as exc:  # cannot be raised into a coroutine (PEP 479)
        error = RuntimeError(f"{name} raised StopIteration")
        error.__cause__ = exc
        future.set_exception(error)
    except BaseException as exc:  # noqa: BLE001 - whatever the call raises belongs to its future
        future.set_exception(exc)
    else:
        future.set_result(value)
    finally:
        del call, future, function  # the traceback of `exc` holds this frame: no cycle with the future


def _at_exit(reference: weakref.ref[Threads]) -> None:
    threads = reference()
    if threads is not None and threads._pid == os.getpid() and (late := threads.drain(EXIT_SECONDS)):  # noqa: SLF001 - its own module
        _log.warning("abandoned after %g s at exit, still running in threads: %s", EXIT_SECONDS, ", ".join(late))
