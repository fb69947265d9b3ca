"""Test data written by others, beside the project; its tests are skipped where that folder is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "../shared/data"


@pytest.fixture(scope="session")
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip("the folder of test data is absent")
    return DATA
