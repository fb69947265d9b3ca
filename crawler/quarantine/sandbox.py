"""Runs one case in a process of its own: stage by stage, with limits, and with a traceback however it ends.

    python -m crawler.quarantine.sandbox FOLDER SECONDS DESCRIPTOR

Writes one line of JSON to the descriptor before and after each step, so that whoever reads them knows where it died,
and how large the process was at most in each. The time is that of the page; building the stages has its own.
What the stages print goes to stdout and stderr. `faulthandler` writes the Python stack when a signal kills the
process, and when the time is over; neither needs the interpreter lock.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import sys
from pathlib import Path
from time import perf_counter

import orjson

from crawler.quarantine.case import load
from pipelines.page import Document
from pipelines.pipeline import FIRST_STEP, LAST_STEP, Pipeline
from pipelines.pool.plan import Plan
from pipelines.pool.witness import Gauge
from pipelines.stages.user import label_of
from pipelines.work import WARM_UP_SECONDS

MAX_ADDRESS_SPACE = 4 << 30
"""Bytes, for a case without a limit: a page that takes more is a finding, not a reason to bring down the machine. With
a limit it is what a worker has."""
ALWAYS = float("inf")
"""To a gauge: long enough for a look."""


def main(folder: str, seconds: str, descriptor: str) -> int:
    """Run the case in `folder` for at most so many seconds."""
    report = os.fdopen(int(descriptor), "wb", buffering=0)

    def tell(**words: object) -> None:
        report.write(orjson.dumps(words) + b"\n")

    case = load(Path(folder))
    _limit(float(seconds), case.memory)
    faulthandler.enable(file=sys.stderr)
    faulthandler.dump_traceback_later(WARM_UP_SECONDS, exit=True, file=sys.stderr)
    gauge = Gauge()
    tell(step=FIRST_STEP)
    started = perf_counter()
    pipeline = Pipeline(case.spec())
    tell(step=FIRST_STEP, seconds=perf_counter() - started, peak_rss=gauge.peak_rss(ALWAYS))
    faulthandler.dump_traceback_later(float(seconds), exit=True, file=sys.stderr)
    doc = Document(case.page)
    for stage in pipeline.stages:
        name = label_of(stage)
        tell(step=name)
        started = perf_counter()
        changed = stage(doc)
        if changed is not None:
            doc = changed
        seconds_taken = perf_counter() - started
        tell(step=name, seconds=seconds_taken, peak_rss=gauge.peak_rss(ALWAYS), error=doc.error, detail=doc.detail)
        if doc.error is not None:
            return 0
    tell(step=LAST_STEP)
    started = perf_counter()
    pipeline.targets.unreported(doc.follow)
    pipeline.record.line(doc)
    faulthandler.cancel_dump_traceback_later()
    tell(step=LAST_STEP, seconds=perf_counter() - started, peak_rss=gauge.peak_rss(ALWAYS))
    return 0


def _limit(seconds: float, memory: int | None) -> None:
    """Bound what a page can do to the machine: memory, CPU, no files, no core dump."""
    for what, most in (
        (resource.RLIMIT_AS, Plan(1, memory_limit=memory).address_space or MAX_ADDRESS_SPACE),
        (resource.RLIMIT_CPU, int(WARM_UP_SECONDS + seconds) + 30),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
