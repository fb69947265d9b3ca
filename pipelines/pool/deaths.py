"""What a worker's death means for the task it ran, and how to tell it."""

from __future__ import annotations

import signal
from typing import NamedTuple

from pipelines.errors import PoolError, TaskTimeout, WorkerCrashed, WorkerOutOfMemory
from pipelines.pool.crew import Sentence
from pipelines.pool.memory import OomKills
from pipelines.pool.outcome import Status
from pipelines.pool.stats import Death
from pipelines.pool.task import Task


class Verdict(NamedTuple):
    """How a task ended with its worker."""

    death: Death
    status: Status
    cause: str
    error: PoolError


def obituary(pid: int, code: int | None) -> str:
    """Say how a process ended: `worker 17 was killed by SIGSEGV`, `worker 17 exited with code 3`."""
    if code is None:
        return f"worker {pid} hung up"
    return f"worker {pid} " + (f"exited with code {code}" if code >= 0 else f"was killed by {_signal(code)}")


def condemned(sentence: Sentence) -> Verdict:
    """Tell of a task whose worker we killed for it."""
    task, death, cause = sentence
    match death:
        case Death.TIMEOUT:
            late = TaskTimeout(
                f"{task.name} ran past its deadline of {task.limits.deadline:g} s; its worker was killed"
            )
            return Verdict(death, Status.TIMEOUT, cause, late)
        case Death.OOM:
            error = WorkerOutOfMemory(f"{task.name} took too much memory: {cause}; its worker was killed")
            return Verdict(death, Status.OOM, cause, error)
        case _:
            # Whoever stopped it has cancelled its future before; nobody will see this.
            return Verdict(death, Status.CANCELLED, cause, WorkerCrashed(f"{task.name} was stopped"))


def crashed(task: Task, pid: int, code: int | None, words: str, oom_kills: OomKills) -> Verdict:
    """Tell of a task whose worker died of itself, or by somebody's hand."""
    what = obituary(pid, code)
    counter = oom_kills.have_grown() if code == -signal.SIGKILL else ""
    if counter:
        cause = "SIGKILL by the kernel's OOM killer"
        error: WorkerCrashed = WorkerOutOfMemory(
            f"{what} while it ran {task.name}, and the kernel's OOM killer was at work ({counter} grew)"
        )
        verdict = Verdict(Death.OOM, Status.OOM, cause, error)
    else:
        error = WorkerCrashed(f"{what} while it ran {task.name}; only this task is affected")
        verdict = Verdict(Death.CRASH, Status.CRASH, cause_of(code), error)
    if words:
        error.add_note(f"the worker's last output:\n{words}")
    return verdict


def cause_of(code: int | None) -> str:
    """Name the end of a process: `SIGSEGV`, `exit code 3`."""
    if code is None:
        return "hung up"
    return f"exit code {code}" if code >= 0 else _signal(code)


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
