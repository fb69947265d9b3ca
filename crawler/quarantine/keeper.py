"""Keeps cases beside the results of a job, up to a number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from crawler.errors import StateError
from crawler.quarantine.case import Case, environment, save
from pipelines.batcher import Lost
from pipelines.page import Page

MAX_CASES = 100
"""A site that breaks workers on every page must not fill the disk; by then the pattern is clear."""


class Quarantine:
    """The folder `quarantine` of one job."""

    def __init__(self, directory: Path, make: Callable[[Page, Lost], Case], *, durable: bool) -> None:
        """`make` turns a page and what is known of its end into a case; its environment is filled in here."""
        self._directory = directory
        self._make = make
        self._durable = durable
        self._environment: dict[str, str] = {}
        self._count = sum(1 for path in directory.iterdir() if path.name[:1] != ".") if directory.is_dir() else 0

    async def keep(self, page: Page, lost: Lost) -> str | None:
        """Keep a page and return the name of its case; None when there are enough. Raises StateError."""
        if self._count >= MAX_CASES:
            return None
        self._count += 1
        try:
            return await asyncio.to_thread(self._keep, page, lost)
        except OSError as exc:
            text = f"{self._directory}: cannot keep a page that broke its worker: {exc.strerror or exc}"
            raise StateError(f"{text}; make room or mend the disk, then run the same command again") from exc

    def _keep(self, page: Page, lost: Lost) -> str:
        if not self._environment:
            self._environment = environment()
        case = self._make(page, lost)._replace(environment=self._environment)
        save(case, self._directory / case.name, durable=self._durable)
        return case.name
