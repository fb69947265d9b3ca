"""The command `crawl` as a person or cron runs it: real processes, real signals, real terminals."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]
CRAWL = [sys.executable, "-m", "crawler"]
Record = tuple[str, int, str | None, str | None]
MakeJob = Callable[..., "Job"]
"""The fixture `make_job`: makes a job for a site, in a new folder; keywords are tables of its config."""


class Site:
    """A demo site in a process of its own, on a free port."""

    def __init__(self, *options: str) -> None:
        self._process = subprocess.Popen(
            [*CRAWL, "demo", "--port", "0", "--plain", "--crawl-delay", "0", *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C meant for a crawl under test is not for the site
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[1]

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.communicate(timeout=10)


@dataclass
class Job:
    """A config in a folder of its own, and runs of it."""

    folder: Path
    url: str
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tables: dict[str, dict[str, Any]] = {
            "job": {"seeds": [self.url], "out": "out"},
            "scope": {"hosts": [f"127.0.0.{n}" for n in range(1, 5)]},
            "fetch": {"allow_addresses": ["127.0.0.0/8"], "retries": 0},
            "politeness": {"delay": "0s", "per_host": 16},
            "cpu": {"workers": 1},  # starts sooner than two
        }
        for name, table in self.tables.items():
            tables.setdefault(name, {}).update(table)
        lines = []
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def config(self) -> Path:
        """The file."""
        return self.folder / "crawl.toml"

    @property
    def out(self) -> Path:
        """Where its results are."""
        return self.folder / "out"

    def start(self, *arguments: str, sabotage: str = "", **popen: Any) -> subprocess.Popen[str]:
        """Start `crawl` on the config, in a session of its own, with pipes for stdout and stderr.

        `sabotage` is Python that runs in the crawl's process before anything else (not in its workers).
        """
        environ = dict(popen.pop("env", os.environ))
        environ["PYTHONPATH"] = str(ROOT)
        if sabotage:
            (self.folder / "sitecustomize.py").write_text(sabotage)
            environ["PYTHONPATH"] = f"{self.folder}:{ROOT}"
        popen = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
        command = [*CRAWL, str(self.config), *arguments]
        return subprocess.Popen(command, env=environ, text=True, start_new_session=True, **popen)

    def run(self, *arguments: str, timeout: float = 20, **popen: Any) -> Ran:
        """Run to the end."""
        return end_of(self.start(*arguments, **popen), timeout)

    def records(self) -> list[Record]:
        """Return what must not depend on how often a crawl was interrupted. Every line must parse."""
        lines = (self.out / "pages.jsonl").read_bytes().splitlines()
        found = [orjson.loads(line) for line in lines]
        return sorted((line["url"], line["status"], line["sha256"], line["text_sha256"]) for line in found)

    def summary(self) -> dict[str, Any]:
        """Return `summary.json`."""
        return orjson.loads((self.out / "summary.json").read_bytes())  # type: ignore[no-any-return]  # JSON

    def has_records(self) -> bool:
        """Return whether anything was committed to pages.jsonl yet."""
        path = self.out / "pages.jsonl"
        return path.exists() and path.stat().st_size > 0


@dataclass(frozen=True)
class Ran:
    """A process that has ended."""

    code: int
    """Negative when a signal ended it."""
    out: str
    err: str
    seconds: float
    """From the call of `end_of`."""


def end_of(process: subprocess.Popen[str], timeout: float = 20) -> Ran:
    """Wait for the end of a process that leads a group; nothing of the group may be left."""
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    until(lambda: not _group_lives(process.pid), 3, "the end of the worker processes")
    return Ran(process.returncode, out or "", err or "", time.monotonic() - began)


def _group_lives(group: int) -> bool:
    """Return whether the group has a member that is no zombie (nobody may reap orphans in a container)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
            if int(pgrp) == group and state != "Z":
                return True
    return False


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.005)


class Terminal:
    """A pseudo-terminal that a process has as its controlling one."""

    def __init__(self, columns: int = 100, rows: int = 40) -> None:
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.seen = b""

    def start(self, job: Job, *arguments: str, sabotage: str = "", **environ: str) -> subprocess.Popen[str]:
        """Start a crawl on it; `sabotage` as in `Job.start`."""
        fd = self.theirs
        env = {**os.environ, "TERM": "xterm-256color", **environ}
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
            if name not in environ:
                env.pop(name, None)

        def take() -> None:
            fcntl.ioctl(fd, termios.TIOCSCTTY, 0)

        return job.start(*arguments, sabotage=sabotage, env=env, stdin=fd, stdout=fd, stderr=fd, preexec_fn=take)

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._ours, keys)

    def read_until(self, text: bytes, seconds: float = 10) -> None:
        """Read until `text` was seen."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"no {text!r} within {seconds} s: {self.seen!r}"
            self._read(0.05)

    def end_of(self, process: subprocess.Popen[str], timeout: float = 20) -> Ran:
        """Read until the process has ended; `out` is all that the terminal got."""
        began = time.monotonic()
        while process.poll() is None:
            if time.monotonic() > began + timeout:
                os.killpg(process.pid, signal.SIGKILL)
                raise TimeoutError(self.seen)
            self._read(0.02)
        self._read(0.0)
        return Ran(process.returncode, self.seen.decode(), "", time.monotonic() - began)

    def close(self) -> None:
        """Hang up."""
        os.close(self._ours)
        os.close(self.theirs)

    def _read(self, patience: float) -> None:
        while select.select([self._ours], [], [], patience)[0]:
            self.seen += os.read(self._ours, 65536)
            patience = 0.0


SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


def plain(text: str) -> str:
    """Return what a terminal got without what moves the cursor or colours."""
    return SEQUENCE.sub("", text).replace("\r", "")
