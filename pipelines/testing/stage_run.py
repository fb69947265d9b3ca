"""Runs a stage on one page in a worker, and tells what could be seen of it."""

from __future__ import annotations

import gc
import pickle
import time
import tracemalloc
from typing import NamedTuple

from pipelines.page import Document, Page
from pipelines.pipeline import BUILT_IN, Pipeline
from pipelines.stages.user import Stage
from pipelines.testing.heard import heard
from pipelines.testing.hostile import ordinary_pages

WINDOW = 250
"""Pages to a window of the memory test. A cache of fewer than two windows' entries is no growth."""


class Seen(NamedTuple):
    """What one run of a stage on one page showed."""

    line: bytes
    error: str
    """What the stage raised, or why the document cannot become a record."""
    returned: str
    """The type of what it returned, where that is neither None nor a Document."""
    page_changed: bool
    printed: str
    seconds: float
    skipped: bool = False
    """The built-in stages refuse the page, so that no stage of a user's ever sees it."""


_pipelines: dict[bytes, Pipeline] = {}


def run_case(stage: bytes, page: Page) -> Seen:
    """Process `page` with the built-in stages and then with a pickled stage, which is made once per process."""
    if stage not in _pipelines:
        _pipelines[stage] = _pipeline(stage)
    return see(_pipelines[stage], page)


def _pipeline(stage: bytes) -> Pipeline:
    return Pipeline([*BUILT_IN, pickle.loads(stage)])  # noqa: S301 - from the process that checks it


def see(pipeline: Pipeline, page: Page) -> Seen:
    """Run the last stage of `pipeline` under watch."""
    pipeline.targets.forget_if_full()
    doc = Document(page)
    for built_in in pipeline.stages[:-1]:
        built_in(doc)
    if doc.error is not None:
        return Seen(b"", "", "", False, "", 0.0, skipped=True)
    returned: object = None
    error = line = ""
    with heard() as words:
        started = time.perf_counter()
        try:
            returned = pipeline.stages[-1](doc)
        except Exception as raised:  # noqa: BLE001 - told by the rule
            error = f"{type(raised).__name__}: {raised}"
        seconds = time.perf_counter() - started
    result = returned if isinstance(returned, Document) else doc
    if not error and doc.error is None:
        try:
            line = pipeline.record.line(result).decode()
        except (TypeError, ValueError) as raised:
            error = f"no record: {type(raised).__name__}: {raised}"
    kind = "" if returned is None or isinstance(returned, Document) else type(returned).__name__
    told = f"{line}{result.error}{result.detail}".encode("utf-8", "replace")
    return Seen(told, error, kind, result.page is not page or doc.page is not page, "".join(words), seconds)


def growth(stage: bytes) -> list[int]:
    """Return the bytes by which the process grew in each of three windows of pages that differ, caches warm."""
    pipeline = _pipeline(stage)
    own: Stage = pipeline.stages.pop()
    for page in ordinary_pages(3 * WINDOW):
        pipeline.process(page)  # what the built-in stages remember, they remember now
    sizes = []
    tracemalloc.start()
    try:
        for number, page in enumerate(ordinary_pages(3 * WINDOW), 1):
            doc = Document(page)
            for built_in in pipeline.stages:
                built_in(doc)
            own(doc)
            if number % WINDOW == 0:
                del doc, page
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    return [size - before for size, before in zip(sizes, [0, *sizes], strict=False)]
