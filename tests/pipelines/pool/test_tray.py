"""Tasks that lie in memory shared with a worker: whole, in place until they were answered, and never mixed up."""

from __future__ import annotations

import os
import resource
import signal
from hashlib import sha256
from pickle import PickleBuffer
from random import Random

import pool_tasks as tasks
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import WorkerCrashed
from pipelines.pool import tray as module
from pipelines.pool.pool import WorkerPool
from pipelines.pool.tray import MIN_BYTES, PLACE_BYTES, PLACES, Tray, new

SIZES = [1, MIN_BYTES - 200, MIN_BYTES, 50_000, 65_536, 300_000, PLACE_BYTES - 200, PLACE_BYTES, PLACE_BYTES + 1]


@given(bodies=st.lists(st.lists(st.binary(max_size=2000), max_size=4), min_size=1, max_size=6))
def test_what_was_laid_lies_there_until_its_place_comes_round_again(bodies: list[list[bytes]]) -> None:
    fd = new()
    ours, theirs = Tray(fd), Tray(fd)
    os.close(fd)
    laid = []
    for chunks in bodies:
        laid.append((ours.lay([memoryview(chunk) for chunk in chunks]), b"".join(chunks)))
        for number, body in laid[-PLACES:]:
            assert theirs.at(number, len(body)) == body
    ours.close()
    theirs.close()


def test_tasks_of_every_size_arrive_whole_while_others_are_withdrawn_moved_and_killed(pool: WorkerPool) -> None:
    """A worker's place must not be used again before its task was answered or skipped, whatever became of that one."""
    chance = Random(11)
    wanted, killed = {}, []
    for n in range(400):
        body = chance.randbytes(chance.choice(SIZES))
        future = pool.submit(tasks.digest_after, body, chance.choice([0.0, 0.0, 0.001, 0.004]))
        match n % 20:
            case 7:
                future.cancel()
            case 13:
                future.stop()
            case 17:
                killed.append(pool.submit(tasks.die, signal.SIGKILL))
                wanted[future] = body
            case _:
                wanted[future] = body
    for future, body in wanted.items():
        assert future.result(30) == sha256(body).hexdigest()
    assert all(isinstance(future.exception(30), WorkerCrashed) for future in killed)


def test_a_task_may_keep_its_buffers() -> None:
    with WorkerPool(1) as pool:
        buffers = [bytearray(os.urandom(size)) for size in (5000, 100_000, 100_000, 2 * PLACE_BYTES, 5000, 5000)]
        futures = [pool.submit(tasks.keep_buffer, PickleBuffer(buffer)) for buffer in buffers]
        assert futures[-1].result(10) == [sha256(buffer).hexdigest() for buffer in buffers]


def test_where_no_memory_can_be_shared_all_goes_through_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HAS_TRAYS", False)
    for forks in (True, False):
        with WorkerPool(2, preload=["pool_tasks"] if forks else []) as pool:
            bodies = [os.urandom(size) for size in SIZES * 3]
            futures = [pool.submit(tasks.digest_after, body, 0.0) for body in bodies]
            assert [future.result(10) for future in futures] == [sha256(body).hexdigest() for body in bodies]


def test_a_pool_works_where_no_file_may_be_as_large_as_a_tray() -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        assert new() == -1
        with WorkerPool(1) as pool:
            assert pool.submit(tasks.digest_after, bytes(50_000), 0.0).result(10) == sha256(bytes(50_000)).hexdigest()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
