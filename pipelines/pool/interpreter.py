"""How another interpreter is started that finds the same modules as this one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pipelines.pool.orders import Orders


def command(bootstrap: str, orders: Orders, preload: Sequence[str]) -> list[str]:
    """Return the command line of a process that runs `bootstrap`."""
    flags = ["-O"] * sys.flags.optimize
    flags += [f"-W{option}" for option in sys.warnoptions]
    flags += [f"-X{key}" if value is True else f"-X{key}={value}" for key, value in sys._xoptions.items()]  # noqa: SLF001 - public
    if sys.flags.dont_write_bytecode:
        flags.append("-B")
    if not _needs_site():
        flags.append("-S")  # site reads every .pth file; the child gets the finished sys.path instead
    path = [entry or str(Path.cwd()) for entry in sys.path]
    words = [orders.as_argument(), ",".join(preload)]
    return [sys.executable, *flags, "-Xfaulthandler", "-c", bootstrap, *words, *path]


def keep_standard_descriptors(stack: ExitStack) -> None:
    """Keep 0, 1 and 2 taken for a while, where they are closed: the child puts its own files there."""
    while (fd := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        stack.callback(os.close, fd)
    os.close(fd)


def _needs_site() -> bool:
    """Say whether sys.path is not all: editable installs by setuptools and coverage hook in through .pth files."""
    editable = any(str(getattr(finder, "__module__", "")).startswith("__editable__") for finder in sys.meta_path)
    return editable or "COVERAGE_PROCESS_START" in os.environ or "COVERAGE_PROCESS_CONFIG" in os.environ
