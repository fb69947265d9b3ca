"""What the package offers by name is there, however it is reached first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import crawler

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", [name for name in crawler.__all__ if name != "__version__"])
def test_no_module_hides_a_name(name: str) -> None:
    """A sub-package of that name would, from the moment in which anything imports it."""
    code = f"import crawler.engine.crawl, crawler, types; assert not isinstance(crawler.{name}, types.ModuleType)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
