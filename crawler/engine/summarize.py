"""What a run came to, read where it is kept when the run ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from crawler.engine.lag import LagMeter
from crawler.engine.loop import Engine
from crawler.engine.summary import Summary, by_reason
from crawler.engine.workers import Workers
from crawler.errors import ExitCode


def summarize(
    code: ExitCode,
    engine: Engine,
    counters: Counter[str],
    meter: LagMeter,
    workers: Workers,
    *,
    seconds: float,
    outputs: Mapping[str, Path],
) -> Summary:
    """Return the summary of a run that took so many seconds; `counters` are those of the whole job."""
    live = engine.live
    run = {
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "requests": live.requests,
        "responses": live.responses,
        "wire_bytes": live.wire_bytes,
        "file_bytes": 0 if engine.files is None else engine.files.received_bytes,
        "pages_per_second": round(live.responses / seconds, 1) if seconds else 0.0,
        "batches": engine.trips,
        "loop_lag_seconds": {
            "p50": round(meter.quantile(0.5), 5),
            "p99": round(meter.quantile(0.99), 5),
            "max": round(meter.max_seconds, 5),
            "samples": meter.samples,
        },
        "workers": workers.report(),
    }
    return Summary(
        exit_code=code,
        ended=code.name.lower(),
        discovered=counters["discovered"],
        done=counters["done"],
        redirected=counters["redirected"],
        failed=counters["failed"],
        skipped=counters["skipped"],
        files=counters["files"],
        pending=counters["pending"] + counters["deferred"],
        failed_by_reason=by_reason(counters, "failed"),
        skipped_by_reason=by_reason(counters, "skipped"),
        files_by_status=by_reason(counters, "files"),
        duplicates=counters["duplicates"],
        wire_bytes=counters["wire_bytes"],
        body_bytes=counters["body_bytes"],
        file_bytes=counters["file_bytes"],
        retries=counters["retries"],
        run=run,
        outputs={name: str(path) for name, path in outputs.items()},
    )
