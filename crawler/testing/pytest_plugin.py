"""The fault server as a pytest fixture: `pytest_plugins = ["crawler.testing.pytest_plugin"]` in your conftest.py.

def test_my_download_survives_a_reset(fault_server):
    file = version("A", 1_000_000)
    fault_server.mount("/f", lambda request: replace(serve(request, file), cut=1000, after=End.RESET))
    ...
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crawler.testing.faultserver import FaultServer


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    """A `FaultServer` at three origins, 127.0.0.1 to 127.0.0.3, for one test; nothing is mounted."""
    with FaultServer() as server:
        yield server
