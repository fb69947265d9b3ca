"""The user's own stages: `module:function`, imported when the pipeline is built, in the process that will run them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from pipelines.errors import StageError
from pipelines.page import Document

Stage = Callable[[Document], "Document | None"]
"""A step of the pipeline: changes the document it is given, or returns another one."""


def load_stage(name: str) -> Stage:
    """Return the callable that `name` ("package.module:function") names; StageError says what is wrong with it."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise StageError(f'stage {name!r}: expected "package.module:function"')
    try:
        found: object = import_module(module_name)
    except Exception as error:  # importing runs the user's code, which may raise anything
        raise StageError(f"stage {name!r}: cannot import {module_name}: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise StageError(f"stage {name!r}: module {module_name} has no {attribute!r}")
    if not callable(found):
        raise StageError(f"stage {name!r}: {attribute} is a {type(found).__name__}, expected a callable")
    return found
