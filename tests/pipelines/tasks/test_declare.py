"""What may be a task, and what is said to who gives something else."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from pipelines.tasks import BackgroundTaskManager, State, TaskContext, task
from pipelines.tasks.options import declared

Manage = Callable[..., BackgroundTaskManager]


async def plain(context: TaskContext) -> None:
    """Nothing declared: the defaults."""


@task(name="named", shutdown_timeout=1.5)
async def marked(context: TaskContext) -> None:
    """Declared."""


class Client:
    def __init__(self) -> None:
        self.seen: list[str] = []

    @task(name="client")
    async def poll(self, context: TaskContext) -> None:
        self.seen.append(context.name)

    async def __call__(self, context: TaskContext) -> None:
        self.seen.append(f"called {context.name}")


async def with_url(url: str, seen: list[str], context: TaskContext) -> None:
    seen.append(f"{context.name} {url}")


async def test_a_declared_function_stays_what_it_is() -> None:
    """So that it can be tested and reused without any manager."""
    await marked(TaskContext("x"))
    assert declared(marked).shutdown_timeout == 1.5
    assert BackgroundTaskManager().status() == {}, "declaring registers nothing anywhere"


def test_names_are_those_declared_or_of_the_function() -> None:
    client = Client()
    manager = BackgroundTaskManager(plain, marked, client.poll, partial(with_url, "u", []), client)
    assert list(manager.status()) == ["plain", "named", "client", "with_url", "Client"]
    assert {status.state for status in manager.status().values()} == {State.NEW}


async def test_methods_partials_and_callable_objects_run(manage: Manage, until: Any) -> None:
    client, seen = Client(), list[str]()
    manager = manage(client.poll, client)
    manager.add(partial(with_url, "a", seen), name="first")
    manager.add(partial(with_url, "b", seen), name="second")
    await manager.start()
    await until(lambda: all(status.state is State.FINISHED for status in manager.status().values()))
    assert sorted(seen) == ["first a", "second b"]
    assert client.seen == ["client", "called Client"]


def test_options_of_a_partial_are_those_of_what_it_holds_unless_it_has_its_own() -> None:
    assert declared(partial(marked)).name == "named"
    assert declared(task(name="other")(partial(marked))).name == "other"
    assert declared(marked).name == "named"


def test_add_is_a_decorator_too() -> None:
    manager = BackgroundTaskManager()

    @manager.add
    @task(restart="always")
    async def poll(context: TaskContext) -> None:
        pass

    assert list(manager.status()) == ["poll"]
    assert inspect.iscoroutinefunction(poll)


def test_a_name_is_taken_once() -> None:
    manager = BackgroundTaskManager(plain)
    with pytest.raises(ValueError, match="task 'plain': there is one of this name"):
        manager.add(plain)
    manager.add(plain, name="again")


def blocking(context: TaskContext) -> None: ...


async def generates(context: TaskContext) -> AsyncIterator[int]:
    yield 1


async def takes_nothing() -> None: ...


async def takes_two(context: TaskContext, url: str) -> None: ...


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (blocking, "expected an async function.*run_cpu"),
        (generates, "expected an async function"),
        (partial(blocking), "expected an async function"),
        (7, "expected an async function"),
        (Client, "expected an async function"),
        (takes_nothing, "'takes_nothing': it is called with the context alone"),
        (takes_two, "missing a required argument: 'url'"),
    ],
)
def test_what_is_no_task_is_refused_when_it_is_added(wrong: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        BackgroundTaskManager(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"startup": "soon"},
        {"restart": "sometimes"},
        {"shutdown_timeout": 0},
        {"startup_timeout": -1},
        {"max_restarts": -1},
    ],
)
def test_a_wrong_option_is_named(wrong: dict[str, Any]) -> None:
    (key,) = wrong
    with pytest.raises(ValueError, match=f"task: {key}: expected"):
        task(**wrong)


def test_a_bound_method_cannot_be_declared_and_the_remedy_is_told() -> None:
    with pytest.raises(TypeError, match="declare a method in its class"):
        task()(Client().poll)
    with pytest.raises(TypeError, match="expected an async function"):
        task()(7)  # type: ignore[type-var]  # the mistake under test


def test_on_failure_must_be_plain() -> None:
    async def tell(status: object) -> None: ...

    with pytest.raises(TypeError, match="on_failure"):
        BackgroundTaskManager(on_failure=tell)
