"""What a function is called in messages, and why some cannot be sent. Light: workers import it too."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any


def name_of(function: Callable[..., Any]) -> str:
    """Return a function's full name, as far as it has one: `str.upper` has no module, a `partial` no name."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{name}" if module and name else name or repr(function)


def homeless(function: Callable[..., Any]) -> str:
    """Say why a function of `__main__` cannot be sent, and what to do; nothing of any other function."""
    if getattr(function, "__module__", None) != "__main__":
        return ""
    place, remedy = "the script that was started", "define it in a module and import it"
    if hasattr(builtins, "__IPYTHON__"):  # set by IPython's shell, also in the kernel of a notebook
        place, remedy = "this notebook", f"{remedy}: a cell that begins with `%%writefile mine.py` makes one"
    return f"{name_of(function)}: defined in {place}, which workers do not run; {remedy}"
