"""The bad examples can be imported by name, here and by workers, and leave nothing behind either."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _nothing_is_left(leaves_nothing: None) -> None:
    """Whatever a check found wrong, it ends what it started."""
