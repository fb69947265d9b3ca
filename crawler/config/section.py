"""What all sections have in common: frozen, unknown keys refused, problems as `ConfigError`, secrets never shown.

msgspec makes the classes and checks numbers, switches and choices. It stops at the first thing that is wrong, and a
person wants to see all of them: so `Reader` walks over the keys and asks it for one value at a time.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, cast, get_args, get_origin

from msgspec import Struct, StructMeta, ValidationError, convert
from msgspec.structs import asdict, force_setattr

from crawler.config.parsed import UNKNOWN_KEY, Finding, KeyPath, Parsed, Refused, Source
from crawler.config.tree import Field, bare, fields_of, metadata, section_of
from crawler.errors import ConfigError


class _Checked(StructMeta):
    """Makes the call of a section check what it is given: a struct by itself takes any value."""

    def __call__(cls, /, **values: Any) -> Any:  # noqa: N805  # a metaclass
        model = cast("type[Struct]", cls)
        reader = Reader(Source(is_text=False))
        made = reader.section(model, values, ())
        if made is None:
            from crawler.config.problems import problems_of

            raise ConfigError(problems_of(reader.findings, model))
        return made


class Section(Struct, metaclass=_Checked, frozen=True, kw_only=True, dict=True):
    """One table of the file. Equal to another of the same values; what is noted about it on the side does not count."""

    _given: ClassVar[frozenset[str]] = frozenset()

    @property
    def given(self) -> frozenset[str]:
        """The attributes that somebody set, be it to their defaults."""
        return self._given

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong between keys of this section that are right one by one."""
        yield from ()

    def complete(self, source: Source) -> Iterator[Finding]:
        """Fill in what follows from other keys, in a section just made without findings; yield what is in the way."""
        yield from ()

    def __copy__(self) -> "Section":
        return self  # it does not change

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), asdict(self), self.__dict__)


def assemble(model: type[Struct], values: Mapping[str, Any]) -> Any:
    """Return a section of values that are known to be right; the others are at their defaults."""
    return StructMeta.__call__(model, **values)


def _restored(model: type[Struct], values: Mapping[str, Any], notes: Mapping[str, Any]) -> Any:
    made = assemble(model, values)
    for name, note in notes.items():
        force_setattr(made, name, note)
    return made


class Reader:
    """Reads tables into sections, and collects what is wrong with them."""

    def __init__(self, source: Source) -> None:
        self.findings: list[Finding] = []
        self._source = source

    def section(self, model: type[Struct], raw: Any, path: KeyPath) -> Any:
        """Return the section that a table stands for; None when there are new findings."""
        if isinstance(raw, model):
            return raw  # checked when it was made
        if not isinstance(raw, Mapping):
            return self._refuse(path, "expected a table", raw)
        before = len(self.findings)
        values: dict[str, Any] = {}
        left = dict(raw)
        for field in fields_of(model):
            name = self._name(field, left)
            if name is not None:
                values[field.attribute] = self._value(field.annotation, left.pop(name), (*path, name))
            elif field.is_required():
                values[field.attribute] = self._missing(field, (*path, field.name))
        for name in left:
            if isinstance(name, str):
                self.findings.append(Finding((*path, name), UNKNOWN_KEY))
            else:
                self._refuse((*path, _part(name)), "expected a key that is text", name)
        return self._made(model, values, path) if len(self.findings) == before else None

    def _name(self, field: Field, raw: Mapping[str, Any]) -> str | None:
        """Return the key a field has in this table; in Python, `raise_` is as good as `raise`."""
        if field.name in raw:
            return field.name
        return field.attribute if field.attribute in raw and not self._source.is_text else None

    def _missing(self, field: Field, path: KeyPath) -> Any:
        if inner := section_of(field):
            return self.section(inner, {}, path)  # an absent table: it says itself what it lacks
        self.findings.append(Finding(path, "this key is required"))
        return None

    def _made(self, model: type[Struct], values: dict[str, Any], path: KeyPath) -> Any:
        made: Section = assemble(model, values)
        force_setattr(made, "_given", frozenset(values))
        found = list(made.findings()) or list(made.complete(self._source))
        self.findings += (finding.inside(path) for finding in found)
        return None if found else made

    def _value(self, annotation: Any, raw: Any, path: KeyPath) -> Any:
        for part in metadata(annotation):
            if isinstance(part, Parsed):
                return self._parsed(part, raw, path)
        form = bare(annotation)
        if isinstance(form, type) and issubclass(form, Struct):
            return self.section(form, raw, path)
        arguments = get_args(form)
        match get_origin(form):
            case origin if origin is Union or origin is UnionType:
                wanted = next(argument for argument in arguments if argument is not NoneType)
                return None if raw is None else self._value(wanted, raw, path)
            case origin if origin is tuple:
                return self._list(arguments[0], raw, path)
            case origin if origin is Mapping:
                return self._table(arguments, raw, path)
            case _:
                return self._plain(annotation, raw, path)

    def _parsed(self, kind: Parsed, raw: Any, path: KeyPath) -> Any:
        try:
            return kind.read(raw, self._source)
        except Refused as exc:
            return self._refuse(path, exc.rule, raw, exc.remedy, show=exc.show)

    def _list(self, element: Any, raw: Any, path: KeyPath) -> Any:
        if isinstance(raw, str | bytes | bytearray | Mapping) or not isinstance(raw, Iterable):
            return self._refuse(path, "expected a list, in square brackets", raw)
        return tuple(self._value(element, item, (*path, index)) for index, item in enumerate(raw))

    def _table(self, pair: tuple[Any, ...], raw: Any, path: KeyPath) -> Any:
        if not isinstance(raw, Mapping):
            return self._refuse(path, "expected a table", raw)
        key, value = pair
        read = {}
        for name, item in raw.items():
            inside = (*path, _part(name))
            known = self._value(key, name, inside)
            read[known] = self._value(value, item, inside)
        return read

    def _plain(self, annotation: Any, raw: Any, path: KeyPath) -> Any:
        try:
            return convert(raw, annotation)
        except ValidationError as exc:
            from crawler.config.problems import rule_of

            return self._refuse(path, rule_of(annotation, raw) or str(exc), raw)

    def _refuse(self, path: KeyPath, rule: str, raw: Any, remedy: str = "", *, show: bool = True) -> None:
        from crawler.config.problems import may_be_secret, show_value

        value = show_value(raw) if show and not may_be_secret(path) else None
        self.findings.append(Finding(path, rule, remedy, value))


def _part(name: object) -> str | int:
    return name if isinstance(name, str | int) else str(name)
