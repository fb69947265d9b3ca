"""Says how many branches were taken, of a `coverage json` report on stdin, and fails when it is too few.

    python -m coverage json --quiet -o - | python tests/support/branches.py 95

The total of `coverage report` mixes lines and branches, and lines are what is easy to cover.
"""

from __future__ import annotations

import json
import sys
from typing import Any, NamedTuple


class Branches(NamedTuple):
    """How many were taken, of how many."""

    taken: int
    all: int

    @property
    def percent(self) -> float:
        """What is not there was covered."""
        return 100.0 * self.taken / self.all if self.all else 100.0

    def __str__(self) -> str:
        return f"{self.taken} of {self.all} branches, {self.percent:.1f} %"


def branches(summary: dict[str, Any]) -> Branches:
    """Return those of a `summary` or of the `totals`. Raises KeyError when branches were not measured."""
    return Branches(summary["covered_branches"], summary["num_branches"])


def judge(report: dict[str, Any], least: float) -> tuple[list[str], bool]:
    """Return what to say, the modules below `least` percent with the branches they miss, and whether it is enough."""
    lines = []
    for name, file in sorted(report["files"].items()):
        if (found := branches(file["summary"])).percent < least:
            missing = ", ".join(
                f"{start}->{end}" if end > 0 else f"{start}->exit" for start, end in file["missing_branches"]
            )
            lines.append(f"{name}: {found}; not taken: {missing}")
    total = branches(report["totals"])
    lines.append(f"in total: {total}; at least {least:g} % wanted")
    return lines, total.all > 0 and total.percent >= least


def main() -> int:
    """Read the report and the limit."""
    lines, enough = judge(json.load(sys.stdin), float(sys.argv[1]))
    print(*lines, sep="\n")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
