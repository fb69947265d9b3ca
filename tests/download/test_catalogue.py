"""Every fault case from D1 to D124 is somewhere: a script in the matrix, or a named test, or both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crawler.download.fault import Fault
from crawler.testing.cases import CASES, UNSCRIPTED, Case
from tests.download.test_matrix import ELSEWHERE

ALL = [f"D{number}" for number in range(1, 125)]
TESTS = Path(__file__).parents[1]
ROOMS = (TESTS / "download", TESTS / "crawler" / "download", TESTS / "crawler" / "fetch")
MENTION = re.compile(r"(?<![A-Za-z0-9])[dD]0*([1-9][0-9]{0,2})(?![0-9A-Za-z])")
NAMED = re.compile(r"(?:async )?def test_\w*|\"\"\".*?\"\"\"", re.DOTALL)


def mentions() -> dict[str, set[str]]:
    """Return which test files name which case, in the name of a test or in a docstring."""
    found: dict[str, set[str]] = {}
    for room in ROOMS:
        for path in room.glob("test_*.py"):
            if path.name in ("test_catalogue.py", "test_matrix.py"):
                continue
            for words in NAMED.findall(path.read_text("utf-8")):
                for number in MENTION.findall(words.replace("_", " ")):
                    found.setdefault(f"D{int(number)}", set()).add(path.name)
    return found


def test_every_case_is_in_the_catalogue_once() -> None:
    scripted = {case.id for case in CASES}
    unscripted = [each.id for each in UNSCRIPTED]
    assert sorted(scripted | set(unscripted), key=lambda name: int(name[1:])) == ALL
    assert len(unscripted) == len(set(unscripted))
    assert not scripted & set(unscripted)


@pytest.mark.parametrize("wanted", sorted({each.id for each in UNSCRIPTED} | ELSEWHERE))
def test_what_no_server_shows_is_named_by_a_test(wanted: str) -> None:
    assert mentions().get(wanted), f"{wanted}: no test of {', '.join(map(str, ROOMS))} names it"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_says_what_it_does_and_how_it_may_end(case: Case) -> None:
    assert case.does.endswith(".")
    assert case.title
    assert case.may_be_right or case.faults
    assert case.faults <= {fault.value for fault in Fault}
