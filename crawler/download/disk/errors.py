"""The error of what a download does on this side of the wire: names, bytes and files are not as they must be."""

from __future__ import annotations

from typing import Self

from crawler.download.disk.disk import fault_of
from crawler.download.fault import Fault


class DownloadError(Exception):
    """A download cannot go on. `str()` tells a person why."""

    def __init__(self, fault: Fault, detail: str) -> None:
        self.fault = fault
        self.detail = detail
        super().__init__(fault, detail)

    def __str__(self) -> str:
        return self.detail

    @classmethod
    def of(cls, error: OSError, what: str) -> Self:
        """Return what a disk's trouble is for the download."""
        return cls(fault_of(error), f"{what}: {error.strerror or error}")
