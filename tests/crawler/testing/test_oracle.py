"""The oracle believes bytes, not words."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.testing.bodies import Body
from crawler.testing.oracle import Verdict, judge, strays, where_wrong

A, B = Body(50_000), Body(50_000, "B")


@pytest.mark.parametrize(
    ("left", "says", "expected"),
    [
        (A.read(0, 50_000), True, Verdict.RIGHT),
        (B.read(0, 50_000), True, Verdict.RIGHT),
        (A.read(0, 25_000) + B.read(25_000, 50_000), True, Verdict.WRONG),
        (A.read(0, 49_999), True, Verdict.WRONG),
        (None, True, Verdict.WRONG),
        (None, False, Verdict.FAILED),
        (A.read(0, 50_000), False, Verdict.FAILED),
        (A.read(0, 100), False, Verdict.DIRTY),
        (A.read(0, 50_000), None, Verdict.HUNG),
    ],
)
def test_verdicts(tmp_path: Path, left: bytes | None, says: bool | None, expected: Verdict) -> None:
    path = tmp_path / "f"
    if left is not None:
        path.write_bytes(left)
    assert judge(path, [A, B], says_success=says) is expected


def test_where_a_mixture_is_wrong_is_told_by_the_version_it_is_most_like(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(A.read(0, 40_000) + B.read(40_000, 50_000))
    ((first, end),) = where_wrong(path, [B, A])
    assert (first, end) == (40_000, 50_000)


def test_strays_are_what_nobody_keeps(tmp_path: Path) -> None:
    (tmp_path / "kept" / "deep").mkdir(parents=True)
    for name in ("kept/deep/a", "b", "c.part"):
        (tmp_path / name).touch()
    assert strays(tmp_path, [tmp_path / "kept", tmp_path / "b"]) == [tmp_path / "c.part"]
