"""From a TOML file to a `Config`, or to one error with every problem in it."""

import os
import re
import stat
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from crawler.config import overrides as command_line
from crawler.config import secrets
from crawler.config.model import Config
from crawler.config.parsed import KeyPath, Source
from crawler.config.problems import Places, located, show_key
from crawler.errors import ConfigError, Problem

MAX_FILE_BYTES: Final = 1024**2
MAX_ROUNDS: Final = 3
"""Rules between keys are only looked at when each key is right: so leave the wrong ones out and look again."""


def load(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Config:
    """Return the config of a TOML file, with `section.key=value` overrides over it.

    Relative paths in it start from the file's folder. Raise `ConfigError` with every problem found.
    """
    name = os.fspath(path)
    return loads(_read(Path(path), name), name, base=Path(path).absolute().parent, overrides=overrides)


def loads(
    text: str, name: str = "config.toml", *, base: str | os.PathLike[str] | None = None, overrides: Sequence[str] = ()
) -> Config:
    """Return the config of a TOML text; `name` stands in messages, relative paths start from `base` (default: here)."""
    raw = _parse(text, name)
    overridden, problems = command_line.apply(raw, overrides)
    places = Places(name, text, overridden)
    source = Source(base=Path(base) if base is not None else Path.cwd(), name=name)
    for finding in secrets.resolve(raw, source, os.environ):
        problems.append(Problem(show_key(finding.path), finding.rule, None, finding.remedy, *places.of(finding.path)))
    config, found = _validate(raw, source, places)
    problems += found
    if config is None or problems:
        raise ConfigError(sorted(problems, key=lambda problem: _order(problem, name)))
    return config


def _order(problem: Problem, name: str) -> tuple[int, int]:
    """Sort the command line first, then the file from top to bottom, then other files as they were read."""
    if problem.source == name:
        return 1, problem.line or 0
    return (0, 0) if problem.source.startswith("--set") else (2, 0)


def _read(path: Path, name: str) -> str:
    def unusable(rule: str, remedy: str = "", line: int | None = None) -> ConfigError:
        return ConfigError([Problem("", rule, None, remedy, name, line)])

    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise unusable("expected a file, found a folder")
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for without end
            raise unusable("expected a regular file")
        if found.st_size > MAX_FILE_BYTES:
            raise unusable(
                f"expected a config of at most 1 MiB, found {found.st_size} bytes",
                "long lists of seeds go to seeds_file",
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise unusable("no such file", "sample_config.toml is a config to start from") from None
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        raise unusable(f"cannot be read: {getattr(exc, 'strerror', exc)}") from exc
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise unusable("found a byte order mark", "save the file as UTF-8 without BOM", 1)
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise unusable(
            f"expected UTF-8, found the byte 0x{data[exc.start]:02x}", "save the file as UTF-8", line
        ) from None


def _parse(text: str, name: str) -> dict[str, Any]:
    if text.startswith("\ufeff"):
        raise ConfigError([Problem("", "found a byte order mark", None, "leave it out", name, 1)])
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError([Problem("", "not valid TOML: nested too deeply", source=name)]) from None
    except ValueError as exc:  # TOMLDecodeError, and numbers too long for Python
        message, line = str(exc), None
        if match := re.search(r" \(at line (\d+), column (\d+)\)$", message):
            message, line = f"{message[: match.start()]} (column {match[2]})", int(match[1])
        elif message.endswith(" (at end of document)"):
            line = text.count("\n") + 1
        raise ConfigError([Problem("", f"not valid TOML: {message}", source=name, line=line)]) from None


def _validate(raw: dict[str, Any], source: Source, places: Places) -> tuple[Config | None, list[Problem]]:
    """Return the config, or None with all that is wrong with it."""
    problems: list[Problem] = []
    left_out: set[KeyPath] = set()
    for _ in range(MAX_ROUNDS):
        try:
            config = Config.model_validate(raw, context=source, by_alias=True, by_name=False)
        except ValidationError as exc:
            found = list(located(exc, Config, places))
        else:
            return (None if problems else config), problems
        problems += (problem for paths, problem in found if not any(_touches(path, left_out) for path in paths))
        wrong = {_prunable(paths[0]) for paths, _ in found}
        if wrong <= left_out:
            break
        for path in wrong:
            _leave_out(raw, path)
        left_out |= wrong
    return None, problems


def _prunable(path: KeyPath) -> KeyPath:
    """Return the key to leave out so that the rest is valid: a whole list, and all origins: indexes must not move."""
    return path[:1] if path[0] == "origin" else path[:2]


def _leave_out(raw: dict[str, Any], path: KeyPath) -> None:
    table: Any = raw
    for name in path[:-1]:
        table = table.get(name)
    if isinstance(table, dict):
        table.pop(path[-1], None)


def _touches(path: KeyPath, others: Iterable[KeyPath]) -> bool:
    return any(path[: len(other)] == other[: len(path)] for other in others)
