"""What a worker is told to do with pages: one small picklable value. Light to import: the parent needs no parser."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipelines.errors import StageError
from pipelines.stages.options import StageOptions
from pipelines.url import CanonicalUrl

if TYPE_CHECKING:
    from pipelines.page import Document

Admit = Callable[[CanonicalUrl], "tuple[str, int] | str"]
"""Scope's verdict on a URL: (host, priority), or the reason why not."""

Claims = Callable[["Document"], "Sequence[tuple[str, str]]"]
"""What a page says of files: the URL of each, and a digest."""


class PipelineSpec(NamedTuple):
    """Everything a worker needs to build the pipeline of one crawl."""

    options: StageOptions = StageOptions()
    admit: Admit | None = None
    """Scope's verdict on each new link, `(host, priority)` or a reason. Picklable. None: nothing is reported."""
    fingerprint_key: bytes = b""
    """Secret of the job, at most 64 bytes; without one anybody can make two URLs collide."""
    nonce: str = ""
    """Differs from run to run: a worker that outlives a run must report links anew in the next one."""
    stages: tuple[object, ...] | None = None
    """All stages in order: functions, classes, `module:function` names. None: the built-in ones. Those of `options`
    come after them in any case."""
    claims: Claims | None = None
    """Finds what pages say of files, reported as `Processed.claims`. Picklable; it may read the tree."""

    def dumps(self) -> bytes:
        """Return the spec as bytes for `process_batch`. They are trusted: only ever load your own.

        Raises StageError for a stage that a worker could not find.
        """
        for stage in self.stages or ():
            if getattr(stage, "__module__", None) == "__main__":
                raise StageError(
                    f"stage {_name(stage)}: defined in the script that was started, which workers do not run; {_REMEDY}"
                )
        try:
            return pickle.dumps(self, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            culprit = next(filter(_stays, self.stages or ()), None)
            if culprit is None:
                raise
            raise StageError(f"stage {_name(culprit)}: cannot be pickled ({error}); {_REMEDY}") from error


_REMEDY = "define it at the top level of a module and import it from there"


def _name(stage: object) -> str:
    return repr(getattr(stage, "__qualname__", None) or type(stage).__qualname__)


def _stays(stage: object) -> bool:
    """Tell whether a stage cannot travel."""
    try:
        pickle.dumps(stage)
    except Exception:  # noqa: BLE001 - pickling runs the user's code
        return True
    return False
