"""The event loop of downloads: uvloop where it is installed and wanted, asyncio's own elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import uvloop

from crawler.download import Downloader, DownloadOptions
from crawler.download.start import loop_factory


def test_uvloop_is_used_where_it_is_installed() -> None:
    assert loop_factory() is uvloop.new_event_loop


def test_without_uvloop_it_is_asyncios_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_workers_have_the_loop_that_is_wanted(is_wanted: bool, tmp_path: Path) -> None:
    """Told by what a worker has loaded: they are processes of their own, and get the wish on the way to them."""
    options = DownloadOptions(processes=1, uvloop=is_wanted)
    async with Downloader(tmp_path, options) as downloader:
        assert downloader._yard is not None
        worker = await downloader._yard.crew.hand()
        assert ("/uvloop/" in loaded_by(worker.pid)) == is_wanted


def loaded_by(pid: int) -> str:
    """Return what a process has in its memory, files by their paths (Linux)."""
    return Path(f"/proc/{pid}/maps").read_text()
