"""Bytes held at once are a number, and whoever waits for some is served in order."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from pipelines.flow.budget import ByteBudget


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_budget_makes_those_wait_who_do_not_fit_and_serves_them_in_order() -> None:
    budget = ByteBudget(100)
    await budget.acquire(60)
    second, third = asyncio.create_task(budget.acquire(50)), asyncio.create_task(budget.acquire(10))
    await turns()
    assert not second.done()
    assert not third.done()  # it would fit, but came later: a small page does not overtake a large one for ever
    budget.release(60)
    await turns()
    assert second.done()
    assert third.done()
    assert budget.held == 60


async def test_more_than_the_whole_budget_is_granted_when_nothing_is_held() -> None:
    budget = ByteBudget(100)
    await asyncio.wait_for(budget.acquire(1000), 1)
    budget.release(1000)
    assert budget.held == 0


async def test_a_cancelled_wait_gives_its_place_to_the_next() -> None:
    budget = ByteBudget(100)
    await budget.acquire(90)
    large, small = asyncio.create_task(budget.acquire(50)), asyncio.create_task(budget.acquire(10))
    await turns()
    large.cancel()
    await turns()
    assert small.done()
    assert budget.held == 100


async def test_a_wait_that_is_cancelled_as_it_ends_gives_back_what_it_got() -> None:
    budget = ByteBudget(100)
    await budget.acquire(90)
    wait = asyncio.create_task(budget.acquire(50))
    await turns()
    budget.release(90)  # grants it; the task has not run yet
    wait.cancel()
    await turns()
    assert wait.cancelled()
    assert budget.held == 0


async def test_what_is_there_already_counts_beyond_the_limit() -> None:
    budget = ByteBudget(100)
    budget.add(150)
    wait = asyncio.create_task(budget.acquire(10))
    await turns()
    assert (budget.held, wait.done()) == (150, False)
    budget.release(100)
    await turns()
    assert (budget.held, wait.done()) == (60, True)


@given(st.lists(st.integers(1, 150), min_size=1, max_size=30))
def test_the_budget_is_never_exceeded_and_everybody_is_served(sizes: list[int]) -> None:
    async def scenario() -> None:
        budget = ByteBudget(100)
        served = 0

        async def one(size: int) -> None:
            nonlocal served
            await budget.acquire(size)
            assert budget.held <= 100 or budget.held == size
            await turns(1)
            budget.release(size)
            served += 1

        await asyncio.gather(*map(one, sizes))
        assert served == len(sizes)
        assert budget.held == 0

    asyncio.run(scenario())
