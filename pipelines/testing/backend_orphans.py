"""The rule for backends whose maker is killed: nothing that it started runs on."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.backends.backend import Backend
from pipelines.testing import tasks
from pipelines.testing.rules import SECONDS, violation

RULE = "Nothing runs on for more than two seconds after the process of the backend is killed"
REMEDY = "have the kernel kill each child with its parent (prctl PR_SET_PDEATHSIG), or give it a pipe whose end ends it"
LIMIT_SECONDS = 2.0

_PROGRAM = "import sys; from pipelines.testing.backend_orphans import live; live(*sys.argv[1:])"


def check_no_orphans(make: Callable[[], Backend]) -> None:
    """Have another process make the backend and run a task, kill it, and see whether the task's process ends.

    `make` travels by its name. Raises AssertionError when a process runs on. Whatever was left is killed.
    """
    case, alive = killed_parent(make)
    if alive:
        raise violation(RULE, case, REMEDY)


def killed_parent(make: Callable[[], Backend]) -> tuple[str, bool]:
    """Return what was done, and whether the task's process was alive two seconds after; it no longer is."""
    name = f"{make.__module__}:{make.__qualname__}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryDirectory() as folder:
        mark = Path(folder) / "pid"
        command = [sys.executable, "-c", _PROGRAM, pickle.dumps(make).hex(), str(mark)]
        parent = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            try:
                pid = _pid_in(mark, parent)
            finally:
                parent.kill()
                parent.wait()
            alive = _outlives(pid)
        finally:
            _kill_group(parent.pid)
    return f"{name}: process {pid} and its task, after SIGKILL to the parent {parent.pid}", alive


def live(make: str, mark: str) -> None:
    """Be the parent: make the backend and wait for a task that will not end."""
    backend: Backend = pickle.loads(bytes.fromhex(make))()  # noqa: S301 - by the test, on its own command line
    backend.submit(tasks.nap_marking, 60.0, mark).result()


def _pid_in(mark: Path, parent: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and parent.poll() is None:
        if mark.exists() and (text := mark.read_text()):
            return int(text)
        time.sleep(0.02)
    raise AssertionError(f"no task was started within {SECONDS:.0f} s; exit code of the parent: {parent.poll()}")


def _outlives(pid: int) -> bool:
    until = time.monotonic() + LIMIT_SECONDS
    while _is_alive(pid):
        if time.monotonic() > until:
            return True
        time.sleep(0.02)
    return False


def _kill_group(leader: int) -> None:
    """End whatever the parent left behind."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return  # as it should be


def _is_alive(pid: int) -> bool:
    """A zombie whom nobody has reaped yet runs no more (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False
    except OSError:
        return True
