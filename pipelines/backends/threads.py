"""Runs tasks in threads of this process: for blocking calls, and for C code that frees the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pipelines.backends.answer import answer
from pipelines.backends.backend import Guarantee, lacking
from pipelines.cpus import available_cpus
from pipelines.errors import PoolClosed


class ThreadsBackend:
    """A fixed number of threads; None for as many as there are CPUs for this process.

    Nothing can stop a thread: a task that hangs keeps its thread, `close` waits for it, and so does the end of the
    program. A task that waits for another one of the same backend can wait for ever.
    """

    guarantees = frozenset({Guarantee.OFF_LOOP, Guarantee.NO_ORPHANS, Guarantee.ANY_ERROR, Guarantee.LOGS})

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads: expected at least 1, got {threads}")
        self.threads = available_cpus().count if threads is None else threads
        self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="pipelines")
        self._is_closed = False

    @property
    def name(self) -> str:
        """How many threads there are."""
        return f"{self.threads} threads"

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, deadline: float | None = None, **kwargs: Any
    ) -> Future[Any]:
        """Run `fn` in a thread; `deadline` is ignored."""
        if self._is_closed:
            raise PoolClosed(f"{self.name} are closed; make another backend")
        return self._executor.submit(answer, fn, args, kwargs)

    def close(self, *, timeout: float = 5.0) -> None:
        """Take no more tasks and wait for those taken, however long they take."""
        self._is_closed = True
        self._executor.shutdown(wait=True)

    def lacking(self) -> list[str]:
        """Return what it does not guarantee, in words."""
        return lacking(self)
