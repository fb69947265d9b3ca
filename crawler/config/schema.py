"""The JSON Schema of the file, for editors: completion, descriptions and a first check while typing.

It knows what a schema can know: keys, kinds, units, bounds, choices. Rules between keys, seeds, domains and secrets are
left to `crawl check`.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from crawler.config.model import Config
from crawler.config.tree import default_of, section_of

URL = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a config file; sizes and times are strings with a unit, as in the file."""
    schema = Config.model_json_schema(by_alias=True, schema_generator=_Generator)
    _complete(schema, Config, schema["$defs"])
    schema["required"] = ["job"]
    schema["$defs"]["Job"]["anyOf"] = [{"required": ["seeds"]}, {"required": ["seeds_file"]}]
    return {"$schema": URL, **schema}


class _Generator(GenerateJsonSchema):
    def default_schema(self, schema: Any) -> dict[str, Any]:
        return dict(self.generate_inner(schema["schema"]))  # defaults are put in below, in the form of the file

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        return dict(self.generate_inner(schema["schema"]))  # TOML has no null: an optional key is left out

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _complete(table: dict[str, Any], model: type[BaseModel], definitions: Mapping[str, dict[str, Any]]) -> None:
    table.pop("title", None)
    table["description"] = (model.__doc__ or "").partition("\n")[0]
    for attribute, field in model.model_fields.items():
        if inner := section_of(field):
            _complete(definitions[inner.__name__], inner, definitions)
            continue
        default = default_of(field)
        if default is not None and attribute != "user_agent":  # its default changes with every version
            table["properties"][field.alias or attribute]["default"] = default
