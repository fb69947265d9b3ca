"""The final table: what came of the crawl, by reason, where the outputs are, and what the exit code means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from crawler.engine.summary import Summary
from crawler.errors import ExitCode
from crawler.progress import words
from crawler.progress.codes import MEANING
from crawler.progress.text import printable

_LABEL = 12  # characters for a name in front of a value; longer ones move their value
_RESUMABLE = (ExitCode.LIMIT, ExitCode.INTERRUPTED, ExitCode.TERMINATED)


def result(summary: Summary, out: Path, command: Sequence[str]) -> list[str]:
    """Return the lines, safe for a terminal; `command` is what was typed."""
    code = ExitCode(summary.exit_code)
    outputs = {**summary.outputs, "summary": str(out / "summary.json")}
    lines = [
        _headline(summary),
        "",
        *_aligned(list(_counts(summary))),
        "",
        *(f"{name:{_LABEL}}  {printable(path)}" for name, path in outputs.items()),
        "",
        f"exit code {int(code)}: {MEANING[code]}",
    ]
    if code in _RESUMABLE:
        lines.append(f"to go on:  {_typed(command)}" + ("  (with a higher limit)" if code is ExitCode.LIMIT else ""))
    return lines


def _headline(summary: Summary) -> str:
    seconds, speed = (float(str(summary.run[key])) for key in ("seconds", "pages_per_second"))
    received = words.size(summary.wire_bytes)
    return f"crawl: {summary.ended} after {words.took(seconds)}, {words.rate(speed)} pages/s, {received} received"


def _counts(summary: Summary) -> Iterator[tuple[str, int]]:
    yield "pages", summary.done
    if summary.duplicates:
        yield "  duplicates", summary.duplicates
    yield "redirects", summary.redirected
    yield "failed", summary.failed
    yield from _reasons(summary.failed_by_reason)
    yield "skipped", summary.skipped
    yield from _reasons(summary.skipped_by_reason)
    if summary.files:
        yield "files", summary.files
        yield from _reasons(summary.files_by_status)
    yield "pending", summary.pending
    if summary.retries:
        yield "retries", summary.retries


def _reasons(reasons: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    for reason, number in reasons.items():
        yield f"  {printable(reason)}", number


def _aligned(rows: Sequence[tuple[str, int]]) -> Iterator[str]:
    digits = max(len(words.count(number)) for _, number in rows)
    width = max(_LABEL, *(len(label) for label, _ in rows))
    for label, number in rows:
        yield f"{label:{width}}  {words.count(number):>{digits}}"


def _typed(command: Sequence[str]) -> str:
    from shlex import join  # for this line only

    return printable(join(command))
