"""Values from the command line: `--set fetch.concurrency=128` goes over the file."""

import tomllib
from collections.abc import Sequence
from typing import Any

from crawler.config.parsed import KeyPath
from crawler.errors import Problem


def apply(raw: dict[str, Any], overrides: Sequence[str]) -> tuple[frozenset[KeyPath], list[Problem]]:
    """Put `section.key=value` into a parsed file, in place; return the keys set and what is wrong with the arguments.

    A value is TOML (`64`, `true`, `["a", "b"]`); what is no TOML is taken as text, so that `10s` needs no quotes.
    """
    done: list[KeyPath] = []
    problems: list[Problem] = []
    for override in overrides:
        dotted, equals, text = override.partition("=")
        names = tuple(dotted.strip().split("."))
        if not equals or (len(names) < 2 and names[0] not in ("origin", "download")) or not all(names):
            rule = "expected section.key=value"
            problems.append(Problem("", rule, remedy="e.g. fetch.concurrency=128", source=f"--set {dotted.strip()}"))
            continue
        table: Any = raw
        for name in names[:-1]:
            table = table.setdefault(name, {}) if isinstance(table, dict) else None
        if isinstance(
            table, dict
        ):  # otherwise the file itself has a value where a table belongs, which is reported as such
            table[names[-1]] = _value(text.strip())
            done.append(names)
    return frozenset(done), problems


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text
