"""Text from the web made safe for a terminal."""

from __future__ import annotations

import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # controls, bidi and zero-width marks, surrogates, …


def printable(text: str, limit: int = 2000) -> str:
    """Return `text` with everything that could move a cursor, ring a bell, hide or reorder shown as an escape.

    Newline and tab are escaped too: one value is one line. Longer text is cut, and says so.
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(_escape(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
