"""What a backend says that it lacks, it really lacks: else the warning cries wolf."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.backends import ForeignBackend, Guarantee, InlineBackend, LocalBackend, lacking, log_lacking, warn_of
from pipelines.backends.foreign import guarantees_of
from pipelines.errors import PoolBroken, TaskNotPicklable
from pipelines.pool.pool import WorkerPool
from pipelines.testing import tasks
from pipelines.testing.backend_orphans import killed_parent

sys.path.insert(0, str(Path(__file__).parent))
from backend_makers import MAKERS

if TYPE_CHECKING:
    from pipelines.backends import Backend

SECONDS = 20
IN_PROCESS = {"inline", "threads", "stdlib_threads"}


def waits_for_its_tasks(backend: Backend, name: str) -> None:
    future = backend.submit(tasks.nap, 0.3)
    assert future.done()
    assert future.result() > 0


def runs_here(backend: Backend, name: str) -> None:
    assert backend.submit(tasks.nap, 0).result(SECONDS) == backend.submit(tasks.nap, 0).result(SECONDS)
    assert backend.submit(threading.current_thread).result(SECONDS).name in {t.name for t in threading.enumerate()}


def ignores_deadlines(backend: Backend, name: str) -> None:
    started = time.monotonic()
    assert backend.submit(tasks.nap, 0.6, deadline=0.1).result(SECONDS) > 0
    assert time.monotonic() - started > 0.5


def falls_with_one_task(backend: Backend, name: str) -> None:
    if name in IN_PROCESS:
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import backend_makers\n"
            f"from pipelines.testing import tasks; b = backend_makers.{name}(); f = b.submit(tasks.die, 'os._exit')\n"
            "f.exception(9); sys.exit(0)"
        )
        assert subprocess.run([sys.executable, "-c", code], timeout=SECONDS, check=False).returncode == 3
        return
    futures = [backend.submit(tasks.nap, 0.5), backend.submit(tasks.die, "os._exit")]
    futures += [backend.submit(tasks.nap, 0.1) for _ in range(4)]
    assert all(future.exception(SECONDS) is not None for future in futures[1:])
    with pytest.raises(PoolBroken):
        backend.submit(tasks.plus, 1)


def takes_what_memory_there_is(backend: Backend, name: str) -> None:
    assert backend.submit(tasks.hog, 480).result(SECONDS) >= 480


def cannot_stop(backend: Backend, name: str) -> None:
    future = backend.submit(tasks.nap, 0.3)
    assert not hasattr(future, "stop")


def closes_late(backend: Backend, name: str) -> None:
    backend.submit(tasks.nap, 0).result(SECONDS)
    future = backend.submit(tasks.nap, 0.8)
    started = time.monotonic()
    backend.close(timeout=0.1)
    assert time.monotonic() - started > 0.5
    assert future.result(0) > 0


def gives_no_advice(backend: Backend, name: str) -> None:
    error = backend.submit(repr, threading.Lock()).exception(SECONDS)
    assert (error is None) == (name in IN_PROCESS)
    assert not isinstance(error, TaskNotPicklable)


def lets_an_exception_cost_more(backend: Backend, name: str) -> None:
    if name in IN_PROCESS:
        assert isinstance(backend.submit(tasks.fail, "SystemExit").exception(SECONDS), SystemExit)
        return
    backend.submit(tasks.fail, "two arguments").exception(SECONDS)
    with pytest.raises(PoolBroken):
        backend.submit(tasks.plus, 1).result(SECONDS)


def keeps_logs_to_itself(backend: Backend, name: str) -> None:
    seen: list[logging.LogRecord] = []
    logger = logging.getLogger("pipelines.testing")

    def keep(record: logging.LogRecord) -> bool:
        seen.append(record)
        return True

    logger.addFilter(keep)
    try:
        backend.submit(tasks.log, "nobody hears me").result(SECONDS)
        time.sleep(0.1)
    finally:
        logger.removeFilter(keep)
    assert seen == []


def leaves_orphans(backend: Backend, name: str) -> None:
    case, alive = killed_parent(MAKERS[name])
    assert alive, case


PROOFS: dict[Guarantee, Callable[[Backend, str], None]] = {
    Guarantee.OFF_LOOP: waits_for_its_tasks,
    Guarantee.PARALLEL: runs_here,
    Guarantee.DEADLINE: ignores_deadlines,
    Guarantee.ISOLATION: falls_with_one_task,
    Guarantee.MEMORY_LIMIT: takes_what_memory_there_is,
    Guarantee.STOP: cannot_stop,
    Guarantee.NO_ORPHANS: leaves_orphans,
    Guarantee.BOUNDED_CLOSE: closes_late,
    Guarantee.ADVICE: gives_no_advice,
    Guarantee.ANY_ERROR: lets_an_exception_cost_more,
    Guarantee.LOGS: keeps_logs_to_itself,
}


@cache
def promises(name: str) -> frozenset[Guarantee]:
    backend = MAKERS[name]()
    backend.close()
    found: frozenset[Guarantee] = backend.guarantees
    return found


@pytest.mark.parametrize("guarantee", list(Guarantee))
@pytest.mark.parametrize("name", list(MAKERS))
def test_a_lack_is_real(name: str, guarantee: Guarantee) -> None:
    if guarantee in promises(name):
        pytest.skip(f"{name} promises {guarantee}")
    backend = MAKERS[name]()
    try:
        PROOFS[guarantee](backend, name)
    finally:
        backend.close()


@pytest.mark.parametrize("name", list(MAKERS))
def test_a_lack_is_told_in_words(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """One warning with everything in it."""
    backend = MAKERS[name]()
    backend.close()
    missing = frozenset(Guarantee) - backend.guarantees
    assert len(lacking(backend)) == len(missing)
    with caplog.at_level(logging.WARNING):
        log_lacking(backend, logging.getLogger("pipelines"))
    if missing:
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert backend.name in record.getMessage()
        assert all(sentence in record.getMessage() for sentence in lacking(backend))
    else:
        assert caplog.records == []


def test_the_local_pool_with_a_limit_lacks_nothing() -> None:
    backend = LocalBackend(WorkerPool(1, memory_limit=1 << 30))
    backend.close()
    assert backend.lacking() == []
    without = LocalBackend(WorkerPool(1))
    without.close()
    assert without.lacking() == ["no limit of memory: one task can use up the memory of the machine"]


class Unknown(Executor):
    """Somebody's own."""


def test_little_is_known_of_an_executor() -> None:
    """Too little is a warning too many; too much would be a promise that nobody keeps."""
    assert guarantees_of(Unknown()) == {Guarantee.OFF_LOOP}
    with ThreadPoolExecutor(1) as threads:
        assert Guarantee.PARALLEL not in guarantees_of(threads)
    with ProcessPoolExecutor(1) as processes:
        assert guarantees_of(processes) == {Guarantee.OFF_LOOP, Guarantee.PARALLEL}
    assert "deadlines are ignored: a task that hangs keeps its place for ever" in ForeignBackend(Unknown()).lacking()


def test_whoever_brings_an_executor_is_warned_once(caplog: pytest.LogCaptureFixture) -> None:
    """But not who brings a face of the supervised pool."""
    with WorkerPool(1) as pool, caplog.at_level(logging.WARNING):
        warn_of(pool.executor(deadline=1.0), logging.getLogger("pipelines"))
        assert caplog.records == []
        warn_of(Unknown(), logging.getLogger("pipelines"))
    (record,) = caplog.records
    assert record.getMessage().startswith("Unknown does not guarantee everything: tasks share one interpreter lock")
    assert record.getMessage().count("; ") == len(Guarantee) - 2


def test_an_owner_may_know_better() -> None:
    backend = ForeignBackend(Unknown(), guarantees=frozenset({Guarantee.NO_ORPHANS}))
    assert backend.guarantees == {Guarantee.NO_ORPHANS}
    with pytest.raises(ValueError, match="takes no deadline"):
        ForeignBackend(Unknown(), guarantees=frozenset({Guarantee.DEADLINE}))


def test_interrupting_the_program_is_not_an_answer() -> None:
    """Ctrl-C while a task runs inline means the program."""
    with pytest.raises(KeyboardInterrupt):
        InlineBackend().submit(interrupt)
    backend = MAKERS["threads"]()
    future: Future[Any] = backend.submit(interrupt)
    assert "KeyboardInterrupt" in str(future.exception(SECONDS))
    backend.close()


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("threads", [0, -1])
def test_a_backend_of_no_threads_is_refused(threads: int) -> None:
    from pipelines.backends import ThreadsBackend

    with pytest.raises(ValueError, match="threads: expected at least 1"):
        ThreadsBackend(threads)


def test_the_table_of_the_documents_is_true() -> None:
    text = (Path(__file__).parents[3] / "docs" / "pipelines.md").read_text("utf-8")
    table = text.partition("<!-- guarantees -->\n")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    columns = ["inline", "threads", "local", "stdlib_threads", "spawn"]
    promised = {name: [guarantee.value for guarantee in Guarantee if guarantee in promises(name)] for name in columns}
    told = {name: [row[0] for row in rows if row[number] == "yes"] for number, name in enumerate(columns, 1)}
    assert [row[0] for row in rows] == [guarantee.value for guarantee in Guarantee]
    assert told == promised
