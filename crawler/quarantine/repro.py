"""`crawl repro ID`: run a page that broke its worker once more, on its own, and show where it ends and why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from crawler.quarantine.case import Case, CaseError, environment, load

GRACE_SECONDS = 5.0
"""What the sandbox gets beyond the page's own time, for its start and for its last words."""
MAX_OUTPUT_CHARS = 20_000


class Run(NamedTuple):
    """How a case ended this time."""

    steps: list[dict[str, Any]]
    """In order; one without `seconds` was begun and not finished."""
    how: str | None
    """What ended the process, in words; None when it came to its end."""
    output: str
    """What it printed, with the traceback of faulthandler."""


def find(name: str, out: Path) -> Path:
    """Return the folder of a case, given its ID or its path. Raises CaseError with what there is."""
    for folder in (out / "quarantine" / name, Path(name)):
        if folder.is_dir():
            return folder
    directory = out / "quarantine"
    known = sorted(path.name for path in directory.iterdir() if path.name[:1] != ".") if directory.is_dir() else []
    there = f"there are {', '.join(known[:10])}" if known else f"{directory} holds none"
    raise CaseError(f"no case {name!r}: {there}; --out names the job's output directory")


def run(folder: Path, seconds: float) -> Run:
    """Run a case in a sandbox of its own for at most so many seconds."""
    ours, theirs = os.pipe()
    command = [sys.executable, "-m", "crawler.quarantine.sandbox", str(folder), str(seconds), str(theirs)]
    try:
        process = subprocess.Popen(
            command, pass_fds=[theirs], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    finally:
        os.close(theirs)
    try:
        output, _ = process.communicate(timeout=seconds + GRACE_SECONDS)
        how = _how(process.returncode, seconds, is_late=b"Timeout (" in output)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        how = f"did not end within {seconds:g} s, and was killed"
    with os.fdopen(ours, "rb") as file:
        reports = [orjson.loads(line) for line in file]
    steps: list[dict[str, Any]] = []
    for report in reports:
        if steps and steps[-1]["step"] == report["step"]:
            steps[-1] |= report
        else:
            steps.append(report)
    finished = bool(steps) and "seconds" in steps[-1] and how is None
    return Run(steps, None if finished else how or "ended early", output.decode("utf-8", "replace")[-MAX_OUTPUT_CHARS:])


def _how(code: int, seconds: float, *, is_late: bool) -> str | None:
    if code == 0:
        return None
    if is_late:  # what faulthandler writes before it ends the process
        return f"did not end within {seconds:g} s"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def show(folder: Path, case: Case, run: Run) -> Iterator[str]:
    """Yield what a person should read, one line each; nothing in them is safe for a terminal yet."""
    page = case.page
    kind = next((value for name, value in page.headers if name == "content-type"), "no content type")
    yield f"case      {folder}"
    yield f"page      {page.url} ({page.status}, {kind}, {len(page.body):,} bytes)"
    yield f"was       {case.cause}: {case.detail.splitlines()[0] if case.detail else ''}"
    now = environment()
    changed = [f"{name} {old} (now {now[name]})" for name, old in case.environment.items() if now.get(name, old) != old]
    yield f"versions  {', '.join(changed) if changed else 'as then'}"
    for step in run.steps:
        taken = f"{step['seconds'] * 1e3:.1f} ms" if "seconds" in step else "did not end"
        yield f"  {step['step']:30} {taken}{'  ' + step['error'] if step.get('error') else ''}"
    if run.how is None:
        yield "result    it came to its end this time"
    else:
        place = run.steps[-1]["step"] if run.steps else "the start"
        yield f"result    it {run.how}, in {place}"
    yield from (f"  | {line}" for line in run.output.splitlines())


def main(name: str, out: Path, seconds: float | None, say: Callable[[str], None]) -> bool:
    """Run a case and say what happened; return whether it came to its end. Raises CaseError, OSError."""
    folder = find(name, out)
    case = load(folder)
    result = run(folder, case.page_timeout if seconds is None else seconds)
    for line in show(folder, case, result):
        say(line)
    return result.how is None
