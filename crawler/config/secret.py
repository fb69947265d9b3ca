"""Text that must not be seen."""

from typing import Final, final

_MASK: Final = "**********"


@final
class SecretStr:
    """Text that `repr`, `str`, formatting and every encoder leave out; `get_secret_value` is the only way to it.

    No struct and no subclass of `str`, so that msgspec, orjson and json refuse to write it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        """Return the text, for whoever sends it."""
        return self._text

    def __repr__(self) -> str:
        return f"SecretStr('{_MASK}')"

    def __str__(self) -> str:
        return _MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)
