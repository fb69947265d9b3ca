"""The plain kinds of values: counts, times, sizes, regular expressions, paths, text, secrets."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta

from crawler.config import units
from crawler.config.parsed import Parsed, Source, refuse
from crawler.config.secret import SecretStr

MAX_PATTERN_CHARS: Final = 1000
"""Patterns run on every link, in an engine that backtracks. The cap keeps them readable; what one can still cost is
bounded by the text it sees (`crawler.frontier.scope`) and, in a worker, by `cpu.page_timeout`."""


def _read_quantity(rule: str, parse: Callable[[str], Any], check: Callable[[Any], Any], above_zero: bool) -> Any:
    def read(raw: Any, source: Source) -> Any:
        is_number = isinstance(raw, int | float) and not isinstance(raw, bool)
        if is_number and raw != 0 and source.is_text:
            raise refuse(rule, "write the unit" if raw > 0 else "")
        try:
            value = check(raw) if is_number else parse(raw)
        except (ValueError, TypeError, OverflowError):
            raise refuse(rule) from None
        if above_zero and not value:
            raise refuse(rule)
        return value

    return read


def _time(*, above_zero: bool) -> Parsed:
    bound = "above 0" if above_zero else "of 0 or more"
    rule = f'expected a time {bound} with unit ("10s", "2m")'
    read = _read_quantity(rule, units.parse_time, units.checked_seconds, above_zero)
    schema = _quantity_schema(units.TIME_PATTERN, ["500ms", "10s", "2m", "24h"], above_zero)
    return Parsed(read, "time", schema, units.format_time)


def _size(*, above_zero: bool) -> Parsed:
    bound = "above 0" if above_zero else "of 0 or more"
    rule = f'expected a size {bound} with unit ("500kB", "16MiB")'
    read = _read_quantity(rule, units.parse_size, units.checked_size, above_zero)
    schema = _quantity_schema(units.SIZE_PATTERN, ["100B", "500kB", "16MiB"], above_zero)
    return Parsed(read, "size", schema, units.format_size)


def _quantity_schema(pattern: str, examples: list[str], above_zero: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "pattern": pattern, "examples": examples}
    if not above_zero:  # zero needs no unit
        schema |= {"type": ["string", "integer"], "minimum": 0, "maximum": 0}
    return schema


def _read_pattern(raw: Any, source: Source) -> str:
    if isinstance(raw, re.Pattern):
        raw = raw.pattern
    if not isinstance(raw, str):
        raise refuse("expected a regular expression in quotes", r"single quotes keep backslashes: '\.pdf$'")
    if not raw:
        raise refuse("expected a regular expression that is not empty: an empty one matches every URL")
    if len(raw) > MAX_PATTERN_CHARS:
        raise refuse(f"expected a regular expression of at most {MAX_PATTERN_CHARS} characters", "split it in two")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            re.compile(raw)
    except FutureWarning as exc:
        raise refuse(f"expected a regular expression that will mean the same in later Pythons ({exc})") from None
    except re.error as exc:
        where = "" if exc.pos is None else f" at character {exc.pos + 1}"
        raise refuse(f"expected a regular expression ({exc.msg}{where})") from None
    except (RecursionError, OverflowError):
        raise refuse("expected a regular expression that Python can compile") from None
    return raw


def _read_path(raw: Any, source: Source) -> Path:
    if not isinstance(raw, str | Path) or not str(raw) or "\0" in str(raw):
        raise refuse("expected a path in quotes")
    try:
        return source.locate(raw)
    except RuntimeError:  # ~somebody who does not exist
        raise refuse("expected a path; its home directory is not known") from None


def read_text(raw: Any, source: Source) -> str:
    """Return `raw` if it is text without control characters, which could end a header line or drive a terminal."""
    if not isinstance(raw, str):
        raise refuse("expected text in quotes")
    if any(ord(char) < 32 or 127 <= ord(char) < 160 for char in raw):
        raise refuse("expected text without line breaks and control characters")
    return raw


def _read_line(raw: Any, source: Source) -> str:
    text = read_text(raw, source)
    if not text.strip():
        raise refuse("expected text that is not empty")
    return text


def _read_secret(raw: Any, source: Source) -> SecretStr:
    secret = SecretStr(raw) if isinstance(raw, str) else raw
    if not isinstance(secret, SecretStr) or not secret.get_secret_value():
        raise refuse("expected text in quotes", show=False)
    if any(ord(char) < 32 or ord(char) == 127 for char in secret.get_secret_value()):
        raise refuse("expected a secret of one line without control characters", show=False)
    return secret


SECRET_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {"file": {"type": "string"}},
            "required": ["file"],
            "additionalProperties": False,
        },
    ]
}

Count = Annotated[int, Meta(ge=1, le=2**53)]
Natural = Annotated[int, Meta(ge=0, le=2**53)]
Switch = bool
Ratio = Annotated[float, Meta(ge=0, le=1)]
Time = Annotated[float, _time(above_zero=True)]
TimeOrZero = Annotated[float, _time(above_zero=False)]
Size = Annotated[int, _size(above_zero=True)]
SizeOrZero = Annotated[int, _size(above_zero=False)]
Regex = Annotated[str, Parsed(_read_pattern, "regular expression", {"type": "string", "format": "regex"})]
FilePath = Annotated[Path, Parsed(_read_path, "path", {"type": "string", "minLength": 1})]
Text = Annotated[str, Parsed(read_text, "text", {"type": "string"})]
Line = Annotated[str, Parsed(_read_line, "text", {"type": "string", "minLength": 1})]
Secret = Annotated[SecretStr, Parsed(_read_secret, "secret", SECRET_SCHEMA, lambda _: "***")]
