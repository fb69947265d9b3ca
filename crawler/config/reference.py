"""The tables of docs/configuration.md, written from the model by `python -m crawler.config.reference <that file>`.

The prose of that page is written by hand; a table stands between `<!-- keys: fetch -->` and `<!-- end -->`.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from crawler.config.model import Config
from crawler.config.tree import Key, default_of, keys, kind_of, parts, section_of

_TABLE = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every section of the file with its model, in order."""
    for name, field in Config.model_fields.items():
        if model := section_of(field):
            yield name, model


def table(section: str) -> str:
    """Return the Markdown table of one section."""
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    return "\n".join((*rows, *map(_row, keys(dict(sections())[section], section))))


def _row(key: Key) -> str:
    meaning = (key.field.description or "").replace("|", "\\|").replace("<", "&lt;")
    return f"| `{key.name}` | {kind(key.field)} | {_default(key)} | {meaning} |"


def render(page: str) -> str:
    """Return a page with every table in it written anew."""
    return _TABLE.sub(lambda match: f"{match[1]}{table(match[2])}\n{match[3]}", page)


def kind(field: FieldInfo) -> str:
    """Return what a value may be, in a few words."""
    one = _kind_of_one(field)
    match get_origin(field.annotation):
        case origin if origin is tuple:
            return f"list: {one}"
        case origin if origin is Mapping:
            return f"table: name = {one}"
        case _:
            return one


def _kind_of_one(field: FieldInfo) -> str:
    if parsed := kind_of(field):
        return parsed.label
    if get_origin(field.annotation) is Literal:
        return " or ".join(f'`"{choice}"`' for choice in get_args(field.annotation))
    if field.annotation is bool:
        return "`true` or `false`"
    name = "number" if field.annotation is float else "whole number"
    bounds = [part for part in _metadata(field) if isinstance(part, Ge | Le)]
    lows: list[Any] = [part.ge for part in bounds if isinstance(part, Ge)]
    highs: list[Any] = [part.le for part in bounds if isinstance(part, Le)]
    low, high = max(lows), min(highs)
    return f"{name}, {low} or more" if high == 2**53 else f"{name}, {low} to {high}"


def _metadata(field: FieldInfo) -> Iterator[Any]:
    for part in (*field.metadata, *parts(field.annotation)):
        yield from part.metadata if isinstance(part, FieldInfo) else (part,)


def _default(key: Key) -> str:
    if key.field.is_required():
        return "required"
    value = default_of(key.field)
    if key.dotted == "fetch.user_agent":
        value = re.sub(r"/\S+", "/<version>", value, count=1)
    return "" if value is None else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(render(page.read_text("utf-8")), "utf-8")
