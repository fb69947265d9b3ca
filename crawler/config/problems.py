"""From findings to problems a person can act on: key, line, value, rule, remedy.

Imported only where there is one.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, Literal, get_args, get_origin

from msgspec import Meta, Struct

from crawler.config.lines import lines_of
from crawler.config.parsed import UNKNOWN_KEY, Finding, KeyPath
from crawler.config.tree import bare, keys, parts
from crawler.errors import Problem

_SYNONYMS = {
    "timeout": "fetch.total_timeout",
    "urls": "job.seeds",
    "start_urls": "job.seeds",
    "allowed_domains": "scope.domains",
    "depth": "scope.max_depth",
    "rate": "politeness.delay",
    "processes": "cpu.workers",
    "threads": "fetch.concurrency",
}
"""What other crawlers call it, or what people try first, where the spelling alone would lead elsewhere."""


@dataclass(frozen=True)
class Places:
    """Where each value was written. Empty for values from Python."""

    name: str = ""
    text: str = ""
    overridden: frozenset[KeyPath] = frozenset()

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return lines_of(self.text)  # only when there is a problem to show

    def of(self, path: KeyPath) -> tuple[str, int | None]:
        """Return source and line of a key; of the nearest table around it when the key itself is absent."""
        if any(path[: len(key)] == key for key in self.overridden):
            return "--set", None
        for length in range(len(path), 0, -1):
            if line := self._lines.get(path[:length]):
                return self.name, line
        return self.name, None


def show_key(path: KeyPath) -> str:
    """Return the dotted key, with indexes in brackets and odd names in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)
            text += f".{name}" if text else name
    return text


def show_value(value: object) -> str:
    """Return `value` about as TOML has it, in one short printable line."""
    match value:
        case bool():
            text = "true" if value else "false"
        case str():
            text = json.dumps(value, ensure_ascii=not value.isprintable())
        case int() if value.bit_length() > 256:  # hexadecimal in the file; Python writes no number of 4,300 digits
            text = f"a number of {value.bit_length()} bits"
        case dict():
            text = "a table"
        case list() | tuple():
            text = "a list"
        case _:
            text = str(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"


def problems_of(findings: Iterable[Finding], model: type[Struct], places: Places | None = None) -> list[Problem]:
    """Return the problems that findings in a table of `model` stand for. Carries no value that may be a secret."""
    places = places or Places()
    return [problem for _, problem in located(findings, model, places)]


def located(
    findings: Iterable[Finding], model: type[Struct], places: Places
) -> Iterator[tuple[Sequence[KeyPath], Problem]]:
    """Yield each problem with the paths of all keys it depends on, the one it is about first."""
    for finding in findings:
        paths = [finding.path, *finding.others]
        if finding.problems:
            yield from ((paths, problem) for problem in finding.problems)
        else:
            yield paths, _placed(finding, model, places)


def rule_of(annotation: Any, raw: Any) -> str:
    """Return which rule of a number, a switch or a choice `raw` breaks; empty when none is known."""
    form = bare(annotation)
    if get_origin(form) is Literal:
        *first, last = map(repr, get_args(form))
        return f"expected {', '.join(first)} or {last}" if first else f"expected {last}"
    if form is bool:
        return "expected true or false"
    if isinstance(raw, bool) or not isinstance(raw, int if form is int else int | float):
        return "expected a whole number" if form is int else "expected a number"
    if isinstance(raw, float) and not isfinite(raw):
        return "expected a finite number"
    bounds = [part for part in parts(annotation) if isinstance(part, Meta)]
    for bound in bounds:
        if bound.ge is not None and raw < bound.ge:
            return f"expected a number of at least {bound.ge}"
        if bound.le is not None and raw > bound.le:
            return f"expected a number of at most {bound.le}"
    return ""


def may_be_secret(path: KeyPath) -> bool:
    """Tell whether the value at `path` may be a credential, also one written where it does not belong."""
    return (path[0] == "origin" and path[-1] != "url") or path[:2] in (("fetch", "headers"), ("fetch", "proxy"))


def _placed(finding: Finding, model: type[Struct], places: Places) -> Problem:
    source, line = places.of(finding.path)
    rule = finding.rule
    if rule is UNKNOWN_KEY and (nearest := suggest(finding.path, model)):
        rule = f'{rule}; did you mean "{nearest}"?'
    return Problem(show_key(finding.path), rule, finding.value, finding.remedy, source, line)


def suggest(path: KeyPath, model: type[Struct]) -> str | None:
    """Return the known key that `path` was most likely meant to be: in its own section first, then in any other."""
    *table, name = [part for part in path if isinstance(part, str)]
    wanted = name.replace("-", "_").lower()
    section = ".".join(table)
    known = {key.dotted: key for key in keys(model)}
    if not section and (found := _nearest(wanted, {key.section for key in known.values() if key.section}, 0.7)):
        return found
    by_name: dict[str, str] = {}
    for dotted, key in known.items():
        if key.name not in by_name or key.section == section:
            by_name[key.name] = dotted
    if (synonym := _SYNONYMS.get(wanted)) in known:
        return synonym
    near = _nearest(wanted, {key.name for key in known.values() if key.section == section}, 0.6)
    if wanted in by_name or near is None:
        near = _nearest(wanted, set(by_name), 0.75)
    return by_name[near] if near else None


def _nearest(word: str, known: set[str], cutoff: float) -> str | None:
    return next(iter(difflib.get_close_matches(word, sorted(known), 1, cutoff)), None)
