"""All that is wrong with a file, in the order in which it is read.

Rules between keys are only looked at when each key is right: so the wrong ones are left out, and the rest is read
again.
"""

from collections.abc import Iterable
from typing import Any, Final

from crawler.config.model import Config
from crawler.config.parsed import Finding, KeyPath, Source
from crawler.config.problems import Places, located
from crawler.config.section import Reader
from crawler.errors import Problem

MAX_ROUNDS: Final = 3
"""The keys, the rules between the keys of a section, the rules between sections."""


def diagnose(raw: dict[str, Any], source: Source, findings: list[Finding], places: Places) -> list[Problem]:
    """Return the problems of a parsed file, of which a first reading had these findings. Takes keys out of `raw`."""
    problems: list[Problem] = []
    left_out: set[KeyPath] = set()
    for _ in range(MAX_ROUNDS):
        found = list(located(findings, Config, places))
        problems += (problem for paths, problem in found if not any(_touches(path, left_out) for path in paths))
        wrong = {_prunable(paths[0]) for paths, _ in found}
        if wrong <= left_out:
            break
        for path in wrong:
            _leave_out(raw, path)
        left_out |= wrong
        reader = Reader(source)
        reader.section(Config, raw, ())
        findings = reader.findings
    return problems


def in_order(problems: Iterable[Problem], name: str) -> list[Problem]:
    """Return the command line first, then the file from top to bottom, then other files as they were read."""

    def order(problem: Problem) -> tuple[int, int]:
        if problem.source == name:
            return 1, problem.line or 0
        return (0, 0) if problem.source.startswith("--set") else (2, 0)

    return sorted(problems, key=order)


def _prunable(path: KeyPath) -> KeyPath:
    """Return the key to leave out so that the rest is valid; of a list all of it, since indexes must not move."""
    return path[:1] if path[0] in ("origin", "download") else path[:2]


def _leave_out(raw: dict[str, Any], path: KeyPath) -> None:
    table: Any = raw
    for name in path[:-1]:
        table = table.get(name)
    if isinstance(table, dict):
        table.pop(path[-1], None)


def _touches(path: KeyPath, others: Iterable[KeyPath]) -> bool:
    return any(path[: len(other)] == other[: len(path)] for other in others)
