"""What a worker is started with; costs nothing to import, for the workers as for who starts them."""

from __future__ import annotations

from dataclasses import dataclass

from crawler.fetch.options import FetchOptions

PRELOAD = ("crawler.download.worker.warm",)
"""What a worker imports before its first task."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker is started with."""

    address: str
    """Path of the parent's socket."""
    token: str
    fetch: FetchOptions
