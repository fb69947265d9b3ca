"""The stop: each task its time, all at once, nobody forgotten, no cancellation lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.tasks import BackgroundTaskManager, State, StopReport, TaskContext, task

Manage = Callable[..., BackgroundTaskManager]
FOREVER = 3600


@task()
async def sleeper(context: TaskContext) -> None:
    await asyncio.sleep(FOREVER)


@task()
async def polite(context: TaskContext) -> None:
    while not await context.pause(0.01):
        pass


@task(restart="always")
async def dies_at_the_end(context: TaskContext) -> None:
    await context.stopping.wait()
    raise OSError("could not save")


class Stubborn:
    """Swallows every cancellation until it is released: what a stop cannot end."""

    def __init__(self, shutdown_timeout: float) -> None:
        self.release = asyncio.Event()
        self.task = task(name="stubborn", shutdown_timeout=shutdown_timeout)(self._declared())
        self.cancelled = 0

    def _declared(self) -> Callable[[TaskContext], Any]:
        async def stubborn(context: TaskContext) -> None:
            while not self.release.is_set():
                try:
                    await self.release.wait()
                except asyncio.CancelledError:
                    self.cancelled += 1

        return stubborn


def cleans_up(name: str, seconds: float, done: Callable[[], None]) -> Any:
    """Return a task that takes its time when it is cancelled, and tells when it is through."""

    @task(name=name, shutdown_timeout=10)
    async def careful(context: TaskContext) -> None:
        try:
            await asyncio.sleep(FOREVER)
        finally:
            await asyncio.sleep(seconds)
            done()

    return careful


async def let_begin() -> None:
    """Let every task reach its first wait."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_stop_tells_how_each_ended(manage: Manage) -> None:
    @task(name="brief")
    async def brief(context: TaskContext) -> None: ...

    manager = manage(polite, sleeper, dies_at_the_end, brief)
    await manager.start()
    await let_begin()
    report = await manager.stop()
    assert (report.ended, report.cancelled, report.failed, report.stragglers) == (
        ("polite",), ("sleeper",), ("dies_at_the_end",), ()
    )  # fmt: skip
    assert {name: status.state for name, status in manager.status().items()} == {
        "polite": State.FINISHED, "sleeper": State.STOPPED, "dies_at_the_end": State.FAILED, "brief": State.FINISHED
    }  # fmt: skip
    assert manager.status()["dies_at_the_end"].restarts == 0, "nothing begins again while the service stops"


async def test_who_never_looks_at_stopping_is_cancelled_at_once(manage: Manage) -> None:
    """Else a service of simple loops would take seconds to stop, every time."""

    @task(shutdown_timeout=30)
    async def simple(context: TaskContext) -> None:
        await asyncio.sleep(FOREVER)

    manager = manage(simple)
    await manager.start()
    await let_begin()
    assert (await manager.stop()).seconds < 5


async def test_who_looks_gets_most_of_its_time_and_is_cancelled_then(manage: Manage) -> None:
    at: dict[str, float] = {}

    @task(shutdown_timeout=0.5)
    async def busy(context: TaskContext) -> None:
        await context.stopping.wait()
        at["asked"] = time.monotonic()
        try:
            await asyncio.sleep(FOREVER)
        finally:
            at["cancelled"] = time.monotonic()

    manager = manage(busy)
    await manager.start()
    await let_begin()
    report = await manager.stop()
    assert report.cancelled == ("busy",)
    assert at["cancelled"] - at["asked"] >= 0.35, "80 % of half a second"


async def test_its_clean_up_may_take_its_time(manage: Manage) -> None:
    saved: list[str] = []
    manager = manage(cleans_up("saves", 0.05, lambda: saved.append("all")))
    await manager.start()
    await let_begin()
    await manager.stop()
    assert saved == ["all"]


async def test_stragglers_are_named_with_the_place_where_they_hang(caplog: pytest.LogCaptureFixture) -> None:
    stubborn = Stubborn(0.1)
    manager = BackgroundTaskManager(stubborn.task, sleeper)
    await manager.start()
    await let_begin()
    report = await manager.stop()
    assert (report.stragglers, report.cancelled) == (("stubborn",), ("sleeper",))
    assert manager.status()["stubborn"].state is State.STRAGGLER
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors[0].startswith("task 'stubborn' did not end within 0.1 s, at stubborn (test_stop.py:")
    assert "> wait (locks.py:" in errors[0]
    assert errors[1] == "stopped without waiting for: stubborn"
    with pytest.raises(RuntimeError, match="still alive after the last stop: stubborn"):
        await manager.start()
    stubborn.release.set()
    await let_begin()
    assert manager.status()["stubborn"].state is State.FINISHED
    assert stubborn.cancelled == 2, "once in time, once when it was given up"
    async with manager:
        pass


async def test_one_that_ends_when_it_is_given_up_is_a_straggler_all_the_same(manage: Manage) -> None:
    @task(shutdown_timeout=0.1)
    async def late(context: TaskContext) -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError:
                pass  # twice: in time, and when it is given up

    manager = manage(late)
    await manager.start()
    await let_begin()
    report = await manager.stop()
    assert (report.stragglers, report.ended) == (("late",), ())
    assert manager.status()["late"].state is State.FINISHED


async def test_all_stop_in_parallel_within_the_largest_timeout() -> None:
    many = [Stubborn(0.3) for _ in range(20)]
    manager = BackgroundTaskManager()
    for number, each in enumerate(many):
        manager.add(each.task, name=f"stubborn {number}")
    await manager.start()
    await let_begin()
    began = time.monotonic()
    report = await manager.stop()
    assert len(report.stragglers) == 20
    assert 0.3 <= time.monotonic() - began < 2, "one after the other would be six seconds"
    for each in many:
        each.release.set()
    await let_begin()


async def test_each_timeout_is_its_own() -> None:
    """A short one is given up while a long one still cleans up, and the long one is not cut."""
    short = Stubborn(0.05)
    given_up_after: list[State] = []
    manager = BackgroundTaskManager(short.task)
    manager.add(cleans_up("long", 0.4, lambda: given_up_after.append(manager.status()["stubborn"].state)))
    await manager.start()
    await let_begin()
    report = await manager.stop()
    assert (report.stragglers, report.cancelled) == (("stubborn",), ("long",))
    assert given_up_after == [State.STRAGGLER]
    short.release.set()
    await let_begin()


async def test_a_blocked_loop_takes_nobodys_chance(manage: Manage) -> None:
    """All times passed while something blocked the loop; who would have ended in time is still cancelled properly."""

    @task(shutdown_timeout=0.05)
    async def heeds(context: TaskContext) -> None:
        await context.stopping.wait()
        try:
            await asyncio.sleep(FOREVER)
        finally:
            await asyncio.sleep(0.01)

    manager = manage(heeds)
    await manager.start()
    await let_begin()
    asyncio.get_running_loop().call_soon(time.sleep, 0.2)
    assert (await manager.stop()).cancelled == ("heeds",)


async def test_a_cancelled_stop_still_ends_everything_and_says_so() -> None:
    """`asyncio.timeout` around a stop, or the end of the program: no task may survive, and the cancellation passes."""
    ended: list[str] = []

    @task(shutdown_timeout=10)
    async def slow(context: TaskContext) -> None:
        try:
            await context.stopping.wait()
            await asyncio.sleep(FOREVER)
        finally:
            await asyncio.sleep(0.02)
            ended.append(context.name)

    manager = BackgroundTaskManager(slow, sleeper)
    await manager.start()
    await let_begin()
    stopping = asyncio.create_task(manager.stop())
    await asyncio.sleep(0.02)
    assert manager.status()["slow"].state is State.STOPPING
    also = asyncio.create_task(manager.stop())
    for _ in range(3):
        stopping.cancel()
        await asyncio.sleep(0)
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert time.monotonic() - began < 5, "it hurried: the eight seconds of its own share were not waited for"
    assert ended == ["slow"]
    assert set((await also).cancelled) == {"slow", "sleeper"}, "who waited for the same stop gets its report"
    assert [each for each in asyncio.all_tasks() if each is not asyncio.current_task()] == []


async def test_who_waits_for_the_stop_of_another_may_leave(manage: Manage) -> None:
    @task(shutdown_timeout=5)
    async def saves(context: TaskContext) -> None:
        await context.stopping.wait()
        await asyncio.sleep(0.05)

    manager = manage(saves)
    await manager.start()
    await let_begin()
    first, second = asyncio.create_task(manager.stop()), asyncio.create_task(manager.stop())
    await asyncio.sleep(0.01)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (await first).ended == ("saves",)


async def test_a_timeout_around_the_stop_works() -> None:
    manager = BackgroundTaskManager(dies_at_the_end, task(shutdown_timeout=10)(_waits_for_nothing))
    await manager.start()
    await let_begin()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await manager.stop()
    assert manager.status()["_waits_for_nothing"].state is State.STOPPED


async def _waits_for_nothing(context: TaskContext) -> None:
    await context.stopping.wait()
    await asyncio.sleep(FOREVER)


async def test_stop_before_a_start_and_twice(manage: Manage) -> None:
    manager = manage(sleeper)
    assert await manager.stop() == StopReport()
    await manager.start()
    await let_begin()
    first = await manager.stop()
    assert first.cancelled == ("sleeper",)
    assert await manager.stop() is first


async def test_stop_at_once_after_the_start(manage: Manage) -> None:
    """Tasks that have not run a single step yet."""
    manager = manage(sleeper, polite)
    await manager.start()
    assert (await manager.stop()).cancelled == ("sleeper", "polite")
    assert {status.state for status in manager.status().values()} == {State.STOPPED}


async def test_nothing_is_added_or_begun_while_it_stops() -> None:
    stubborn = Stubborn(0.1)
    manager = BackgroundTaskManager(stubborn.task)
    await manager.start()
    await let_begin()
    stopping = asyncio.create_task(manager.stop())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="task 'sleeper': tasks is stopping"):
        manager.add(sleeper)
    with pytest.raises(RuntimeError, match="does not run"):
        manager.begin("stubborn")
    stubborn.release.set()
    assert (await stopping).ended == ("stubborn",)


async def test_a_stop_ends_the_wait_before_a_restart(manage: Manage, until: Any) -> None:
    @task(restart="on_error", shutdown_timeout=20)
    async def broken(context: TaskContext) -> None:
        assert not context.stopping.is_set()
        raise OSError

    manager = manage(broken)
    await manager.start()
    await until(lambda: manager.status()["broken"].state is State.BACKOFF)
    report = await manager.stop()
    assert report.cancelled == ("broken",)
    assert report.seconds < 5


async def test_a_swallowed_cancellation_is_no_reason_to_begin_again(manage: Manage, until: Any) -> None:
    begun = 0

    @task(restart="always")
    async def swallows(context: TaskContext) -> None:
        nonlocal begun
        begun += 1
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            return

    manager = manage(swallows)
    await manager.start()
    await let_begin()
    next(each for each in asyncio.all_tasks() if each.get_name() == "tasks:swallows").cancel()
    await until(lambda: manager.status()["swallows"].state is State.FINISHED)
    assert begun == 1


async def test_a_task_cannot_stop_its_own_manager(manage: Manage, until: Any) -> None:
    """It would wait for itself."""

    @task()
    async def suicidal(context: TaskContext) -> None:
        await manager.stop()

    manager = manage(suicidal, sleeper)
    await manager.start()
    await until(lambda: manager.status()["suicidal"].state is State.FAILED)
    assert "would wait for itself" in str(manager.status()["suicidal"].error)
    assert manager.status()["sleeper"].state is State.RUNNING


def test_a_program_that_ends_in_the_middle_of_a_stop_ends() -> None:
    """`asyncio.run` cancels everything; a straggler that heeds the second cancellation is gone with it."""
    ended: list[str] = []

    @task(shutdown_timeout=10)
    async def slow(context: TaskContext) -> None:
        try:
            await context.stopping.wait()
            await asyncio.sleep(FOREVER)
        finally:
            ended.append("slow")

    async def main() -> None:
        manager = BackgroundTaskManager(slow)
        await manager.start()
        await let_begin()
        keep.append(asyncio.create_task(manager.stop()))
        await let_begin()

    keep: list[asyncio.Task[StopReport]] = []
    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 5
    assert ended == ["slow"]
    assert keep[0].cancelled()
