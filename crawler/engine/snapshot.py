"""A running crawl at one moment: what a progress display, a health check or a test may want to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from crawler.engine.loop import Engine
from crawler.engine.summary import by_reason
from crawler.engine.workers import Workers


class BusyHost(NamedTuple):
    """A host that is being asked for pages."""

    name: str
    in_flight: int
    waiting: int
    """URLs of this host in memory; there may be more on disk."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """Figures of one moment. Those of the run start at zero each time; those of the job count all its runs."""

    seconds: float
    """Since the crawl was made."""
    is_stopping: bool
    """Nothing new is started any more."""

    # The run
    pages: int
    """Bodies received."""
    wire_bytes: int
    in_flight: int
    """Requests under way, robots.txt included."""
    processing: int
    """Pages with the workers, or on the way to them."""

    # The job
    done: int
    redirected: int
    failed: int
    skipped: int
    pending: int
    """URLs not yet fetched, those in flight included, those beyond the depth limit not."""
    failed_by_reason: Mapping[str, int]
    skipped_by_reason: Mapping[str, int]
    """Both with the largest first."""

    hosts: tuple[BusyHost, ...]
    """The busiest ones."""
    workers: int
    workers_busy: int
    worker_pids: tuple[int, ...]


def snapshot_of(
    engine: Engine, live_counters: Mapping[str, int], workers: Workers, *, seconds: float, hosts: int
) -> Snapshot:
    """Read the figures where they are kept; waits for nothing."""
    # A plain copy is one step of the interpreter; the store's thread adds keys while we would iterate.
    counters = Counter(dict(live_counters))
    live = engine.live
    return Snapshot(
        seconds=seconds,
        is_stopping=engine.stopping,
        pages=live.responses,
        wire_bytes=live.wire_bytes,
        in_flight=live.in_flight,
        processing=live.processing,
        done=counters["done"],
        redirected=counters["redirected"],
        failed=counters["failed"],
        skipped=counters["skipped"],
        pending=counters["pending"],
        failed_by_reason=by_reason(counters, "failed"),
        skipped_by_reason=by_reason(counters, "skipped"),
        hosts=tuple(BusyHost(*row) for row in engine.busiest(hosts)),
        workers=workers.count,
        workers_busy=workers.busy(),
        worker_pids=workers.pids,
    )
