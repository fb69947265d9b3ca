"""The model seen as a table of keys: what the reader, the reference, the suggestions, the dumps and the tests use."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from msgspec import NODEFAULT, Meta, Struct, structs

from crawler.config.parsed import Parsed


class Field(NamedTuple):
    """One attribute of a section."""

    attribute: str
    name: str
    """As in the file: `raise`, where the attribute is `raise_`."""
    annotation: Any
    info: structs.FieldInfo

    @property
    def description(self) -> str:
        """What the key means."""
        said = [part.description for part in metadata(self.annotation) if isinstance(part, Meta) and part.description]
        return said[-1] if said else ""

    def is_required(self) -> bool:
        """Tell whether there is no default."""
        return self.info.required

    def default(self) -> Any:
        """Return the value of a key that is left out."""
        return self.info.default if self.info.default_factory is NODEFAULT else self.info.default_factory()


class Key(NamedTuple):
    """One key of the file."""

    section: str
    name: str
    """As in the file."""
    field: Field

    @property
    def dotted(self) -> str:
        """Section and name."""
        return f"{self.section}.{self.name}" if self.section else self.name


@cache
def fields_of(model: type[Struct]) -> tuple[Field, ...]:
    """Return the attributes of a section, in order."""
    return tuple(Field(info.name, info.encode_name, info.type, info) for info in structs.fields(model))


def keys(model: type[Struct], section: str = "") -> Iterator[Key]:
    """Yield every key of `model` and of the sections in it, in order; a section itself is no key."""
    for field in fields_of(model):
        inner = section_of(field)
        if inner is None:
            yield Key(section, field.name, field)
        else:
            yield from keys(inner, field.name)


def section_of(field: Field) -> type[Struct] | None:
    """Return the model of a field that is a table or an array of tables."""
    for part in (field.annotation, *get_args(field.annotation)):
        if isinstance(part, type) and issubclass(part, Struct):
            return part
    return None


def kind_of(field: Field) -> Parsed | None:
    """Return how a field, its elements or the values of its table are read; None for counts, switches and choices."""
    return _kind_in(field.annotation)


@cache
def _kind_in(annotation: Any) -> Parsed | None:
    found = [part for part in parts(annotation) if isinstance(part, Parsed)]
    return found[-1] if found else None


def bare(annotation: Any) -> Any:
    """Return an annotation without what is annotated."""
    return annotation.__origin__ if get_origin(annotation) is Annotated else annotation


def metadata(annotation: Any) -> tuple[Any, ...]:
    """Return what is annotated."""
    return annotation.__metadata__ if get_origin(annotation) is Annotated else ()


def parts(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and everything it is made of, at any depth, `Annotated` metadata included."""
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


def default_of(field: Field) -> Any:
    """Return the default of a field in the form it has in the file; None where there is none."""
    return None if field.is_required() else shown(field, field.default())


def shown(field: Field, value: Any) -> Any:
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


def dump(model: Struct) -> dict[str, Any]:
    """Return a section, or the whole config, in the form of the file, secrets hidden."""
    result: dict[str, Any] = {}
    for field in fields_of(type(model)):
        value = getattr(model, field.attribute)
        if isinstance(value, Struct):
            result[field.name] = dump(value)
        elif section_of(field):
            result[field.name] = [dump(item) for item in value]
        else:
            result[field.name] = shown(field, value)
    return result
