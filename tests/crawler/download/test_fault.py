"""Reasons are a closed set with stable values; what may heal is told apart from what will not."""

from __future__ import annotations

import inspect

import pytest

from crawler.download import fault as room
from crawler.download.fault import Fault, is_retryable


def test_every_fault_says_what_it_means() -> None:
    source = inspect.getsource(room.Fault).splitlines()
    for number, line in enumerate(source):
        if " = " in line:
            assert source[number + 1].strip().startswith('"""'), line


def test_values_are_names_in_lower_case() -> None:
    assert all(fault.value == fault.name.lower() for fault in Fault)


@pytest.mark.parametrize(
    "fault", [Fault.DISCONNECTED, Fault.SHORT_BODY, Fault.CHANGED, Fault.RATE_LIMITED, Fault.SEAM_MISMATCH]
)
def test_what_may_heal_is_tried_again(fault: Fault) -> None:
    assert is_retryable(fault)


@pytest.mark.parametrize(
    "fault", [Fault.TLS, Fault.GONE, Fault.AUTH, Fault.NO_SPACE, Fault.EXISTS, Fault.RETRIES_EXHAUSTED, Fault.INTERNAL]
)
def test_d69_what_will_not_heal_is_not(fault: Fault) -> None:
    assert not is_retryable(fault)


@pytest.mark.parametrize(("status", "retried"), [(500, True), (503, True), (522, True), (501, False), (505, False)])
def test_d66_some_5xx_are_not_of_the_moment(status: int, retried: bool) -> None:
    assert is_retryable(Fault.HTTP_5XX, status) is retried
