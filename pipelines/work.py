"""The door through which a batch enters a worker.

A function travels by its name, and whoever sends it must have imported its module. This one costs nothing to import;
the parser and all the stages are loaded behind it, in the worker alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from pipelines.page import Page, Processed

WARM_UP_SECONDS = 120.0
"""What a worker gets to import and to construct the user's stages, which may load a model from a slow disk; one that
hangs ends, and the fifth in a row ends the run."""
MAX_NAME_BYTES = 200


def prepare(stages: Sequence[str], seconds: float) -> None:
    """Import and construct the user's stages, before there is a page; the process ends when it takes longer than that.

    What is wrong with a stage is told to the first batch, as ever. Who hangs is ended with the Python stack on stderr,
    by a thread that needs no interpreter lock.
    """
    import faulthandler

    from pipelines.stages.user import prepare_stages

    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        prepare_stages(stages)
    finally:
        faulthandler.cancel_dump_traceback_later()


class Address(NamedTuple):
    """Where a worker on this machine finds a slate, and how it knows that it is the right one."""

    path: str
    name: str


class Slate:
    """Some bytes on which a worker writes the stage it is at; whatever becomes of the worker, they can be read.

    Memory of this process with the face of a file (Linux): no disk, and nothing to clear away after a kill. Elsewhere
    it stays empty.
    """

    def __init__(self) -> None:
        """Owns a descriptor until `close`."""
        self.address = Address("", f"stage-{os.urandom(8).hex()}")
        self._fd = -1
        try:
            self._fd = os.memfd_create(self.address.name)
            self.address = Address(f"/proc/{os.getpid()}/fd/{self._fd}", self.address.name)
        except (AttributeError, OSError):  # another system, or no descriptor left
            pass

    def read(self) -> str:
        """Return the stage that was begun last; empty when nobody wrote."""
        if self._fd < 0:
            return ""
        return os.pread(self._fd, MAX_NAME_BYTES, 0).rstrip(b"\0").decode("utf-8", "replace")

    def close(self) -> None:
        """Return the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def process_batch(spec: bytes, pages: Sequence[Page], slate: Address | None = None) -> list[Processed]:
    """Process `pages` with the pipeline of `spec`, as `pipelines.pipeline.process_batch` does.

    With a slate the stage is written there before it begins: for a page that is suspected, and costs a few writes.
    """
    from pipelines.pipeline import process_batch as process

    fd = -1 if slate is None else _open(slate)
    if fd < 0:
        return process(spec, pages)
    try:
        return process(spec, pages, _writer(fd))
    finally:
        with suppress(OSError):  # as below
            os.close(fd)


def _open(slate: Address) -> int:
    """Return a descriptor, -1 for none: on another machine, or later, the path may be somebody else's file."""
    try:
        if not os.readlink(slate.path).startswith(f"/memfd:{slate.name}"):  # noqa: PTH115 - pathlib is a slow import
            return -1
        return os.open(slate.path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _writer(fd: int) -> Callable[[str], None]:
    def write(stage: str) -> None:
        name = stage.encode("utf-8", "replace")[:MAX_NAME_BYTES]
        with suppress(OSError):  # a stage closed what is not its own; no page fails for that
            os.pwrite(fd, name.ljust(MAX_NAME_BYTES, b"\0"), 0)

    return write
