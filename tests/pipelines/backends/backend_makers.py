"""The backends under test, made by functions that another process can import by name."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from loky import ProcessPoolExecutor as LokyExecutor

from pipelines.backends import ForeignBackend, InlineBackend, LocalBackend, ThreadsBackend
from pipelines.pool.pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.backends import Backend
    from pipelines.page import Document

MEMORY_LIMIT = 450 << 20  # bytes; a payload of 100 MiB and its pickle fit in


CRAWL = {"spare": False, "forkserver": True, "recycle_above": MEMORY_LIMIT // 2, "memory_limit": MEMORY_LIMIT}
"""How the crawler makes its pool, whose workers are forked, have no spare and are replaced when they are large."""


def inline() -> Backend:
    return InlineBackend()


def threads(workers: int = 2) -> Backend:
    return ThreadsBackend(workers)


def local(workers: int = 2) -> Backend:
    return LocalBackend(WorkerPool(workers, name="local", memory_limit=MEMORY_LIMIT))


def crawl(workers: int = 2) -> Backend:
    """The pool as the crawler makes it."""
    options: dict[str, Any] = CRAWL
    return LocalBackend(WorkerPool(workers, name="crawl", preload=["pipelines.pipeline"], **options))


def stdlib_threads(workers: int = 2) -> Backend:
    return ForeignBackend(ThreadPoolExecutor(workers))


def spawn(workers: int = 2) -> Backend:
    return ForeignBackend(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))


def forkserver(workers: int = 2) -> Backend:
    return ForeignBackend(ProcessPoolExecutor(workers, mp_context=get_context("forkserver")))


def loky(workers: int = 2) -> Backend:
    return ForeignBackend(LokyExecutor(workers))


class Face(ForeignBackend):
    """The pool's own executor, taken for a foreign one. Shutting it down leaves the pool open, which others may use."""

    def __init__(self, workers: int) -> None:
        self.pool = WorkerPool(workers, name="face")
        super().__init__(self.pool.executor())

    def close(self, *, timeout: float = 5.0) -> None:
        super().close(timeout=timeout)
        self.pool.close(timeout=timeout)


def face(workers: int = 2) -> Backend:
    return Face(workers)


SIZED: dict[str, Callable[..., Backend]] = {
    make.__name__: make for make in (threads, local, crawl, stdlib_threads, spawn, forkserver, loky, face)
}
"""Those that take a number of workers."""
MAKERS: dict[str, Callable[[], Backend]] = {"inline": inline, **SIZED}


def count_words(doc: Document) -> None:
    """A stage that would tell if the order of a set came into it."""
    doc.record["words"] = sorted(set(doc.words))[:20]


class Counted:
    """A stage that knows how many of it this process has made."""

    made = 0

    def __init__(self) -> None:
        Counted.made += 1

    def __call__(self, doc: Document) -> None:
        doc.record["made"], doc.record["process"] = Counted.made, os.getpid()
