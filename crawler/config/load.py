"""From a TOML file to a `Config`, or to one error with every problem in it."""

import os
import re
import stat
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from crawler.config import overrides as command_line
from crawler.config import secrets
from crawler.config.model import Config
from crawler.config.parsed import Source
from crawler.config.section import Reader
from crawler.errors import ConfigError, Problem

MAX_FILE_BYTES: Final = 1024**2


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
    overridden, misplaced = command_line.apply(raw, overrides)
    source = Source(base=Path(base) if base is not None else Path.cwd())
    unresolved = secrets.resolve(raw, source, os.environ)
    reader = Reader(source)
    config: Config | None = reader.section(Config, raw, ())
    if config is not None and not misplaced and not unresolved:
        return config
    from crawler.config.diagnosis import diagnose, in_order
    from crawler.config.problems import Places, problems_of

    places = Places(name, text, overridden)
    problems = [*misplaced, *problems_of(unresolved, Config, places)]
    problems += diagnose(raw, source, reader.findings, places)
    raise ConfigError(in_order(problems, name))


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
