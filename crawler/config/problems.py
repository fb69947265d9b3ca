"""From pydantic's errors to problems a person can act on: key, line, value, rule, remedy."""

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel, ValidationError

from crawler.config.lines import lines_of
from crawler.config.parsed import Finding, KeyPath
from crawler.config.tree import keys
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

_RULES = {
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "string_type": "expected text in quotes",
    "string_too_short": "expected text that is not empty",
    "tuple_type": "expected a list, in square brackets",
    "mapping_type": "expected a table",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "greater_than_equal": "expected a number of at least {ge}",
    "less_than_equal": "expected a number of at most {le}",
    "literal_error": "expected {expected}",
    "missing": "this key is required",
}


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
        case dict():
            text = "a table"
        case list() | tuple():
            text = "a list"
        case _:
            text = str(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"


def problems_of(error: ValidationError, model: type[BaseModel], places: Places | None = None) -> list[Problem]:
    """Return one problem for each error. Carries no value that may be a secret."""
    places = places or Places()
    return [problem for _, problem in located(error, model, places)]


def located(
    error: ValidationError, model: type[BaseModel], places: Places
) -> Iterator[tuple[Sequence[KeyPath], Problem]]:
    """Yield each problem with the paths of all keys it depends on, the one it is about first."""
    for item in error.errors(include_url=False):
        path: KeyPath = tuple(part for part in item["loc"] if part != "[key]")
        context = item.get("ctx", {})
        if item["type"] == "crawl_findings":
            for finding in context["findings"]:
                yield _placed(finding, path, places)
        elif item["type"] == "crawl_file":
            yield from (([(*path, context["key"])], problem) for problem in context["problems"])
        elif item["type"] == "extra_forbidden":
            yield [path], _unknown(path, model, places)
        else:
            rule = context.get("rule") or _RULES.get(item["type"], "{msg}").format(msg=item["msg"], **context)
            is_shown = context.get("show", True) and item["type"] != "missing" and not may_be_secret(path)
            value = show_value(item["input"]) if is_shown else None
            finding = Finding((), rule, context.get("remedy", ""), value)
            yield _placed(finding, path, places)


def may_be_secret(path: KeyPath) -> bool:
    """Tell whether the value at `path` may be a credential, also one written where it does not belong."""
    return (path[0] == "origin" and path[-1] != "url") or path[:2] in (("fetch", "headers"), ("fetch", "proxy"))


def _placed(finding: Finding, path: KeyPath, places: Places) -> tuple[Sequence[KeyPath], Problem]:
    whole = path + finding.path
    source, line = places.of(whole)
    problem = Problem(show_key(whole), finding.rule, finding.value, finding.remedy, source, line)
    return [whole, *(path + other for other in finding.others)], problem


def _unknown(path: KeyPath, model: type[BaseModel], places: Places) -> Problem:
    source, line = places.of(path)
    nearest = suggest(path, model)
    rule = f'unknown key; did you mean "{nearest}"?' if nearest else "unknown key"
    return Problem(show_key(path), rule, source=source, line=line)


def suggest(path: KeyPath, model: type[BaseModel]) -> str | None:
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
