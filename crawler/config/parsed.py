"""How a value of the config is read: one annotation that carries reader, JSON Schema and the way back to text.

`Annotated[float, Parsed(read, ...)]` gives pydantic one validator function instead of a chain of them, which halves the
time to build the model: a crawl of a second should not spend a tenth of it on its settings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import PydanticCustomError, core_schema

from crawler.errors import Problem

KeyPath = tuple[str | int, ...]
"""Where a value is in a parsed file: `("job", "seeds", 2)`."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the values come from. Validators get it as pydantic's context; values from Python come without one."""

    base: Path
    """Folder that relative paths start from."""
    name: str = ""
    """The file as the user named it."""
    is_text: bool = True
    """A person wrote the values in TOML: sizes and times must carry their unit."""
    warnings: list[str] = field(default_factory=list)
    """Filled by validators: what is allowed but looks wrong."""


def source_of(info: Any) -> Source:
    """Return the source of the value under validation."""
    if isinstance(info.context, Source):
        return info.context
    return Source(base=Path.cwd(), is_text=False)


def refuse(rule: str, remedy: str = "", *, show: bool = True) -> PydanticCustomError:
    """Return the error for one value; `show=False` keeps the value itself out of the message."""
    return PydanticCustomError("crawl_rule", "{rule}", {"rule": rule, "remedy": remedy, "show": show})


class Finding(NamedTuple):
    """One thing wrong with a table: which key, seen from that table, and with which other keys it does not fit."""

    path: KeyPath
    rule: str
    remedy: str = ""
    value: str | None = None
    """As it would be written in TOML; None where it may be a secret."""
    others: tuple[KeyPath, ...] = ()
    """The keys, seen from the same table, without which there is no problem."""


def refuse_all(findings: Sequence[Finding]) -> PydanticCustomError:
    """Return one error of a table that stands for several."""
    return PydanticCustomError("crawl_findings", "several problems", {"findings": findings})


def refuse_file(key: str, problems: Sequence[Problem]) -> PydanticCustomError:
    """Return one error for all that is wrong in the file that a key of a table names; each problem has its line."""
    return PydanticCustomError("crawl_file", "several problems", {"key": key, "problems": problems})


@dataclass(frozen=True, slots=True, eq=False)  # hashed by identity: typing puts annotations into sets
class Parsed:
    """A kind of value read by a function `(raw, source) -> value` that raises `refuse(...)`."""

    read: Callable[[Any, Source], Any]
    label: str
    """What the reference calls it: "time", "size", …"""
    schema: Mapping[str, Any]
    """JSON Schema of the form in the file."""
    show: Callable[[Any], Any] = str
    """From the value back to the form in the file, secrets hidden."""
    is_plain: bool = True
    """The value is text or a number; otherwise `model_dump_json` writes its `str()`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            lambda raw, info: self.read(raw, source_of(info)),
            serialization=None if self.is_plain else core_schema.to_string_ser_schema(when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return dict(self.schema)
