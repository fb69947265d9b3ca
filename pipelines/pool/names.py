"""What a function is called in messages. Light: workers import it too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def name_of(function: Callable[..., Any]) -> str:
    """Return a function's full name, as far as it has one: `str.upper` has no module, a `partial` no name."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{name}" if module and name else name or repr(function)
