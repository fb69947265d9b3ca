"""Runs one case in a process of its own: stage by stage, with limits, and with a traceback however it ends.

    python -m crawler.quarantine.sandbox FOLDER SECONDS DESCRIPTOR

Writes one line of JSON to the descriptor before and after each step, so that whoever reads them knows where it died.
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
from typing import Any

import orjson

from crawler.quarantine.case import load
from pipelines.page import Document
from pipelines.pipeline import Pipeline

MAX_ADDRESS_SPACE = 4 << 30
"""Bytes: a page that takes more is a finding, not a reason to bring down the machine."""


def main(folder: str, seconds: str, descriptor: str) -> int:
    """Run the case in `folder` for at most so many seconds."""
    report = os.fdopen(int(descriptor), "wb", buffering=0)

    def tell(**words: object) -> None:
        report.write(orjson.dumps(words) + b"\n")

    _limit(float(seconds))
    faulthandler.enable(file=sys.stderr)
    case = load(Path(folder))
    tell(step="build")
    started = perf_counter()
    pipeline = Pipeline(case.spec())
    tell(step="build", seconds=perf_counter() - started)
    faulthandler.dump_traceback_later(float(seconds), exit=True, file=sys.stderr)
    doc = Document(case.page)
    for stage in pipeline.stages:
        name = _name(stage)
        tell(step=name)
        started = perf_counter()
        changed = stage(doc)
        if changed is not None:
            doc = changed
        tell(step=name, seconds=perf_counter() - started, error=doc.error, detail=doc.detail)
        if doc.error is not None:
            return 0
    tell(step="links and record")
    started = perf_counter()
    pipeline.targets.unreported(doc.follow)
    line = pipeline.record.line(doc)
    faulthandler.cancel_dump_traceback_later()
    tell(step="links and record", seconds=perf_counter() - started, record_bytes=len(line), links=len(doc.outlinks))
    return 0


def _limit(seconds: float) -> None:
    """Bound what a page can do to the machine: memory, CPU, no files, no core dump."""
    for what, most in (
        (resource.RLIMIT_AS, MAX_ADDRESS_SPACE),
        (resource.RLIMIT_CPU, int(seconds) + 30),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))


def _name(stage: Any) -> str:
    module = getattr(stage, "__module__", "") or ""
    name = getattr(stage, "__qualname__", type(stage).__name__)
    return str(name).lower() if module.startswith("pipelines.stages.") else f"{module}:{name}"


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
