"""The door through which a batch enters a worker.

A function travels by its name, and whoever sends it must have imported its module. This one costs nothing to import;
the parser and all the stages are loaded behind it, in the worker alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.page import Page, Processed


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


def process_batch(spec: bytes, pages: Sequence[Page]) -> list[Processed]:
    """Process `pages` with the pipeline of `spec`, as `pipelines.pipeline.process_batch` does."""
    from pipelines.pipeline import process_batch as process

    return process(spec, pages)
