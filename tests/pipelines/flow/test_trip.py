"""Many calls in one trip: each fails alone, and a trip ends before it grows too long or too large."""

from __future__ import annotations

from pickle import dumps

import pytest

from pipelines.errors import TaskNotPicklable
from pipelines.flow.trip import RAW_BYTES, packed, run_items, size_of, unpacked
from pipelines.pool.remote import Failure, unpack


def length(value: bytes) -> int:
    return len(value)


def echo(value: object) -> object:
    return value


def inverse(number: int) -> float:
    return 1 / number


def unpicklable(number: int) -> object:
    return (lambda: number) if number else 0


def interrupted(_value: object) -> None:
    raise KeyboardInterrupt


FOREVER = 1e9


@pytest.mark.parametrize("value", [b"", b"x" * (RAW_BYTES - 1), b"x" * RAW_BYTES, (b"x",), "text", None, [1, 2]])
def test_a_value_comes_out_as_it_went_in(value: object) -> None:
    form = packed(value)
    assert unpacked(form) == value
    assert type(unpacked(form)) is type(value)


def test_large_bytes_are_not_copied() -> None:
    value = b"x" * RAW_BYTES
    assert unpacked(packed(value)) is value
    assert size_of(packed(value)) == RAW_BYTES


def test_every_item_has_its_own_answer() -> None:
    answers = run_items(dumps(inverse), [packed(number) for number in (2, 0, 4)], FOREVER, 1 << 20).answers
    assert isinstance(answers[1], Failure)
    error = unpack(answers[1])
    assert isinstance(error, ZeroDivisionError)
    assert "in inverse" in str(error.__cause__), "the traceback of where it happened"
    assert [unpacked(answer) for answer in (answers[0], answers[2]) if not isinstance(answer, Failure)] == [0.5, 0.25]


def test_what_does_not_pickle_or_load_costs_itself_alone() -> None:
    answers = run_items(dumps(unpicklable), [packed(0), packed(1), b"rubbish", packed(0)], FOREVER, 1 << 20).answers
    assert [isinstance(answer, Failure) for answer in answers] == [False, True, True, False]
    texts = [str(unpack(answer)) for answer in answers if isinstance(answer, Failure)]
    assert texts[0].startswith("the result, a function, cannot be sent back: ")
    assert texts[1].startswith("the item cannot be loaded in the worker: ")


def test_a_trip_ends_when_its_time_is_over_but_not_before_the_first_item() -> None:
    assert len(run_items(dumps(echo), [packed(1)] * 5, 0.0, 1 << 20).answers) == 1


def test_a_trip_ends_when_its_results_are_large_enough() -> None:
    assert len(run_items(dumps(echo), [packed(b"x" * 1000)] * 5, FOREVER, 2500).answers) == 3


def test_a_function_that_does_not_load_is_no_fault_of_an_item() -> None:
    with pytest.raises(TaskNotPicklable, match="define it in a module"):
        run_items(b"cno_such_module\nfunction\n.", [packed(1)], FOREVER, 1)


def test_control_c_is_the_callers() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_items(dumps(interrupted), [packed(1)], FOREVER, 1)


def test_the_size_of_a_failure_is_that_of_its_texts() -> None:
    (answer,) = run_items(dumps(inverse), [packed(0)], FOREVER, 1).answers
    assert isinstance(answer, Failure)
    assert size_of(answer) >= len(answer.traceback) > 100
