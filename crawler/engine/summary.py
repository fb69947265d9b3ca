"""What a run came to: `summary.json`, and the same in Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import orjson
from msgspec import Struct
from msgspec.structs import asdict

SUMMARY_VERSION = 1


class Summary(Struct, frozen=True, kw_only=True):
    """Counts are of the whole job, all runs together; `run` tells of this run only."""

    schema: int = SUMMARY_VERSION
    exit_code: int
    ended: str
    """complete, failures, limit, interrupted, terminated, internal."""
    discovered: int
    done: int
    """Records of pages."""
    redirected: int
    """Records of redirects."""
    failed: int
    skipped: int
    pending: int
    """URLs not yet fetched, those beyond the depth limit included."""
    failed_by_reason: Mapping[str, int]
    skipped_by_reason: Mapping[str, int]
    duplicates: int
    wire_bytes: int
    body_bytes: int
    retries: int
    run: Mapping[str, object]
    outputs: Mapping[str, str]

    def adds_up(self) -> bool:
        """Return whether every URL ever discovered is accounted for exactly once."""
        return self.discovered == self.done + self.redirected + self.failed + self.skipped + self.pending


def by_reason(counters: Mapping[str, int], prefix: str) -> dict[str, int]:
    """Return the counters below a prefix, the largest first."""
    found = {key.partition(":")[2]: value for key, value in counters.items() if key.startswith(prefix + ":") and value}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def write_summary(directory: Path, summary: Summary) -> Path:
    """Write `summary.json` whole or not at all. Raises OSError."""
    path = directory / "summary.json"
    part = directory / f".summary.json.{os.getpid()}.part"
    part.write_bytes(orjson.dumps(asdict(summary), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    part.replace(path)
    return path
