"""Downloads without a network: what becomes of a file is told beforehand, by the last part of its URL."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from crawler.download.fault import Fault
from crawler.download.values import DownloadOptions, FileProgress, FileResult, Gate, OnRedirect, ProgressSink, Wanted

End = Mapping[str, Any]
"""Fields of the `FileResult`."""


class FakeDownloads:
    """Stands where the real ones do; each fetch passes the gate `requests` times. Shared by all runs of a test."""

    def __init__(self, ends: Mapping[str, End] | None = None, *, requests: int = 2, seconds: float = 0.0) -> None:
        self.ends = dict(ends or {})
        self.requests = requests
        self.seconds = seconds
        self.wanted: list[Wanted] = []
        self.options: DownloadOptions | None = None
        self.root = Path()
        self.at_hosts = 0
        self.most_at_hosts = 0
        self.cancelled: list[str] = []
        self.started = asyncio.Event()
        self._gate: Gate

    def __call__(self, root: Path, options: DownloadOptions, gate: Gate) -> Self:
        """Be what `Downloader(...)` returns."""
        self.root, self.options, self._gate = root, options, gate
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def fetch(
        self, wanted: Wanted, progress: ProgressSink | None = None, *, on_redirect: OnRedirect = "follow"
    ) -> FileResult:
        """Pass the gate as often as told, then end as told."""
        assert on_redirect == "report"
        self.wanted.append(wanted)
        self.started.set()
        end = self.ends.get(wanted.url.rpartition("/")[2], {})
        if progress is not None:
            progress(FileProgress(wanted.url, wanted.path, 100, 40, 40, 1))
        try:
            await asyncio.gather(*(self._request(wanted.url) for _ in range(self.requests)))
        except asyncio.CancelledError:
            self.cancelled.append(wanted.url)
            raise
        if "raises" in end:
            raise end["raises"]
        return result(wanted, **end)

    async def _request(self, url: str) -> None:
        await self._gate.enter(url)
        self.at_hosts += 1
        self.most_at_hosts = max(self.most_at_hosts, self.at_hosts)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_hosts -= 1
            self._gate.leave(url)


def result(wanted: Wanted, **changes: Any) -> FileResult:
    """Return the result of a file that is there, unverified, or what `changes` make of it."""
    claims = tuple(changes.pop("claims", wanted.claims))
    made = FileResult(
        wanted.url, wanted.url, wanted.path, "unverified", None, "", 100, {"sha256": "00" * 32}, claims, None,
        2, 0, 1, 0.5, 100, 0,
    )  # fmt: skip
    if changes.get("status") in ("failed", "mismatch"):
        changes = {"path": None, "fault": Fault.GONE, **changes}
    return made._replace(**changes)
