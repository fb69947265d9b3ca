"""Runs a case in a sandbox and watches it: its time, its size, and what it reports of its steps.

The size is looked at as the pool does: the resident size, every 50 ms. A case that goes too far is ended by SIGABRT, on
which faulthandler writes where it was, and by SIGKILL when that does not help.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import orjson

from pipelines.pipeline import FIRST_STEP
from pipelines.work import WARM_UP_SECONDS

GRACE_SECONDS = 5.0
"""What the sandbox gets beyond the page's own time, for its start and for its last words."""
WATCH_SECONDS = 0.05
MAX_OUTPUT_CHARS = 20_000
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Run(NamedTuple):
    """How a case ended this time."""

    steps: list[dict[str, Any]]
    """In order; one without `seconds` was begun and not finished."""
    trouble: str | None
    """What ended the process and where, or what it took too much of; None when it came to its end."""
    output: str
    """What it printed, with the traceback of faulthandler."""


def run(folder: Path, seconds: float, memory: int | None) -> Run:
    """Run a case in a sandbox of its own for at most so many seconds and resident bytes."""
    ours, theirs = os.pipe()
    command = [sys.executable, "-m", "crawler.quarantine.sandbox", str(folder), str(seconds), str(theirs)]
    with os.fdopen(ours, "rb", buffering=0) as reports:
        try:
            process = subprocess.Popen(
                command, pass_fds=[theirs], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        finally:
            os.close(theirs)
        with _Watch(process, reports.fileno(), seconds, memory) as watch:
            output = watch.wait()
            text = output.decode("utf-8", "replace")[-MAX_OUTPUT_CHARS:]
            return Run(watch.steps(), watch.trouble(output), text)


class _Watch:
    """A process under watch; leaving the block ends it."""

    def __init__(self, process: subprocess.Popen[bytes], reports: int, seconds: float, memory: int | None) -> None:
        self._process, self._reports, self._seconds, self._memory = process, reports, seconds, memory
        os.set_blocking(reports, False)
        self._told = b""
        self._sizes: dict[int, int] = {}  # largest one seen, by the number of reports before it
        self._until = monotonic() + WARM_UP_SECONDS + GRACE_SECONDS
        self._verdict = ""

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait(self) -> bytes:
        """Return what it printed until it ended, or was ended."""
        while True:
            try:
                return self._process.communicate(timeout=WATCH_SECONDS)[0]
            except subprocess.TimeoutExpired:
                self._look()

    def _look(self) -> None:
        was_building = self._is_building()
        self._listen()
        now = monotonic()
        if was_building and not self._is_building():
            self._until = now + self._seconds + GRACE_SECONDS
        if now >= self._until:
            self._verdict = self._verdict or f"did not end within {self._limit_seconds():g} s, and was killed"
            self._process.kill()
            return
        size, count = _rss(self._process.pid), self._told.count(b"\n")
        self._sizes[count] = max(size, self._sizes.get(count, 0))
        if self._memory is not None and size > self._memory and not self._is_building() and not self._verdict:
            self._verdict = f"took {mib(size)}, above its {mib(self._memory)}, and was ended"
            self._until = now + GRACE_SECONDS
            self._process.send_signal(signal.SIGABRT)

    def _listen(self) -> None:
        with suppress(BlockingIOError):
            while found := os.read(self._reports, 65536):
                self._told += found

    def _is_building(self) -> bool:
        """Whether no step of the page has begun; the first step has two reports."""
        return self._told.count(b"\n") < 3

    def _limit_seconds(self) -> float:
        return WARM_UP_SECONDS if self._is_building() else self._seconds

    def steps(self) -> list[dict[str, Any]]:
        """Return what is known of each step, the size of an unfinished one as it was seen."""
        self._listen()
        found: list[dict[str, Any]] = []
        for count, line in enumerate(self._told.splitlines(), 1):
            report = orjson.loads(line)
            if found and found[-1]["step"] == report["step"] and "seconds" not in found[-1]:
                found[-1] |= report
            else:
                found.append(report | {"peak_rss": self._sizes.get(count, 0)})
        return found

    def trouble(self, output: bytes) -> str | None:
        """Say in words what was wrong, and where; None when it came to its end within its limits."""
        steps, memory = self.steps(), self._memory
        place = steps[-1]["step"] if steps else "the start"
        how = self._verdict or self._how(output)
        if how is None and (not steps or "seconds" not in steps[-1]):
            how = "ended early"
        if how is not None:
            return f"{how}, in {place}"
        for step in steps:
            if memory is not None and step["step"] != FIRST_STEP and step["peak_rss"] > memory:
                return f"came to its end, but took {mib(step['peak_rss'])} in {step['step']}, above its {mib(memory)}"
        return None

    def _how(self, output: bytes) -> str | None:
        code = self._process.returncode
        if code == 0:
            return None
        if b"Timeout (" in output:  # what faulthandler writes before it ends the process
            return f"did not end within {self._limit_seconds():g} s"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def mib(size: int) -> str:
    """Return a size as a person reads it."""
    return f"{size / 2**20:.0f} MiB"


def _rss(pid: int) -> int:
    """Return the resident size now; 0 where the kernel does not tell, or it is dead."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split(None, 2)[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0
