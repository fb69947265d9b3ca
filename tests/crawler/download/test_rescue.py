"""When a stream of the whole file is better asked for again: where others were far faster, and much is left."""

from __future__ import annotations

import pytest

from crawler.download.plan.rescue import is_unlucky

MIB = 1 << 20


@pytest.mark.parametrize(
    ("rate", "best", "left", "is_given_up"),
    [
        (0.0, 100 * MIB, 1, True),
        (1 * MIB, 100 * MIB, 30 * MIB, True),
        (1 * MIB, 100 * MIB, 9 * MIB, False),
        (10 * MIB, 100 * MIB, 9000 * MIB, False),
        (0.0, 0.0, 9000 * MIB, False),
        (1.0, 0.0, 9000 * MIB, False),
    ],
    ids=["silent", "crawls", "nearly done", "slow", "silent, and nobody was faster", "nobody was faster"],
)
def test_a_stream_is_given_up_for_one_that_is_surely_better(
    rate: float, best: float, left: int, *, is_given_up: bool
) -> None:
    assert is_unlucky(rate, best, left) is is_given_up
