"""The JSON Schema of the file, for editors: completion, descriptions and a first check while typing.

It knows what a schema can know: keys, kinds, units, bounds, choices. Rules between keys, seeds, domains and secrets are
left to `crawl check`.
"""

from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from msgspec import Struct, json

from crawler.config.model import Config
from crawler.config.parsed import Parsed
from crawler.config.tree import Field, bare, default_of, fields_of, metadata, section_of

URL = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a config file; sizes and times are strings with a unit, as in the file."""
    tables = [inner for field in fields_of(Config) if (inner := section_of(field))]
    definitions = {table.__name__: _table(table) for table in sorted(tables, key=lambda table: table.__name__)}
    seeded = [{"required": ["seeds"]}, {"required": ["seeds_file"]}]
    start = [{"required": ["job"], "properties": {"job": {"anyOf": seeded}}}, {"required": ["download"]}]
    whole = {name: value for name, value in _table(Config).items() if name != "required"}
    return {"$schema": URL, "$defs": definitions, "anyOf": start, **whole}


def _table(model: type[Struct]) -> dict[str, Any]:
    required = [field.name for field in fields_of(model) if field.is_required()]
    return {
        "type": "object",
        "description": (model.__doc__ or "").partition("\n")[0],
        "properties": {field.name: _key(field) for field in fields_of(model)},
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def _key(field: Field) -> dict[str, Any]:
    schema = _value(field.annotation)
    if section_of(field):
        return schema
    schema["description"] = field.description
    default = default_of(field)
    if default is not None and field.name != "user_agent":  # its default changes with every version
        schema["default"] = default
    return schema


def _value(annotation: Any) -> dict[str, Any]:
    """Return the schema of one kind of value. TOML has no null: an optional key is left out."""
    for part in metadata(annotation):
        if isinstance(part, Parsed):
            return dict(part.schema)
    form = bare(annotation)
    if isinstance(form, type) and issubclass(form, Struct):
        return {"$ref": f"#/$defs/{form.__name__}"}
    arguments = [argument for argument in get_args(form) if argument is not NoneType]
    match get_origin(form):
        case None:
            return json.schema(annotation)
        case origin if origin is tuple:
            return {"type": "array", "items": _value(arguments[0])}
        case origin if origin is Mapping:
            return {"type": "object", "additionalProperties": _value(arguments[1])}
        case origin if origin is Literal:
            return {"type": "string", "enum": arguments}
        case _:
            return _value(arguments[0])
