"""The gate of `make coverage` looks at branches: full lines must not hide branches that nobody took."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import branches
from tests.support.branches import judge

LEAST = 95.0


def report(**files: tuple[int, int]) -> dict[str, Any]:
    """Return a report with (taken, all) of each file; every line of them was run."""

    def summary(taken: int, of: int) -> dict[str, float]:
        return {"covered_lines": 1000, "num_statements": 1000, "covered_branches": taken, "num_branches": of}

    listed = {
        name: {"summary": summary(*found), "missing_branches": [[7, line] for line in range(found[1] - found[0])]}
        for name, found in files.items()
    }
    return {"files": listed, "totals": summary(*map(sum, zip(*files.values(), strict=True)))}


@pytest.mark.parametrize(("taken", "enough"), [(94, False), (95, True), (100, True)])
def test_branches_count_and_lines_do_not(taken: int, enough: bool) -> None:
    assert judge(report(a=(taken, 100)), LEAST)[1] is enough


def test_a_module_below_is_named_also_where_the_total_is_enough() -> None:
    lines, enough = judge(report(good=(198, 200), bad=(2, 4)), LEAST)
    assert enough
    assert lines[0] == "bad: 2 of 4 branches, 50.0 %; not taken: 7->exit, 7->1"
    assert lines[1].startswith("in total: 200 of 204 branches, 98.0 %")


def test_a_module_without_branches_is_fine_and_a_report_without_any_is_not() -> None:
    assert judge(report(good=(20, 20), straight=(0, 0)), LEAST)[0][:-1] == []
    assert judge(report(nothing=(0, 0)), LEAST)[1] is False


@pytest.mark.parametrize(("taken", "code"), [(19, 0), (18, 1)])
def test_it_is_a_gate(taken: int, code: int) -> None:
    run = subprocess.run(
        [sys.executable, str(Path(branches.__file__)), "95"],
        input=json.dumps(report(a=(taken, 20))), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (code, "")
