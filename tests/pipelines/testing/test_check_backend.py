"""check_backend passes what is good and catches, for each rule, a backend that breaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bad_backends
import pytest

from pipelines.backends import Guarantee, InlineBackend, LocalBackend, ThreadsBackend
from pipelines.pool.pool import WorkerPool
from pipelines.testing import check_backend
from pipelines.testing import rules as rules_module
from pipelines.testing.backend import RULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.backends import Backend


def test_threads_keep_what_threads_can_keep() -> None:
    names = check_backend(lambda: ThreadsBackend(2))
    assert names == [
        "arguments", "order", "many_callers", "completion_order", "does_not_wait", "errors", "any_error",
        "unpicklable_result", "payload", "context", "callbacks", "nested", "logs",
        "budget", "cancel_before", "cancel_during", "cancel_after", "close",
    ]  # fmt: skip


def a_pool() -> Backend:
    return LocalBackend(WorkerPool(2, memory_limit=450 << 20))


@pytest.mark.slow
def test_the_pool_keeps_every_rule_there_is() -> None:
    assert set(check_backend(a_pool)) == {rule.name for rule in RULES} | {"no_orphans"}


def test_every_guarantee_has_a_rule() -> None:
    checked = frozenset[Guarantee]().union(*(rule.needs for rule in RULES))
    assert checked | {Guarantee.NO_ORPHANS} == set(Guarantee)


def test_every_rule_has_a_text_and_a_remedy() -> None:
    for rule in RULES:
        assert len(rule.text) > 20, rule.name
        assert len(rule.remedy) > 20, rule.name
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (bad_backends.DropsKeywords, "arguments"),
        (bad_backends.KeepsNames, "arguments"),
        (bad_backends.GivesAnswers, "arguments"),
        (bad_backends.MixesUp, "order"),
        (bad_backends.OneCaller, "many_callers"),
        (bad_backends.InTurn, "completion_order"),
        (bad_backends.Blocks, "does_not_wait"),
        (bad_backends.SaysParallel, "elsewhere"),
        (bad_backends.WrapsErrors, "errors"),
        (bad_backends.PassesExit, "any_error"),
        (bad_backends.LosesResults, "unpicklable_result"),
        (bad_backends.SaysAdvice, "advice"),
        (bad_backends.TersePickle, "advice"),
        (bad_backends.CutsPayload, "payload"),
        (bad_backends.CopiesPayload, "payload"),
        (bad_backends.CarriesContext, "context"),
        (bad_backends.Locks, "callbacks"),
        (bad_backends.NeverNested, "nested"),
        (bad_backends.Silent, "logs"),
        (bad_backends.KeepsAnswers, "budget"),
        (bad_backends.Shielded, "cancel_before"),
        (bad_backends.CancelsRunning, "cancel_during"),
        (bad_backends.CancelsDone, "cancel_after"),
        (bad_backends.SaysStop, "stop"),
        (bad_backends.SaysDeadline, "deadline"),
        (bad_backends.LateDeadline, "deadline"),
        (bad_backends.SaysIsolation, "dies_by_sigkill"),
        (bad_backends.SaysIsolation, "dies_by_sigsegv"),
        (bad_backends.SaysIsolation, "dies_by__exit"),
        (bad_backends.AnswersTwice, "forks"),
        (bad_backends.SaysMemoryLimit, "memory"),
        (bad_backends.LosesOnClose, "close"),
        (bad_backends.StaysOpen, "close"),
        (bad_backends.ClosesOnce, "close"),
        (bad_backends.SaysBounded, "bounded_close"),
    ],
)
def test_each_rule_catches_who_breaks_it(
    make: Callable[[], Backend], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_module, "SECONDS", 3.0)
    monkeypatch.setattr("pipelines.testing.backend_calls.SECONDS", 3.0)
    monkeypatch.setattr("pipelines.testing.backend_ends.SECONDS", 3.0)
    rule = next(rule for rule in RULES if rule.name == name)
    backend = make()
    try:
        with pytest.raises(AssertionError) as caught:
            rule.run(backend)
    finally:
        backend.close()
    told = str(caught.value)
    assert f"rule: {rule.text}" in told
    assert "case: plain: " in told
    assert f"remedy: {rule.remedy}" in told


def test_every_rule_is_broken_by_somebody() -> None:
    marks = test_each_rule_catches_who_breaks_it.pytestmark  # type: ignore[attr-defined]  # set by the decorator
    assert {name for _, name in marks[0].args[1]} == {rule.name for rule in RULES}


def test_the_first_rule_broken_is_the_one_that_is_told() -> None:
    with pytest.raises(AssertionError, match="A call gets its positional and keyword arguments"):
        check_backend(bad_backends.DropsKeywords)


@pytest.mark.parametrize(
    ("make", "case"),
    [(bad_backends.Nameless, "name is ''"), (bad_backends.Vague, "guarantees is 'deadline'")],
)
def test_the_face_of_a_backend_is_looked_at_first(make: Callable[[], Backend], case: str) -> None:
    with pytest.raises(AssertionError, match=case):
        check_backend(make)


def test_who_leaves_a_process_behind_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.testing.backend.RULES", ())
    with pytest.raises(AssertionError, match=r"Nothing runs on(.|\n)*bad_backends:LeavesOrphans(.|\n)*prctl"):
        check_backend(bad_backends.LeavesOrphans)


def test_an_inline_backend_passes() -> None:
    """Which means that a user's tests may run on it and mean something."""
    assert "context" in check_backend(InlineBackend)
