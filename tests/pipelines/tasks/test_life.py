"""A task between start and stop: it dies, is told of, begins again, is given up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.tasks import BackgroundTaskManager, Backoff, State, TaskContext, TaskStatus, task

Manage = Callable[..., BackgroundTaskManager]
FOREVER = 3600
EVEN = Backoff(first=1.0, factor=2.0, maximum=60.0, jitter=0.5)


async def test_a_death_is_logged_with_its_traceback_and_shown(
    manage: Manage, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The classic loss: a task that nobody awaits dies without a word."""

    @task()
    async def broken(context: TaskContext) -> None:
        raise ValueError("odd value")

    manager = manage(broken)
    await manager.start()
    await until(lambda: manager.status()["broken"].state is State.FAILED)
    assert repr(manager.status()["broken"].error) == "ValueError('odd value')"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (
        record.getMessage() == "task 'broken' died: ValueError('odd value'); it does not begin again: restart is never"
    )
    assert record.name.startswith("pipelines.")
    assert record.exc_text is not None
    assert "in broken" in record.exc_text


async def test_restarts_wait_longer_and_longer_and_end_in_failed(manage: Manage, until: Any, fake_time: Any) -> None:
    told: list[TaskStatus] = []

    @task(restart="on_error", max_restarts=4, backoff=EVEN)
    async def broken(context: TaskContext) -> None:
        raise OSError(f"attempt {context.restarts}")

    manager = manage(broken, clock=fake_time.clock, on_failure=told.append)
    await manager.start()
    await until(lambda: manager.status()["broken"].state is State.FAILED)
    assert fake_time.slept == [1, 2, 4, 8]
    assert told == [manager.status()["broken"]], "once, when it was given up"
    assert (told[0].restarts, str(told[0].error)) == (4, "attempt 4")


async def test_a_long_life_between_failures_forgives(manage: Manage, until: Any, fake_time: Any) -> None:
    @task(restart="on_error", max_restarts=1, backoff=EVEN)
    async def daily(context: TaskContext) -> None:
        if context.restarts == 20:
            return
        fake_time.seconds += 86_400
        raise OSError

    manager = manage(daily, clock=fake_time.clock)
    await manager.start()
    await until(lambda: manager.status()["daily"].state is State.FINISHED)
    assert fake_time.slept == [1.0] * 20


@pytest.mark.parametrize(("restart", "runs"), [("never", 1), ("on_error", 1), ("always", 5)])
async def test_a_return_is_an_end_unless_always(
    restart: Any, runs: int, manage: Manage, until: Any, fake_time: Any
) -> None:
    count = 0

    @task(restart=restart, backoff=EVEN)
    async def brief(context: TaskContext) -> None:
        nonlocal count
        count += 1
        if count == 5:
            await asyncio.sleep(FOREVER)

    manager = manage(brief, clock=fake_time.clock)
    await manager.start()
    await until(lambda: count == runs)
    assert fake_time.slept == [1.0] * (runs - 1)
    wanted = State.RUNNING if restart == "always" else State.FINISHED
    await until(lambda: manager.status()["brief"].state is wanted)


async def test_the_last_error_stays_visible_while_it_runs_again(manage: Manage, until: Any, fake_time: Any) -> None:
    @task(restart="on_error")
    async def flaky(context: TaskContext) -> None:
        if context.restarts == 0:
            raise OSError("once")
        await asyncio.sleep(FOREVER)

    manager = manage(flaky, clock=fake_time.clock)
    await manager.start()
    await until(lambda: manager.status()["flaky"].restarts == 1)
    status = manager.status()["flaky"]
    assert (status.state, str(status.error)) == (State.RUNNING, "once")


async def test_a_cancellation_inside_is_a_death_like_any_other(manage: Manage, until: Any, fake_time: Any) -> None:
    """A future that was cancelled by its owner raises CancelledError in whoever waits; nobody asked the task to end."""

    @task(restart="on_error")
    async def waits(context: TaskContext) -> None:
        if context.restarts == 0:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        await asyncio.sleep(FOREVER)

    manager = manage(waits, clock=fake_time.clock)
    await manager.start()
    await until(lambda: manager.status()["waits"].restarts == 1)
    assert isinstance(manager.status()["waits"].error, asyncio.CancelledError)


async def test_who_cancels_the_asyncio_task_ends_it(manage: Manage, until: Any) -> None:
    """Whoever it was meant it: no restart, whatever the policy."""

    @task(restart="always")
    async def sleeper(context: TaskContext) -> None:
        await asyncio.sleep(FOREVER)

    manager = manage(sleeper)
    await manager.start()
    await asyncio.sleep(0)
    (found,) = [each for each in asyncio.all_tasks() if each.get_name() == "tasks:sleeper"]
    found.cancel()
    await until(lambda: manager.status()["sleeper"].state is State.STOPPED)
    assert found.cancelled(), "the cancellation was not swallowed on its way"


async def test_an_error_in_on_failure_is_told(manage: Manage, until: Any, caplog: pytest.LogCaptureFixture) -> None:
    @task()
    async def broken(context: TaskContext) -> None:
        raise OSError

    def fail(status: TaskStatus) -> None:
        raise LookupError("in the callback")

    manager = manage(broken, on_failure=fail)
    await manager.start()
    await until(lambda: "on_failure raised for task 'broken'" in caplog.messages)
    assert manager.status()["broken"].state is State.FAILED


@pytest.mark.parametrize("exit_by", [KeyboardInterrupt, SystemExit])
def test_an_exit_of_the_program_passes_and_the_rest_is_stopped(exit_by: type[BaseException]) -> None:
    """Not restarted, not logged away: the program ends, and the other tasks clean up."""
    ended: list[str] = []

    @task(restart="always")
    async def exits(context: TaskContext) -> None:
        await asyncio.sleep(0.01)
        raise exit_by(3)

    @task()
    async def other(context: TaskContext) -> None:
        try:
            await asyncio.sleep(FOREVER)
        finally:
            ended.append("other")

    manager = BackgroundTaskManager(exits, other)

    async def main() -> None:
        async with manager:
            await asyncio.sleep(FOREVER)

    with pytest.raises(exit_by):
        asyncio.run(main())
    assert ended == ["other"]
    assert {name: status.state for name, status in manager.status().items()} == {
        "exits": State.FAILED,
        "other": State.STOPPED,
    }
    assert isinstance(manager.status()["exits"].error, exit_by)


async def test_pause_sleeps_and_ends_with_the_service() -> None:
    context = TaskContext("x")
    assert await context.pause(0.001) is False
    waiting = asyncio.create_task(context.pause(FOREVER))
    await asyncio.sleep(0)
    context.ask_to_stop()
    assert await asyncio.wait_for(waiting, 5) is True
    assert await context.pause(0) is True, "when it stops already, at once"
