"""simhash: the fast lanes count what a slow loop counts, and near texts have near hashes."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages import words as module
from pipelines.stages.words import simhash, voters

DIGITS = "0123456789"


def slow_simhash(words: Collection[str]) -> int:
    counts = [0] * 64
    for word in words:
        for bit, byte in enumerate(blake2b(word.encode("utf-8", "surrogatepass")).digest()):
            counts[bit] += byte & 1
    return sum(1 << bit for bit in range(64) if counts[bit] > len(words) // 2)


@given(st.sets(st.text(min_size=1, max_size=8), max_size=40))
def test_lanes_count_as_a_loop_does(words: set[str]) -> None:
    assert simhash(words) == slow_simhash(words)


@pytest.mark.parametrize("count", [254, 255, 256, 510, 511, 5000])
def test_lanes_do_not_overflow(count: int) -> None:
    words = [f"word{number}" for number in range(count)]
    assert simhash(words) == slow_simhash(words)


def test_unanimous_votes_do_not_overflow() -> None:
    assert simhash(["same"] * 65_535) == slow_simhash(["same"])
    assert simhash(["same"] * 100_000) == slow_simhash(["same"])


def test_near_texts_are_near_and_far_ones_far() -> None:
    text = [f"{a}{b}" for a in "abcdefghijklmnopqrst" for b in "aeiouxyz"]
    other = [word.upper() for word in text]
    assert (simhash(text) ^ simhash([*text[3:], "new", "words"])).bit_count() <= 10
    assert (simhash(text) ^ simhash(other)).bit_count() > 15
    assert simhash([]) == 0


def test_only_words_of_letters_vote_unless_there_are_few() -> None:
    assert set(voters(["a", "b", "b", "1", "x.y"])) == {"a", "b"}
    assert set(voters(["1", "2", "3", "x.y", "a"])) == {"1", "2", "3", "x.y", "a"}
    assert set(voters(["你好", "мир"])) == {"你好", "мир"}


def test_the_memory_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN_WORDS", 100)
    votes = module._Votes()
    monkeypatch.setattr(module, "_votes_of", votes.__getitem__)
    words = [f"w{number}" for number in range(1000)]
    assert simhash(words) == slow_simhash(words)
    assert simhash(["x" * 100]) == slow_simhash(["x" * 64])
    assert len(votes) <= 100
    assert "x" * 100 not in votes
