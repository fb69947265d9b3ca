"""Inside a worker process of Dask, which is daemonic: `multiprocessing` may start no children there, the pool may."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from host_work import EXPECTED

Program = Callable[..., str]
Gone = Callable[[Iterable[int]], None]

SCRIPT = """
import json
import os
import signal

import host_work
from distributed import Client, LocalCluster

if __name__ == "__main__":
    options = dict(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None, host="127.0.0.1")
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        found = {{}}
        for name in {names}:
            found[name] = client.submit(getattr(host_work, name), pure=False).result(40)
        found["host"] = client.submit(os.getpid, pure=False).result(40)
        {then}
    print(json.dumps({{**found, "me": os.getpid()}}))
"""


def answers(program: Program, *names: str, then: str = "") -> dict[str, dict[str, object]]:
    """Run functions in a Dask worker and return their results by name."""
    found: dict[str, dict[str, object]] = json.loads(program(SCRIPT.format(names=names, then=then)).splitlines()[-1])
    return found


def test_a_pool_inside_a_dask_worker(program: Program, gone: Gone) -> None:
    found = answers(program, "through_a_pool", "through_the_standard_library")
    mine = found["through_a_pool"]
    assert json.loads(json.dumps(EXPECTED)).items() <= mine.items()
    assert mine["is_daemonic"] is True
    assert "daemonic processes are not allowed to have children" in str(found["through_the_standard_library"])
    assert found["host"] != found["me"]
    gone(mine["workers"])  # type: ignore[arg-type]  # a list of numbers, from JSON


def test_coroutines_on_the_loop_of_a_dask_worker(program: Program, gone: Gone) -> None:
    """Dask runs an `async def` on its own event loop: the default pool serves that, and ends with the worker."""
    found = answers(program, "through_the_default_pool", "on_a_loop_of_its_own")
    for name in ("through_the_default_pool", "on_a_loop_of_its_own"):
        mine = found[name]
        assert (mine["values"], mine["stream"], mine["in_worker"]) == ([9, 10], True, 7)
        assert mine["parent"] == found["host"]
    assert found["through_the_default_pool"]["workers"] == found["on_a_loop_of_its_own"]["workers"], "the same pool"
    gone(found["through_the_default_pool"]["workers"])  # type: ignore[arg-type]  # as above


def test_nothing_outlives_a_dask_worker_that_is_killed(program: Program, gone: Gone) -> None:
    found = answers(
        program, "through_the_default_pool", then='cluster.scale(0); os.kill(found["host"], signal.SIGKILL)'
    )
    gone(found["through_the_default_pool"]["workers"])  # type: ignore[arg-type]  # as above


LACKS = ["payload", "budget", "cancel_during", "close"]
"""Rules that this executor breaks (docs/pipelines.md): 100 MiB cost the caller eight times that; its scheduler, here in
the caller's process, remembers what has passed, 64 MiB for 100,000 calls; its futures never say that they run. `close`
is left out because it would end the executor for the other rules."""

CLUSTER = """
import asyncio
import json
import math

import host_work
from distributed import Client, LocalCluster

from pipelines.backends import ForeignBackend
from pipelines.stream import stream
from pipelines.testing.backend import RULES


async def squares(backend):
    return [value async for value in stream(math.isqrt, [n * n for n in range(300)], pool=backend, ordered=True)]


if __name__ == "__main__":
    options = dict(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1")
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        backend = ForeignBackend(client.get_executor(pure=False))
        assert backend.submit(math.gcd, 12, 18).result(30) == 6
        broken = {{}}
        for rule in RULES:
            if rule.needs <= backend.guarantees and rule.name not in {lacks!r}:
                try:
                    rule.run(backend)
                except AssertionError as error:
                    broken[rule.name] = str(error)
        print(json.dumps({{
            "guarantees": sorted(backend.guarantees),
            "roots": asyncio.run(squares(backend)) == list(range(300)),
            "broken": broken,
        }}))
"""


def test_a_cluster_is_a_backend_as_it_is(program: Program) -> None:
    """Dask's executor fits the protocol without a change: a lesser citizen, which says so, and streams run on it."""
    found = json.loads(program(CLUSTER.format(lacks=LACKS), seconds=120).splitlines()[-1])
    assert found == {"guarantees": ["off_loop"], "roots": True, "broken": {}}
