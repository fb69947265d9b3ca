"""Start-up: who is waited for, and that a start that fails leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from pipelines.tasks import (
    BackgroundTaskManager,
    Backoff,
    StartupFailed,
    StartupTimeout,
    State,
    TaskContext,
    lifespan,
    task,
)

Manage = Callable[..., BackgroundTaskManager]
FOREVER = 3600


@task()
async def sleeper(context: TaskContext) -> None:
    await asyncio.sleep(FOREVER)


def tasks_alive() -> set[str]:
    return {each.get_name() for each in asyncio.all_tasks() if each is not asyncio.current_task()}


async def test_the_service_waits_for_those_that_say_so(manage: Manage) -> None:
    order: list[str] = []

    @task(startup="wait")
    async def warm(context: TaskContext) -> None:
        await asyncio.sleep(0.02)
        order.append("warm")
        context.ready()
        context.ready()  # twice is fine
        await asyncio.sleep(FOREVER)

    @task()
    async def slow(context: TaskContext) -> None:
        await asyncio.sleep(FOREVER)
        order.append("slow")

    manager = manage(warm, slow)
    starting = asyncio.create_task(manager.start())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert manager.status()["warm"].state is State.STARTING
    await starting
    assert order == ["warm"]
    assert {status.state for status in manager.status().values()} == {State.RUNNING}
    assert tasks_alive() == {"tasks:warm", "tasks:slow"}, "asyncio's own names tell what runs"


async def test_a_task_that_returns_is_ready(manage: Manage) -> None:
    """A migration that the service waits for."""

    @task(startup="wait")
    async def migrate(context: TaskContext) -> None:
        await asyncio.sleep(0)

    manager = manage(migrate)
    await asyncio.wait_for(manager.start(), 5)
    assert manager.status()["migrate"].state is State.FINISHED


async def test_one_that_dies_at_the_start_stops_all_and_its_error_is_raised() -> None:
    ended: list[str] = []

    @task(startup="wait")
    async def good(context: TaskContext) -> None:
        try:
            context.ready()
            await asyncio.sleep(FOREVER)
        finally:
            ended.append("good")

    @task(startup="wait")
    async def bad(context: TaskContext) -> None:
        await asyncio.sleep(0.01)
        raise OSError("no database")

    @task(startup="wait")
    async def never_ready(context: TaskContext) -> None:
        await asyncio.sleep(FOREVER)

    manager = BackgroundTaskManager(sleeper, good, bad, never_ready)
    with pytest.raises(StartupFailed, match=r"task 'bad' failed before it was ready.*no database") as caught:
        await asyncio.wait_for(manager.start(), 5)
    assert isinstance(caught.value.__cause__, OSError)
    assert ended == ["good"]
    assert tasks_alive() == set()
    assert manager.status()["bad"].state is State.FAILED


async def test_who_is_not_ready_in_time_is_named() -> None:
    @task(startup="wait", startup_timeout=0.03)
    async def silent(context: TaskContext) -> None:
        await asyncio.sleep(FOREVER)

    manager = BackgroundTaskManager(sleeper, silent)
    with pytest.raises(StartupTimeout, match=r"task 'silent' was not ready within 0.03 s: it must call context.ready"):
        await manager.start()
    assert isinstance(StartupTimeout(), TimeoutError)
    assert tasks_alive() == set()


async def test_the_cause_of_a_late_start_is_the_last_error() -> None:
    @task(startup="wait", startup_timeout=0.05, restart="on_error", backoff=Backoff(first=0.001, jitter=0))
    async def connect(context: TaskContext) -> None:
        raise OSError("no database")

    with pytest.raises(StartupTimeout) as caught:
        await BackgroundTaskManager(connect).start()
    assert str(caught.value.__cause__) == "no database"


async def test_a_start_may_take_several_attempts(manage: Manage, fake_time: Any) -> None:
    @task(startup="wait", restart="on_error")
    async def connect(context: TaskContext) -> None:
        if context.restarts < 3:
            raise OSError("not yet")
        context.ready()
        await asyncio.sleep(FOREVER)

    manager = manage(connect, clock=fake_time.clock)
    await manager.start()
    status = manager.status()["connect"]
    assert (status.state, status.restarts, str(status.error)) == (State.RUNNING, 3, "not yet")


async def test_a_cancelled_start_stops_what_it_began() -> None:
    @task(startup="wait")
    async def silent(context: TaskContext) -> None:
        await asyncio.sleep(FOREVER)

    starting = asyncio.create_task(BackgroundTaskManager(silent, sleeper).start())
    await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert tasks_alive() == set()


async def test_a_stop_during_the_start_ends_the_start() -> None:
    @task(startup="wait")
    async def silent(context: TaskContext) -> None:
        await asyncio.sleep(FOREVER)

    manager = BackgroundTaskManager(silent)
    starting = asyncio.create_task(manager.start())
    await asyncio.sleep(0.01)
    await manager.stop()
    with pytest.raises(StartupFailed, match="'silent' stopped before it was ready"):
        await starting


async def test_starting_twice_is_a_mistake_that_disturbs_nobody(manage: Manage) -> None:
    manager = manage(sleeper)
    await manager.start()
    with pytest.raises(RuntimeError, match="started already"):
        await manager.start()
    assert manager.status()["sleeper"].state is State.RUNNING
    assert tasks_alive() == {"tasks:sleeper"}


async def test_a_manager_can_be_started_again(manage: Manage) -> None:
    """As test clients do, which run the lifespan of one application many times."""
    manager = manage(sleeper)
    for _ in range(3):
        async with manager:
            assert manager.status()["sleeper"].state is State.RUNNING
        assert manager.status()["sleeper"].state is State.STOPPED


def test_also_in_another_loop() -> None:
    manager = BackgroundTaskManager(sleeper)

    async def once() -> State:
        async with manager:
            return manager.status()["sleeper"].state

    assert [asyncio.run(once()) for _ in range(2)] == [State.RUNNING] * 2


async def test_a_task_that_is_added_while_it_runs_begins(manage: Manage) -> None:
    manager = manage()
    await manager.start()
    manager.add(sleeper)

    @task(startup="lazy")
    async def lazy(context: TaskContext) -> None:
        await asyncio.sleep(FOREVER)

    manager.add(lazy)
    await asyncio.sleep(0)
    assert [status.state for status in manager.status().values()] == [State.RUNNING, State.NEW]
    assert (await manager.stop()).cancelled == ("sleeper",)


async def test_a_lazy_task_begins_when_it_is_told(manage: Manage) -> None:
    began: list[int] = []

    @task(startup="lazy")
    async def lazy(context: TaskContext) -> None:
        began.append(1)
        await asyncio.sleep(FOREVER if len(began) > 1 else 0)

    manager = manage(lazy)
    with pytest.raises(RuntimeError, match="does not run"):
        manager.begin("lazy")
    await manager.start()
    assert manager.status()["lazy"].state is State.NEW
    with pytest.raises(KeyError, match="no task 'lasy'; there are: lazy"):
        manager.begin("lasy")
    for _ in range(2):
        manager.begin("lazy")
        manager.begin("lazy")  # alive already
        await asyncio.sleep(0.01)
    assert len(began) == 2, "one that ended can be begun again by hand"
    assert manager.status()["lazy"].state is State.RUNNING
    await manager.stop()
    async with manager:
        assert manager.status()["lazy"].state is State.NEW, "a new start forgets the run before"


REQUEST: ContextVar[str] = ContextVar("REQUEST", default="none")


async def test_tasks_see_the_context_of_the_start_not_of_who_begins_them(manage: Manage) -> None:
    """A task that a request begins must not log under that request's id for ever."""
    seen: list[str] = []

    @task(startup="lazy")
    async def lazy(context: TaskContext) -> None:
        seen.append(REQUEST.get())
        REQUEST.set("changed")

    manager = manage(lazy)
    REQUEST.set("service")
    await manager.start()
    REQUEST.set("request 7")
    manager.begin("lazy")
    await asyncio.sleep(0)
    assert seen == ["service"]
    assert REQUEST.get() == "request 7"


async def test_lifespan_has_the_form_that_applications_want() -> None:
    manager, other = BackgroundTaskManager(sleeper, name="jobs"), BackgroundTaskManager(sleeper, name="more")
    async with manager.lifespan(object()) as state:
        assert state == {"jobs": manager}
        assert tasks_alive() == {"jobs:sleeper"}
    assert tasks_alive() == set()
    assert tasks_alive() == set()
    async with lifespan(manager, other)(object()) as states:
        assert states == {"jobs": manager, "more": other}
        assert tasks_alive() == {"jobs:sleeper", "more:sleeper"}
    assert tasks_alive() == set()
    with pytest.raises(ValueError, match="different names"):
        lifespan(manager, manager)


async def test_an_application_that_fails_stops_its_tasks() -> None:
    async def fail() -> None:
        async with BackgroundTaskManager(sleeper).lifespan(object()):
            raise KeyError("the application failed")

    with pytest.raises(KeyError, match="the application failed"):
        await fail()
    assert tasks_alive() == set()
