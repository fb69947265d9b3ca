"""The JSON Schema: what it accepts is what the loader accepts, as far as a schema can know."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from crawler.config import ConfigError, json_schema, loads
from crawler.config.reference import sections

SAMPLE = Path(__file__).parents[3] / "sample_config.toml"
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "boolean": bool, "array": list, "object": dict, "integer": int, "number": (int, float),
}  # fmt: skip


def errors(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "") -> list[str]:
    """Return where `value` breaks the schema: knows the part of JSON Schema that is in use, and no other."""
    known = {
        "$ref", "$defs", "$schema", "type", "properties", "required", "additionalProperties", "items", "anyOf", "enum",
        "pattern", "minimum", "maximum", "minLength", "description", "default", "examples", "format",
    }  # fmt: skip
    assert set(schema) <= known, set(schema) - known
    if "$ref" in schema:
        return errors(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, path)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(
        isinstance(value, _TYPES[name]) and (name == "boolean" or value is not True) for name in types
    ):
        return [f"{path}: type"]
    found = [] if value in schema.get("enum", [value]) else [f"{path}: enum"]
    if "anyOf" in schema and all(errors(value, {**option}, root, path) for option in schema["anyOf"]):
        found.append(f"{path}: anyOf")
    if isinstance(value, str):
        if not re.search(schema.get("pattern", ""), value) or len(value) < schema.get("minLength", 0):
            found.append(f"{path}: text")
    elif isinstance(value, int | float):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            found.append(f"{path}: bounds")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += errors(item, schema.get("items", {}), root, f"{path}[{index}]")
    elif isinstance(value, dict):
        found += [f"{path}.{name}: required" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            found += [f"{path}.{name}: unknown"] if inner is False else errors(item, inner, root, f"{path}.{name}")
    return found


SCHEMA = json_schema()


def check(text: str) -> list[str]:
    return errors(tomllib.loads(text), SCHEMA, SCHEMA)


def test_the_sample_fits_the_schema() -> None:
    assert check(SAMPLE.read_text("utf-8")) == []


MINIMAL = '[job]\nseeds = ["https://example.org/"]\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[job]\n",
        "[job]\nseeds = 'https://example.org/'\n",
        MINIMAL + "[fetch]\ntimeout = '1s'\n",
        MINIMAL + "[fetch]\ntotal_timeout = 'ten'\n",
        MINIMAL + "[fetch]\ntotal_timeout = 10\n",
        MINIMAL + "[fetch]\nconcurrency = 0\n",
        MINIMAL + "[fetch]\nconcurrency = 10001\n",
        MINIMAL + "[fetch]\nuvloop = 1\n",
        MINIMAL + "[politeness]\ndelay = 1\n",
        MINIMAL + "[parse]\nfollow = 'none'\n",
        MINIMAL + "[output]\nheaders = [1]\n",
        MINIMAL + "[[origin]]\nheaders = {}\n",
        MINIMAL + "[origin]\nurl = 'https://example.org'\n",
        MINIMAL + "[crawl]\n",
    ],
)
def test_schema_and_loader_refuse_alike(text: str) -> None:
    assert check(text)
    with pytest.raises(ConfigError):
        loads(text)


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL,
        MINIMAL + "[politeness]\ndelay = 0\n[fetch]\nmin_rate = 0\nheaders = { A = 'b' }\n",
        MINIMAL + "[scope]\nmax_depth = 0\n[priority]\nraise = ['a']\n[cpu]\nworkers = 1\n",
    ],
)
def test_schema_and_loader_accept_alike(text: str) -> None:
    assert check(text) == []
    loads(text)


def test_secrets_may_be_named_in_two_ways() -> None:
    text = MINIMAL + "[[origin]]\nurl = 'https://example.org'\nbasic_auth = { file = 'x' }\ncookies = { a = '${A}' }\n"
    assert check(text) == []


def test_every_key_is_described_closed_and_knows_its_default() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    tables = [SCHEMA, *SCHEMA["$defs"].values()]
    assert len(tables) == len(list(sections())) + 1
    for table in tables:
        assert table["additionalProperties"] is False
        assert table["description"]
    for table in SCHEMA["$defs"].values():
        assert all(key["description"] for key in table["properties"].values())
    assert SCHEMA["$defs"]["Fetch"]["properties"]["total_timeout"]["default"] == "2m"
    assert "raise" in SCHEMA["$defs"]["Priority"]["properties"]
