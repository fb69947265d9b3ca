"""Errors of the crawler package, and the exit codes they lead to.

CrawlError
├── ConfigError    the configuration cannot be used; carries every problem: key, line, value, rule, remedy
├── LockedError    another run holds the output directory
├── StateError     the disk or the recorded state is in trouble: full, read-only, damaged, written by a newer version
└── WorkersError   no worker process can be kept alive, or the executor that was given is broken

Trouble with one URL is never an exception: it is a value with a `Reason` (`crawler.frontier.reasons`).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar, NamedTuple


class ExitCode(IntEnum):
    """What `crawl` tells the shell. Part of the interface: add, never renumber."""

    COMPLETE = 0
    """Everything in scope was crawled."""
    INTERNAL = 1
    """A bug on our side; the state is intact."""
    USAGE = 2
    """Wrong arguments or a config that cannot be used; nothing was touched."""
    FAILURES = 3
    """Finished, but more than `job.max_failed_ratio` of the pages failed."""
    LIMIT = 4
    """Stopped by a limit of the job with work left; the same command goes on if the limit is raised."""
    LOCKED = 5
    """Another run holds the output directory."""
    STATE = 6
    """Disk or state trouble."""
    INTERRUPTED = 130
    """Ctrl-C; the same command resumes."""
    TERMINATED = 143
    """SIGTERM; the same command resumes."""


class Problem(NamedTuple):
    """One thing that is wrong with a configuration. `str()` gives the line a person reads."""

    key: str
    """Dotted key, with the index in brackets for an element: `job.seeds[2]`; empty for the file as a whole."""
    rule: str
    """What was expected."""
    value: str | None = None
    """What was found, as it would be written in TOML and cut to a readable length; None where it may be a secret."""
    remedy: str = ""
    source: str = ""
    """The file as the user named it, `--set`, or empty for a value from Python."""
    line: int | None = None
    """One-based line in `source`."""

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.source and self.line else self.source
        rule = self.rule if self.value is None else f"{self.rule}, got {self.value}"
        text = ": ".join(part for part in (place, self.key, rule) if part)
        return f"{text}; {self.remedy}" if self.remedy else text


class CrawlError(Exception):
    """Base of all errors raised by this package."""

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL


class ConfigError(CrawlError):
    """The configuration cannot be used. `problems` holds all of them, in the order of the file."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class LockedError(CrawlError):
    """Another run holds the output directory."""

    exit_code = ExitCode.LOCKED


class StateError(CrawlError):
    """The disk or the recorded state is in trouble."""

    exit_code = ExitCode.STATE


class WorkersError(CrawlError):
    """No worker process can be kept alive, or the executor that was given is broken. The state is intact."""
