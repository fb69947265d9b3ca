"""The backends under test, made by functions that another process can import by name."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

from loky import ProcessPoolExecutor as LokyExecutor

from pipelines.backends import ForeignBackend, InlineBackend, LocalBackend, ThreadsBackend
from pipelines.pool.pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.backends import Backend
    from pipelines.page import Document

MEMORY_LIMIT = 450 << 20  # bytes; a payload of 100 MiB and its pickle fit in


def inline() -> Backend:
    return InlineBackend()


def threads() -> Backend:
    return ThreadsBackend(2)


def local() -> Backend:
    return LocalBackend(WorkerPool(2, name="local", memory_limit=MEMORY_LIMIT))


def stdlib_threads() -> Backend:
    return ForeignBackend(ThreadPoolExecutor(2))


def spawn() -> Backend:
    return ForeignBackend(ProcessPoolExecutor(2, mp_context=get_context("spawn")))


def forkserver() -> Backend:
    return ForeignBackend(ProcessPoolExecutor(2, mp_context=get_context("forkserver")))


def loky() -> Backend:
    return ForeignBackend(LokyExecutor(2))


def face() -> Backend:
    """The pool's own executor, taken for a foreign one."""
    return ForeignBackend(WorkerPool(2, name="face").executor())


MAKERS: dict[str, Callable[[], Backend]] = {
    make.__name__: make for make in (inline, threads, local, stdlib_threads, spawn, forkserver, loky, face)
}


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
