"""`kill -9` at every call of the disk, in real processes: the next fetches nothing again that was recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
ALL_THERE_IS = [".crawlmill/receipts/data%2Fset.bin.json", "data/set.bin"]


def run(folder: Path, mode: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.support.killed_downloads", str(folder), mode]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    reports: list[dict[str, Any]] = json.loads(done.stdout)
    return reports


def test_d86_killed_at_every_step(tmp_path: Path) -> None:
    reports = run(tmp_path, "each")
    assert len(reports) > 50
    for report in reports:
        assert report["right"], report
        assert report["early"] in (None, True), report
        assert report["files"] == ALL_THERE_IS, report
        assert report["again"] == [], report
    assert max(report["committed"] for report in reports) >= 8


def test_d86_killed_again_and_again(tmp_path: Path) -> None:
    reports = run(tmp_path, "again")
    assert all(report["right"] and report["files"] == ALL_THERE_IS for report in reports)
    assert sum(report["kills"] for report in reports) > 12


def test_d87_killed_with_one_version_and_resumed_with_another(tmp_path: Path) -> None:
    """Of the same length, longer and shorter: the bytes of one never end up in the other."""
    reports = run(tmp_path, "other")
    assert len(reports) > 20
    for report in reports:
        assert report["right"], report
        assert report["files"] == ALL_THERE_IS, report


def test_d98_six_processes_begin_together(tmp_path: Path) -> None:
    """One of them fetches; the others are told who does, or find the file."""
    for report in run(tmp_path, "lock"):
        assert set(report["ends"]) <= {0, 4}, report
        assert 0 in report["ends"]
        assert report["whole"], report
        assert report["digest"], report
        assert report["files"] == ALL_THERE_IS, report


def test_d99_six_processes_where_every_lock_succeeds(tmp_path: Path) -> None:
    """They may spoil each other's attempts, with typed errors. A file with a name is whole, and its receipt its own."""
    succeeded = 0
    for report in run(tmp_path, "no lock"):
        assert set(report["ends"]) <= {0, 3}, report
        if 0 in report["ends"]:
            succeeded += 1
            assert report["whole"], report
            assert report["digest"], report
    assert succeeded > 5
