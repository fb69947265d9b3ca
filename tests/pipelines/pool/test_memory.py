"""Tasks that take too much memory end alone, with the reason; sizes are told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pool_tasks as tasks
import pytest

from pipelines.errors import WorkerCrashed, WorkerOutOfMemory
from pipelines.pool.memory import OomKills
from pipelines.pool.outcome import Status
from pipelines.pool.pool import WorkerPool
from pipelines.pool.stats import Death

Eventually = Callable[[Callable[[], bool]], None]
MIB = 1 << 20


async def test_a_hog_is_killed_and_nobody_else() -> None:
    async with WorkerPool(2, memory_limit=100 * MIB) as pool:
        others = [pool.submit(tasks.pid_after, 0.05) for _ in range(6)]
        started = time.monotonic()
        outcome = await pool.outcome(tasks.hoard, 200, 20.0)
        assert time.monotonic() - started < 5, "it would have slept for 20 s"
        assert (outcome.status, type(outcome.error)) == (Status.OOM, WorkerOutOfMemory)
        assert outcome.cause.startswith("RSS ")
        assert outcome.cause.endswith(" MiB above 100 MiB")
        assert outcome.peak_rss > 100 * MIB
        assert all(future.result(10) for future in others)
        assert await pool.run(tasks.hoard, 40) == 40 * MIB
        stats = pool.stats()
        assert (stats.oom, stats.crashes, stats.deaths[Death.OOM]) == (1, 0, 1)


async def test_the_size_of_a_task_is_told_however_we_end_it() -> None:
    async with WorkerPool(1, spare=False) as pool:
        late = await pool.limited(deadline=1.0).outcome(tasks.hoard, 100, 20.0)
        assert late.status is Status.TIMEOUT
        assert 100 * MIB < late.peak_rss < 200 * MIB
        crashed = await pool.outcome(tasks.leave, 3)
        assert (crashed.status, crashed.peak_rss) == (Status.CRASH, 0), "the kernel forgets it"


async def test_a_limit_for_some_tasks_only() -> None:
    async with WorkerPool(1) as pool:
        assert await pool.run(tasks.hoard, 150, 0.15) == 150 * MIB
        with pytest.raises(WorkerOutOfMemory, match=r"pool_tasks.hoard took too much memory: RSS \d+ MiB above 90 MiB"):
            await pool.limited(memory_limit=90 * MIB).run(tasks.hoard, 150, 20.0)


async def test_a_memory_error_is_the_tasks_own_and_its_worker_goes() -> None:
    """The address space is the outer net: what grows faster than we look meets it."""
    async with WorkerPool(1, address_space_limit=400 * MIB) as pool:
        pid = await pool.run(tasks.pid_after, 0)
        outcome = await pool.outcome(tasks.endless_list)
        assert (outcome.status, type(outcome.error), outcome.cause) == (Status.OOM, MemoryError, "MemoryError")
        assert "endless_list" in str(outcome.error.__cause__)  # type: ignore[union-attr]  # it is a MemoryError
        assert await pool.run(tasks.pid_after, 0) != pid
        assert (pool.stats().oom, pool.stats().crashes) == (1, 0)
        too_large = await pool.outcome(tasks.same, bytes(500 * MIB))
        assert too_large.status is Status.OOM
        too_much_back = await pool.outcome(tasks.big_text, 220)
        assert too_much_back.status is Status.OOM
        assert await pool.run(tasks.same, 1) == 1
        assert sum(pool.stats().deaths.values()) == 0


def test_the_outer_net_follows_from_the_limit() -> None:
    with WorkerPool(1, memory_limit=50 * MIB, spare=False) as pool:
        soft, _ = pool.submit(tasks.address_space).result(10)
        assert soft == 4 * 50 * MIB + (1 << 30)


def test_the_peak_is_that_of_one_task(pool: WorkerPool) -> None:
    small, large = pool.submit(tasks.same, 1), pool.submit(tasks.hoard, 120)
    small.result(10)
    large.result(10)
    after = [pool.submit(tasks.same, 1) for _ in range(4)]
    for future in after:
        future.result(10)
    assert small.outcome.peak_rss < 100 * MIB
    assert 120 * MIB < large.outcome.peak_rss < 240 * MIB
    assert max(future.outcome.peak_rss for future in after) < 100 * MIB
    assert pool.stats().peak_rss_bytes >= large.outcome.peak_rss


def test_the_peak_is_not_that_of_the_parent() -> None:
    """A child inherits the peak of the process that started it."""
    ballast = bytearray(250 * MIB)
    ballast[::4096] = b"1" * len(ballast[::4096])
    with WorkerPool(1, spare=False) as pool:
        future = pool.submit(tasks.same, 1)
        future.result(10)
        assert MIB < future.outcome.peak_rss < 100 * MIB
    assert ballast


def test_the_kernels_killer_is_named(tmp_path: Path, eventually: Eventually) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("low 0\nhigh 3\nmax 2\noom 1\noom_kill 1\noom_group_kill 0\n")
    with WorkerPool(1) as pool:
        eventually(lambda: pool.stats().ready == 1)
        pool.supervisor()._oom_kills = OomKills([counter])
        by_hand = pool.submit(tasks.die, signal.SIGKILL)
        assert type(by_hand.exception(10)) is WorkerCrashed
        killed = pool.submit(tasks.mark, str(tmp_path / "began"), 20.0)
        eventually((tmp_path / "began").exists)  # a worker that dies before that has lost nothing: another one begins
        counter.write_text("oom 2\noom_kill 2\n")
        for pid in pool.pids:  # the one that runs it, and perhaps one that is only just starting
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerOutOfMemory, match=r"OOM killer was at work \(.*memory.events grew\)"):
            killed.result(10)
        assert (killed.outcome.status, killed.outcome.cause) == (Status.OOM, "SIGKILL by the kernel's OOM killer")
        assert pool.stats().deaths[Death.OOM] == 1


def test_the_counters_of_this_machine_are_found() -> None:
    """Whatever it counts with: cgroup v2, v1, or nothing but the machine's own."""
    assert OomKills()._files
    assert OomKills().have_grown() == ""
    assert OomKills([Path("/no/such/file")]).have_grown() == ""


@pytest.mark.parametrize(
    ("groups", "file"),
    [("0::/job/7\n", "job/7/memory.events"), ("4:memory:/job\n0::/\n", "memory/job/memory.oom_control")],
)
def test_the_counter_of_the_group_comes_first(
    groups: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.pool import memory

    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("oom_kill_disable 0\noom_kill 4\n")
    (tmp_path / "cgroup").write_text(groups)
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "cgroup")
    kills = OomKills()
    assert kills._files == [tmp_path / file]
    (tmp_path / file).write_text("oom_kill 5\n")
    assert kills.have_grown() == str(tmp_path / file)
    assert kills.have_grown() == ""


@pytest.mark.parametrize("name", ["memory_limit", "address_space_limit", "recycle_after", "recycle_above"])
def test_limits_that_limit_nothing_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected at least 1, got 0"):
        WorkerPool(1, **{name: 0})  # type: ignore[arg-type]  # one of four


def test_limits_of_tasks_are_checked() -> None:
    pool = WorkerPool(1)
    with pytest.raises(ValueError, match="deadline: expected seconds > 0, got 0"):
        pool.limited(deadline=0)
    with pytest.raises(ValueError, match="memory_limit: expected bytes > 0, got -1"):
        pool.limited(memory_limit=-1)
    with pytest.raises(ValueError, match="workers: expected at least 1"):
        WorkerPool(0)
