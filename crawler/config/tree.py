"""The model seen as a table of keys: what the reference, the suggestions, the dumps and the tests walk over."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from crawler.config.parsed import Parsed


class Key(NamedTuple):
    """One key of the file."""

    section: str
    name: str
    """As in the file: `raise`, where the attribute is `raise_`."""
    attribute: str
    field: FieldInfo

    @property
    def dotted(self) -> str:
        """Section and name."""
        return f"{self.section}.{self.name}" if self.section else self.name


def keys(model: type[BaseModel], section: str = "") -> Iterator[Key]:
    """Yield every key of `model` and of the sections in it, in order; a section itself is no key."""
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        inner = section_of(field)
        if inner is None:
            yield Key(section, name, attribute, field)
        else:
            yield from keys(inner, name)


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a table or an array of tables."""
    for part in (field.annotation, *get_args(field.annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def kind_of(field: FieldInfo) -> Parsed | None:
    """Return how a field, its elements or the values of its table are read; None for counts, switches and choices."""
    found = [part for part in parts(field.annotation) if isinstance(part, Parsed)]
    found += [part for part in field.metadata if isinstance(part, Parsed)]
    return found[-1] if found else None


def parts(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and everything it is made of, at any depth, `Annotated` metadata included."""
    yield annotation
    for part in (*get_args(annotation), *getattr(annotation, "__metadata__", ())):
        yield from parts(part)


def default_of(field: FieldInfo) -> Any:
    """Return the default of a field in the form it has in the file; None where there is none."""
    return shown(field, field.get_default(call_default_factory=True))


def shown(field: FieldInfo, value: Any) -> Any:
    """Return `value` in the form it has in the file: times and sizes with units, paths as text, secrets hidden."""
    kind = kind_of(field)
    show = kind.show if kind else _plain
    match value:
        case None:
            return None
        case dict():
            return {name: show(item) for name, item in value.items()}
        case tuple():
            return [show(item) for item in value]
        case _:
            return show(value)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def dump(model: BaseModel) -> dict[str, Any]:
    """Return a section, or the whole config, in the form of the file, secrets hidden."""
    result: dict[str, Any] = {}
    for attribute, field in type(model).model_fields.items():
        value = getattr(model, attribute)
        name = field.alias or attribute
        if isinstance(value, BaseModel):
            result[name] = dump(value)
        elif section_of(field):
            result[name] = [dump(item) for item in value]
        else:
            result[name] = shown(field, value)
    return result
