"""How a value of the config is read: one annotation that carries reader, JSON Schema and the way back to text.

`Annotated[float, Parsed(read, ...)]` says so for values that are written otherwise than they are kept: times, sizes,
URLs. Numbers, switches and choices are plain types with bounds, which msgspec checks.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from msgspec import Meta, Struct

from crawler.errors import Problem

KeyPath = tuple[str | int, ...]
"""Where a value is in a parsed file: `("job", "seeds", 2)`."""

UNKNOWN_KEY: Final = "unknown key"
"""The rule of a key that no table has; where it is shown, the nearest known key is put beside it."""


class Source(Struct, frozen=True, eq=False):
    """Where the values come from, for those who read them."""

    base: Path | None = None
    """Folder that relative paths start from; None for the current one."""
    is_text: bool = True
    """A person wrote the values in TOML: sizes and times must carry their unit, keys have the names of the file."""
    warnings: list[str] = []  # each struct gets its own
    """Filled by readers: what is allowed but looks wrong."""

    def locate(self, path: str | Path) -> Path:
        """Return where a path of the config leads; raise RuntimeError for the home of somebody who does not exist."""
        return (Path.cwd() if self.base is None else self.base) / Path(path).expanduser()


class Refused(Exception):
    """One value breaks a rule. Carries no value, which may be a secret."""

    def __init__(self, rule: str, remedy: str, *, show: bool) -> None:
        super().__init__(rule)
        self.rule, self.remedy, self.show = rule, remedy, show


def refuse(rule: str, remedy: str = "", *, show: bool = True) -> Refused:
    """Return the error for one value; `show=False` keeps the value itself out of the message."""
    return Refused(rule, remedy, show=show)


class Finding(NamedTuple):
    """One thing wrong with a table: which key, seen from that table, and with which other keys it does not fit."""

    path: KeyPath
    rule: str
    remedy: str = ""
    value: str | None = None
    """As it would be written in TOML; None where it may be a secret."""
    others: tuple[KeyPath, ...] = ()
    """The keys, seen from the same table, without which there is no problem."""
    problems: tuple[Problem, ...] = ()
    """What is wrong in the file that the key names, each with its line; these stand for the finding then."""

    def inside(self, table: KeyPath) -> Self:
        """Return the finding as seen from around the table."""
        return self._replace(path=table + self.path, others=tuple(table + other for other in self.others))


class Parsed(Struct, frozen=True, eq=False):  # hashed by identity: typing puts annotations into sets
    """A kind of value read by a function `(raw, source) -> value` that raises `refuse(...)`."""

    read: Callable[[Any, Source], Any]
    label: str
    """What the reference calls it: "time", "size", …"""
    schema: Mapping[str, Any]
    """JSON Schema of the form in the file."""
    show: Callable[[Any], Any] = str
    """From the value back to the form in the file, secrets hidden."""


def meaning(text: str) -> Meta:
    """Return the annotation that says what a key means: one sentence for the reference and the JSON Schema."""
    return Meta(description=text)
