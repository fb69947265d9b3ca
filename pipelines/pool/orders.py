"""What a worker is started with, as both sides see it."""

from __future__ import annotations

from typing import NamedTuple

BOOTSTRAP = "import sys; sys.path[:] = sys.argv[3:]; from pipelines.pool.worker import main; main(sys.argv)"
"""What the interpreter runs. Its arguments: the orders, the modules to import, sys.path…"""
SERVER_BOOTSTRAP = BOOTSTRAP.replace("pool.worker", "pool.stem")
"""The same for a fork server."""


class Orders(NamedTuple):
    """Numbers for a worker; sizes in bytes, 0 for no limit."""

    socket: int
    token: int
    """-1 for none."""
    tray: int
    """-1 for none."""
    parent: int
    """Process id."""
    nice: int
    level: int
    """Of the log records to forward."""
    address_space: int
    recycle_above: int
    max_result: int
    """Of a pickled result."""
    has_setup: bool

    def as_argument(self) -> str:
        """Return them as one word of a command line."""
        return ",".join(str(int(number)) for number in self)


def from_argument(word: str) -> Orders:
    """Return what `as_argument` made a word of."""
    return Orders._make(map(int, word.split(",")))
