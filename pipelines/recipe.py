"""A list of stages in a TOML file: `[[stage]]` with `use = "module:function"`, or the name of a built-in stage.

Only what the file itself says is judged here; whether the stages can be found and work is known where they are built.
"""

from __future__ import annotations

from collections.abc import Collection
from os import PathLike, fspath

from pipelines.errors import StageError

_REMEDY = 'write [[stage]] and use = "package.module:function" for each stage'


def stage_names(path: str | PathLike[str], built_in: Collection[str]) -> list[str]:
    """Return what each `[[stage]]` of a file uses, in order.

    Raises OSError when the file cannot be read, and StageError that names file, entry, value, rule and remedy.
    """
    import tomllib  # only for those who have such a file

    where = fspath(path)
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs a worker's start 8 ms, and workers import this package
        try:
            found = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise StageError(f"{where}: expected TOML in UTF-8: {error}; {_REMEDY}") from error
    if unknown := sorted(found.keys() - {"stage"}):
        raise StageError(f"{where}: {unknown[0]}: expected nothing but [[stage]]; {_REMEDY}")
    entries = found.get("stage", [])
    if not isinstance(entries, list) or not entries:
        raise StageError(f"{where}: stage: expected at least one [[stage]], got {entries!r}; {_REMEDY}")
    return [_name(f"{where}: stage {number}", entry, built_in) for number, entry in enumerate(entries, 1)]


def entry_of(error: StageError, names: list[str]) -> str:
    """Return which entry an error is about: its text begins with the stage's name."""
    found = (f"stage {number}" for number, name in enumerate(names, 1) if str(error).startswith(f"stage {name!r}: "))
    return next(found, "stage")


def _name(where: str, entry: object, built_in: Collection[str]) -> str:
    if not isinstance(entry, dict):
        raise StageError(f"{where}: expected a table, got {entry!r}; {_REMEDY}")
    if unknown := sorted(entry.keys() - {"use"}):
        raise StageError(f"{where}: {unknown[0]}: expected `use` and nothing else; {_REMEDY}")
    name = entry.get("use")
    if not isinstance(name, str) or not (":" in name or name in built_in):
        known = ", ".join(sorted(built_in))
        got = "nothing" if name is None else repr(name)
        raise StageError(f'{where}: use: expected "package.module:function" or one of {known}, got {got}; {_REMEDY}')
    return name
