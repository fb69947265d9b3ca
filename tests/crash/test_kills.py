"""Kill a crawl at any instant, as often as you like: the same command ends with the records of an undisturbed run.

Some of the kills are aimed, so that every phase of a crawl is hit, whatever the instants.
`CRAWLMILL_KILLS` says how many kills (30; `make torture` takes 1,000), `CRAWLMILL_SEED` repeats the instants of a run.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.support.crash_jobs import Job, Site, faults, repeated
from tests.support.phases import PROMISED, told
from tests.support.torture import Reference, Torture

KILLS = int(os.environ.get("CRAWLMILL_KILLS", "30"))
SEED = int(os.environ.get("CRAWLMILL_SEED", time.time_ns() % 1_000_000))


def test_kills_change_nothing(site: Site, reference: Reference, tmp_path: Path) -> None:
    print(f"CRAWLMILL_SEED={SEED} CRAWLMILL_KILLS={KILLS}")
    known = len(site.requests())
    torture = Torture(Job(tmp_path / "job", site), reference, SEED)
    rounds: list[int] = []
    torture.run(KILLS, lambda job: rounds.append(len(site.requests())), aims=PROMISED)
    requests = site.requests(known)
    print(f"start {reference.start_seconds:.2f} s, run {reference.run_seconds:.2f} s, {told(torture.phases)}")
    print(f"{len(rounds)} crawls, {repeated(requests, len(rounds)) / KILLS:.1f} repeated fetches a kill")
    assert torture.phases.keys() >= set(PROMISED), "every phase was killed"
    assert faults(site, requests, per_host=16) == []
