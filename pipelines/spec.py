"""What a worker is told to do with pages: one small picklable value. Light to import: the parent needs no parser."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import NamedTuple

from pipelines.stages.options import StageOptions
from pipelines.url import CanonicalUrl

Admit = Callable[[CanonicalUrl], "tuple[str, int] | str"]
"""Scope's verdict on a URL: (host, priority), or the reason why not."""


class PipelineSpec(NamedTuple):
    """Everything a worker needs to build the pipeline of one crawl."""

    options: StageOptions = StageOptions()
    admit: Admit | None = None
    """Scope's verdict on each new link, `(host, priority)` or a reason. Picklable. None: nothing is reported."""
    fingerprint_key: bytes = b""
    """Secret of the job, at most 64 bytes; without one anybody can make two URLs collide."""
    nonce: str = ""
    """Differs from run to run: a worker that outlives a run must report links anew in the next one."""

    def dumps(self) -> bytes:
        """Return the spec as bytes for `process_batch`. They are trusted: only ever load your own."""
        return pickle.dumps(self, pickle.HIGHEST_PROTOCOL)
