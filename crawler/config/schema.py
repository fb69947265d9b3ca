"""The JSON Schema of the file, for editors."""

from typing import Any


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a config file."""
    raise NotImplementedError
