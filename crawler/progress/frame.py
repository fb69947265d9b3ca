"""What is shown of one moment, in words: as rows for the live view, as one line for a log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from crawler.engine.snapshot import Snapshot
from crawler.progress import words
from crawler.progress.pace import Left
from crawler.progress.text import printable

Row = tuple[str, str]

_REASONS_SHOWN = 6
_HOST_CHARS = 40


class Frame(Struct, frozen=True, kw_only=True):
    """A snapshot and what was worked out from it."""

    snapshot: Snapshot
    pages_per_second: float
    """Of the last seconds."""
    bytes_per_second: float
    left: Left | None
    own_bytes: int
    """Resident memory of this process."""
    workers_bytes: int

    def rows(self) -> list[Row]:
        """Return label and value of each line of the live view; no value holds a control character."""
        s = self.snapshot
        seconds = max(s.seconds, 1e-3)
        return [
            ("elapsed", f"{words.clock(s.seconds)}, {self._rest()}"),
            ("pages", f"{words.rate(self.pages_per_second)}/s now, {words.rate(s.pages / seconds)}/s on average"),
            ("bytes", f"{words.size(self.bytes_per_second)}/s now, {words.size(s.wire_bytes / seconds)}/s on average"),
            ("queue", f"{words.count(s.pending)} pending, {s.in_flight} in flight, {s.processing} at the workers"),
            ("done", f"{words.count(s.done)} pages, {words.count(s.redirected)} redirects"),
            ("failed", _reasons(s.failed, s.failed_by_reason)),
            ("skipped", _reasons(s.skipped, s.skipped_by_reason)),
            ("workers", f"{s.workers_busy} of {s.workers} busy"),
            ("memory", self._memory()),
            *self._hosts(),
        ]

    def line(self, now: datetime) -> str:
        """Return one line of `key=value` for logs; no value holds a blank, so that grep, cut and awk can take it."""
        s = self.snapshot
        facts = {
            "elapsed": f"{s.seconds:.0f}s",
            "left": self._left(),
            "done": s.done,
            "redirected": s.redirected,
            "failed": s.failed,
            "skipped": s.skipped,
            "pending": s.pending,
            "in_flight": s.in_flight,
            "pages_per_s": f"{self.pages_per_second:.1f}",
            "mb_per_s": f"{self.bytes_per_second / 1e6:.2f}",
            "workers": f"{s.workers_busy}/{s.workers}",
            "memory": f"{(self.own_bytes + self.workers_bytes) / 1e6:.0f}MB",
        }
        if s.is_stopping:
            facts["stopping"] = "yes"
        return f"{now:%Y-%m-%dT%H:%M:%SZ} " + " ".join(f"{key}={value}" for key, value in facts.items())

    def _rest(self) -> str:
        if self.snapshot.is_stopping:
            return "draining"
        if self.left is None:
            return "time left unknown"
        low, high = words.about(self.left.low), None if self.left.high is None else words.about(self.left.high)
        if high is None:
            return f"at least {low} left, the queue still grows"
        return f"about {low} left" if low == high else f"{low} to {high} left"

    def _left(self) -> str:
        if self.left is None:
            return "?"
        low, high = self.left
        if high is None:
            return f">{low:.0f}s"
        return f"{low:.0f}s..{high:.0f}s"

    def _memory(self) -> str:
        total = words.size(self.own_bytes + self.workers_bytes)
        return f"{total}: {words.size(self.own_bytes)} here, {words.size(self.workers_bytes)} in the workers"

    def _hosts(self) -> list[Row]:
        busy = [host for host in self.snapshot.hosts if host.in_flight or host.waiting]
        names = [printable(host.name, _HOST_CHARS) for host in busy]
        width = max(map(len, names), default=0)
        labels = ["hosts"] + [""] * len(busy)
        return [
            (label, f"{name:{width}}  {host.in_flight} in flight, {words.count(host.waiting)} waiting")
            for label, name, host in zip(labels, names, busy, strict=False)
        ]


def _reasons(total: int, reasons: Mapping[str, int]) -> str:
    if not total:
        return "0"
    shown = [f"{printable(name)} {words.count(number)}" for name, number in list(reasons.items())[:_REASONS_SHOWN]]
    more = [f"{len(reasons) - _REASONS_SHOWN} more reasons"] if len(reasons) > _REASONS_SHOWN else []
    return f"{words.count(total)}: {', '.join(shown + more)}"
