"""`crawl repro ID`: run a page that broke its worker once more, on its own, and show where it ends and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from crawler.quarantine.case import Case, CaseError, environment, load
from crawler.quarantine.run import Run, mib, run


def find(name: str, out: Path) -> Path:
    """Return the folder of a case, given its ID or its path. Raises CaseError with what there is."""
    for folder in (out / "quarantine" / name, Path(name)):
        if folder.is_dir():
            return folder
    directory = out / "quarantine"
    known = sorted(path.name for path in directory.iterdir() if path.name[:1] != ".") if directory.is_dir() else []
    there = f"there are {', '.join(known[:10])}" if known else f"{directory} holds none"
    raise CaseError(f"no case {name!r}: {there}; --out names the job's output directory")


def show(folder: Path, case: Case, run: Run) -> Iterator[str]:
    """Yield what a person should read, one line each; nothing in them is safe for a terminal yet."""
    page = case.page
    kind = next((value for name, value in page.headers if name == "content-type"), "no content type")
    yield f"case      {folder}"
    yield f"page      {page.url} ({page.status}, {kind}, {len(page.body):,} bytes)"
    yield f"was       {case.cause}: {case.detail.splitlines()[0] if case.detail else ''}"
    yield f"stage     {case.stage or 'not known'}"
    yield f"memory    {'no limit' if case.memory is None else f'{mib(case.memory)} at most'}"
    now = environment()
    changed = [f"{name} {old} (now {now[name]})" for name, old in case.environment.items() if now.get(name, old) != old]
    yield f"versions  {', '.join(changed) if changed else 'as then'}"
    for step in run.steps:
        taken = f"{step['seconds'] * 1e3:.1f} ms" if "seconds" in step else "did not end"
        size = mib(step["peak_rss"]) if step["peak_rss"] else "size not known"
        yield f"  {step['step']:30} {taken:>12}  {size:>8}{'  ' + step['error'] if step.get('error') else ''}"
    yield f"result    it {run.trouble or 'came to its end this time'}"
    yield from (f"  | {line}" for line in run.output.splitlines())


def main(name: str, out: Path, seconds: float | None, say: Callable[[str], None]) -> bool:
    """Run a case and say what happened; return whether it came to its end within its limits. Raises CaseError, OSError.

    It has the time and the memory that it had in the crawl; `seconds` is another time.
    """
    folder = find(name, out)
    case = load(folder)
    result = run(folder, case.page_timeout if seconds is None else seconds, case.memory)
    for line in show(folder, case, result):
        say(line)
    return result.trouble is None
