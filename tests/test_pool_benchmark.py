"""The comparison of pools leaves nobody out without a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

BEGIN = """
import sys
sys.path.insert(0, "benchmarks")
import pools
"""


def run(code: str) -> tuple[str, str]:
    """Run code beside the script; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout, done.stderr


def test_a_pool_that_is_not_installed_is_named() -> None:
    """Without it `make bench` would print a table that looks complete."""
    out, told = run("""
sys.modules["pebble"] = sys.modules["joblib"] = None
pools.CONTENDERS = [entry for entry in pools.CONTENDERS if entry[1] in ("pipelines.pool", "Pebble")]
print([name for _, name in pools.available()], pools.has_joblib())
""")
    assert out == "['pipelines.pool'] False\n"
    lines = told.splitlines()
    assert [line.split(" (")[0] for line in lines] == ["left out: Pebble", "left out: joblib"]
    assert all("pip install '.[bench]'" in line for line in lines)


def test_joblib_is_among_the_deaths() -> None:
    out, _ = run("""
import types
sys.modules["joblib"] = types.ModuleType("joblib")
pools.CONTENDERS = []
pools.joblib_death = lambda how: f"{how}: told"
pools.deaths()
""")
    assert out.splitlines()[2:] == ["| joblib | killed | killed: told |", "| joblib | hangs | hangs: told |"]
