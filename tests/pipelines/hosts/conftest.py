"""Runs programs in processes of their own, as their users do, and sees that none leaves a process behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # host_work, for this process
GONE_WITHIN = 2.0
"""Seconds that workers may outlive the end of their parent."""


def environment(**more: str) -> dict[str, str]:
    """Return this environment with the checkout and this folder to import from."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), **more}


def is_alive(pid: int) -> bool:
    """Tell whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., str]:
    """Run a Python script in a folder of its own; returns what it printed, and fails with what went wrong."""

    def run(text: str, *, seconds: float = 60.0) -> str:
        script = tmp_path / "program.py"
        script.write_text(text)
        done = subprocess.run(
            [sys.executable, str(script)],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def gone() -> Callable[[Iterable[int]], None]:
    """Wait until none of the processes is left."""

    def wait(pids: Iterable[int]) -> None:
        wanted = set(pids)
        assert wanted, "there were some"
        until = time.monotonic() + GONE_WITHIN
        while left := {pid for pid in wanted if is_alive(pid)}:
            assert time.monotonic() < until, left
            time.sleep(0.02)

    return wait
