"""What every stage must do, held against hostile pages in worker processes as a crawl would run it."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from pipelines.errors import StageError, TaskTimeout, WorkerCrashed
from pipelines.page import Page
from pipelines.pool.pool import WorkerPool
from pipelines.stages.user import as_stage, name_of
from pipelines.testing.hostile import hostile_pages, ordinary_pages
from pipelines.testing.rules import violation
from pipelines.testing.stage_run import WINDOW, Seen, growth, run_case

SECONDS = 10.0
"""The most that a stage may take for one page before it is said to hang; a crawl's deadline is of this size."""
PROCESSES = 3  # each has hash seeds of its own, so that the order of a set differs
MAX_GROWTH_BYTES = 16 * WINDOW
"""In one window: less than a number kept for every page (40 bytes), more than caches jitter (1.5 kB)."""


@dataclass(frozen=True, slots=True)
class StageReport:
    """How quick a stage was; no rule asks for it."""

    stage: str
    pages: int
    median_seconds: float
    slowest: str
    """The case that took the longest."""
    slowest_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.stage}: {self.pages} pages, {self.median_seconds * 1e6:.0f} µs in the median; "
            f"slowest: {self.slowest}, {self.slowest_seconds * 1e3:.1f} ms"
        )


def check_stage(stage: object, pages: Iterable[Page] | None = None) -> StageReport:
    """Hold a stage against every rule; takes a few seconds.

    `stage`: a function, a class or `module:function`, as in a pipeline. `pages`: the caller's own, beside the hostile
    ones. The stage runs after the built-in ones, in worker processes, so that one that hangs or crashes is a failure.

    Raises AssertionError for the first rule broken, with the rule, the case and the remedy.
    """
    name = stage if isinstance(stage, str) else name_of(stage)
    _can_be_a_stage(stage)
    pickled = _travels(stage, name)
    cases = hostile_pages()
    cases |= {f"ordinary page {page.id}": page for page in ordinary_pages(20)}
    cases |= {f"page {number} of yours, {page.url}": page for number, page in enumerate(pages or ())}
    seen = _run(pickled, name, cases)
    _keeps_no_state(pickled, name)
    times = {case: one.seconds for case, one in seen.items() if not one.skipped}
    slowest = max(times, key=times.__getitem__)
    return StageReport(name, len(times), median(times.values()), slowest, times[slowest])


def _can_be_a_stage(stage: object) -> None:
    try:
        as_stage(stage)
    except StageError as error:
        case, _, remedy = str(error).rpartition("; ")
        raise violation("A stage can be called with one Document", case or remedy, remedy) from error


def _travels(stage: object, name: str) -> bytes:
    rule, remedy = "A stage travels to workers by its name", "define it at the top level of a module and import it"
    if getattr(stage, "__module__", None) == "__main__":
        raise violation(rule, f"{name} is defined in the script that was started", remedy)
    try:
        pickled = pickle.dumps(stage)
        pickle.loads(pickled)  # noqa: S301 - just made
    except Exception as error:
        raise violation(rule, f"{name} cannot be pickled: {error}", remedy) from error
    return pickled


def _run(stage: bytes, name: str, cases: dict[str, Page]) -> dict[str, Seen]:
    """Run all cases in each of several processes, every second time in reverse."""
    first: dict[str, Seen] = {}
    for turn in range(PROCESSES):
        ordered = list(cases.items())[:: -1 if turn % 2 else 1]
        with WorkerPool(1, name="check_stage", preload=["pipelines.testing.stage_run"]) as pool:
            for case, page in ordered:
                now = _one(pool, stage, f"{name}, {case}", page)
                before = first.setdefault(case, now)
                _is_deterministic(f"{name}, {case}", before, now)
    return first


def _one(pool: WorkerPool, stage: bytes, case: str, page: Page) -> Seen:
    try:
        seen = pool.submit(run_case, stage, page, deadline=SECONDS).result()
    except TaskTimeout as error:
        remedy = "look for a regular expression that backtracks, or for work that grows with the square of the page"
        raise violation(f"A stage ends within {SECONDS:.0f} s", f"{case}: it was killed", remedy) from error
    except WorkerCrashed as error:
        remedy = "look for recursion as deep as the page, or for C code that trusts its input"
        raise violation("A stage leaves its process alive", f"{case}: {error}", remedy) from error
    _is_harmless(case, seen)
    return seen


def _is_harmless(case: str, seen: Seen) -> None:
    if seen.error.startswith("no record"):
        remedy = "put JSON values into doc.record, under keys that are not the record's own"
        raise violation("What a stage leaves can be written as a record", f"{case}: {seen.error}", remedy)
    if seen.error:
        remedy = "expect None, empty and huge values; to refuse a page, set doc.error and doc.detail"
        raise violation("A stage survives every page", f"{case}: {seen.error}", remedy)
    if seen.returned:
        remedy = "change the document in place and return nothing"
        raise violation("A stage returns None or a Document", f"{case}: returned a {seen.returned}", remedy)
    if seen.page_changed:
        remedy = "put what you found into doc.record, doc.text and the like"
        raise violation("A stage leaves the Page as it is", f"{case}: doc.page is another one", remedy)
    if seen.printed:
        remedy = "use logging, doc.flags or doc.record; the standard streams belong to the program"
        raise violation("A stage does not print", f"{case}: {seen.printed[:200]!r}", remedy)


def _is_deterministic(case: str, before: Seen, now: Seen) -> None:
    if before.line == now.line:
        return
    at = next((n for n, (a, b) in enumerate(zip(before.line, now.line, strict=False)) if a != b), 0)
    shown = [line[max(0, at - 40) : at + 60].decode("utf-8", "replace") for line in (before.line, now.line)]
    remedy = "sort what comes out of a set, and take nothing from clocks, random numbers, process ids or earlier pages"
    raise violation(
        "A stage makes the same of the same page, in any process and any order",
        f"{case}: once …{shown[0]}…, once …{shown[1]}…",
        remedy,
    )


def _keeps_no_state(stage: bytes, name: str) -> None:
    with WorkerPool(1, name="check_stage", preload=["pipelines.testing.stage_run"]) as pool:
        try:
            grown = pool.submit(growth, stage, deadline=12 * SECONDS).result()
        except TaskTimeout:
            return  # too slow to be counted; how slow is in the report
    if min(grown[1:]) > MAX_GROWTH_BYTES:
        case = f"{name}: {grown[1]} and {grown[2]} bytes more after {WINDOW} further pages each"
        remedy = f"keep nothing of a page; give each cache a bound below {2 * WINDOW} entries"
        raise violation("A stage keeps no state that grows", case, remedy)
