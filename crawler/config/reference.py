"""The tables of docs/configuration.md, written from the model by `python -m crawler.config.reference <that file>`.

The prose of that page is written by hand; a table stands between `<!-- keys: fetch -->` and `<!-- end -->`.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args, get_origin

from msgspec import Meta, Struct

from crawler.config.model import Config
from crawler.config.tree import Field, Key, bare, default_of, fields_of, keys, kind_of, parts, section_of

_TABLE = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def sections() -> Iterator[tuple[str, type[Struct]]]:
    """Yield every section of the file with its model, in order."""
    for field in fields_of(Config):
        if model := section_of(field):
            yield field.name, model


def table(section: str) -> str:
    """Return the Markdown table of one section."""
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    return "\n".join((*rows, *map(_row, keys(dict(sections())[section], section))))


def _row(key: Key) -> str:
    meaning = key.field.description.replace("|", "\\|").replace("<", "&lt;")
    return f"| `{key.name}` | {kind(key.field)} | {_default(key)} | {meaning} |"


def render(page: str) -> str:
    """Return a page with every table in it written anew."""
    return _TABLE.sub(lambda match: f"{match[1]}{table(match[2])}\n{match[3]}", page)


def kind(field: Field) -> str:
    """Return what a value may be, in a few words."""
    one = _kind_of_one(field)
    match get_origin(bare(field.annotation)):
        case origin if origin is tuple:
            return f"list: {one}"
        case origin if origin is Mapping:
            return f"table: name = {one}"
        case _:
            return one


def _kind_of_one(field: Field) -> str:
    if parsed := kind_of(field):
        return parsed.label
    form = bare(field.annotation)
    if get_origin(form) is Literal:
        return " or ".join(f'`"{choice}"`' for choice in get_args(form))
    found = list(parts(field.annotation))
    if bool in found:
        return "`true` or `false`"
    name = "number" if float in found else "whole number"
    (low, high), *_ = [(part.ge, part.le) for part in found if isinstance(part, Meta) and part.le is not None]
    return f"{name}, {low} or more" if high == 2**53 else f"{name}, {low} to {high}"


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
