"""The header lines of one answer, read-only: each field may occur once, several times, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class FieldTwice(ValueError):
    """A field that must occur once occurs with different values."""

    def __init__(self, name: str, values: list[str]) -> None:
        super().__init__(f"{name} occurs {len(values)} times with different values: {', '.join(map(repr, values[:3]))}")
        self.name = name
        self.values = values


class Fields:
    """A multi-dict of header lines: names are compared in lower case, values have no blanks around them."""

    __slots__ = ("_values",)

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in lines:
            self._values.setdefault(name.lower(), []).append(value.strip(" \t"))

    def one(self, name: str) -> str | None:
        """Return the value of a field, None when it is absent; the same value twice counts as one.

        Raises FieldTwice when its lines differ. RFC 9110 5.3 allows only lists to be sent as several lines, and
        to choose between two values is to trust the one an attacker added.
        """
        values = self._values.get(name.lower())
        if values is None:
            return None
        if any(value != values[0] for value in values):
            raise FieldTwice(name.lower(), values)
        return values[0]

    def all(self, name: str) -> list[str]:
        """Return the values of all lines of a field, in order."""
        return list(self._values.get(name.lower(), ()))

    def joined(self, name: str) -> str | None:
        """Return the lines of a list field as one value (RFC 9110 5.2), None when it is absent."""
        values = self._values.get(name.lower())
        return None if values is None else ", ".join(values)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._values

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield all lines as (name, value); lines of one name together."""
        for name, values in self._values.items():
            for value in values:
                yield name, value

    def __repr__(self) -> str:
        return f"Fields({list(self)!r})"
