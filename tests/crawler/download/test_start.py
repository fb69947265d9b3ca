"""The event loop of downloads: uvloop where it is installed, asyncio's own elsewhere."""

from __future__ import annotations

import sys

import pytest
import uvloop

from crawler.download.start import loop_factory


def test_uvloop_is_used_where_it_is_installed() -> None:
    assert loop_factory() is uvloop.new_event_loop


def test_without_uvloop_it_is_asyncios_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None
