"""The door through which a batch enters a worker.

A function travels by its name, and whoever sends it must have imported its module. This one costs nothing to import;
the parser and all the stages are loaded behind it, in the worker alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.page import Page, Processed


def process_batch(spec: bytes, pages: Sequence[Page]) -> list[Processed]:
    """Process `pages` with the pipeline of `spec`, as `pipelines.pipeline.process_batch` does."""
    from pipelines.pipeline import process_batch as process

    return process(spec, pages)
