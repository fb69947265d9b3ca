"""What downloaders make of servers that misbehave: wrong bytes reported as success, beside what was recovered.

    python benchmarks/faults.py                              # all that are installed, all cases; 15 minutes
    python benchmarks/faults.py --peer aria2c --case D37     # some
    python benchmarks/faults.py --write README.md

Every tool fetches the same file from the same fault server, case by case; the oracle compares bytes, not exit codes.
Cases are those of `crawler.testing.cases` that a URL on a command line can show, and interrupted downloads that are
resumed after the file has changed. Where only a digest tells right from wrong, it is given to all who can take one, and
those cases are counted apart. `--write` puts the tables between `<!-- figures: faults -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from fault_peers import Command, Job, peers

from crawler.testing.bodies import digest
from crawler.testing.cases import CASES, PATH, Case, Need, Setting
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import ServedFile, serve, version
from crawler.testing.messages import End, Reply, Request
from crawler.testing.oracle import Verdict, judge

LIMIT_SECONDS = 30.0
STILL_SECONDS = 1.0
STOP_SECONDS = 5.0
UNSHOWN = {Need.WHOLE_CLIENT, Need.SECRET, Need.PROXY}
NO_DIGEST = ("curl", "wget", "wget2")  # these have no option for one


@dataclass(frozen=True)
class Row:
    """What one tool made of one case."""

    case: str
    peer: str
    group: str
    verdict: str
    seconds: float
    code: int | None
    said: str


def surroundings(folder: Path) -> dict[str, str]:
    """Return an environment without anybody's settings."""
    return os.environ | {"HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[1]), "NO_PROXY": "*"}


def run(command: list[str], folder: Path, limit: float) -> tuple[int | None, str]:
    """Run a command until it ends or its time is over; return its exit code (None) and the end of what it said."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=surroundings(folder),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, (done.stderr or done.stdout).strip()[-200:]


def cases(chosen: Sequence[str]) -> list[Case]:
    """Return the cases that a URL on a command line can show."""
    shown = [case for case in CASES if not case.needs & UNSHOWN and not case.is_slow]
    return [case for case in shown if not chosen or case.id in chosen or case.name in chosen]


def measure(case: Case, peer: str, command: Command, folder: Path, limit: float) -> Row | None:
    """Hold one tool against one case; None when the tool cannot be told to do it."""
    file = folder / "data.bin"
    with FaultServer(case.origins, greet=case.greet) as server:
        setting = Setting(server, case.size)
        server.mount(PATH, case.build(setting))
        sha256 = digest(setting.file.body) if Need.DIGEST in case.needs else None
        job = Job(setting.url, file, sha256, tuple(setting.mirrors), trusts_anybody=Need.TRUST in case.needs)
        words = command(job)
        if words is None:
            return None
        began = time.monotonic()
        code, said = run(words, folder, limit)
    verdict = judge(file, setting.right, says_success=None if code is None else code == 0)
    if case.id == "D60" and verdict is Verdict.RIGHT:
        said = "followed a redirect to http"
    group = "digest" if Need.DIGEST in case.needs else "plain"
    return Row(case.name, peer, group, verdict, time.monotonic() - began, code, said)


@dataclass(frozen=True)
class Resume:
    """A download that is killed, and begun again when the file is another."""

    name: str
    title: str
    before: ServedFile
    after: ServedFile
    stop: signal.Signals = signal.SIGTERM


def resumes(size: int = 8 * 1024 * 1024) -> Iterator[Resume]:
    """Yield what may have become of the file in the meantime (D87)."""
    a, b = version("A", size), version("B", size)
    yield Resume("D87-same", "resumed, the file unchanged", a, a)
    yield Resume("D86-kill", "killed with SIGKILL and resumed, the file unchanged", a, a, signal.SIGKILL)
    yield Resume("D87-etag", "resumed with another file of equal size, another ETag", a, b)
    yield Resume("D87-longer", "resumed with a longer file", a, version("B", size + 99_999))
    yield Resume("D87-shorter", "resumed with a shorter file", a, version("B", size * 3 // 4))
    bare_a, bare_b = (replace(each, etag=None, last_modified=None) for each in (a, b))
    yield Resume("D87-bare", "resumed with another file of equal size, nameless", bare_a, bare_b)
    yield Resume("D87-date", "resumed with another file of equal size, another date", replace(a, etag=None),
                 replace(b, etag=None))  # fmt: skip


def interrupt(words: list[str], folder: Path, server: FaultServer, stop: signal.Signals) -> None:
    """Start a tool and stop it as soon as the server has had nothing more to send for a second."""
    first = subprocess.Popen(
        words, cwd=folder, env=surroundings(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    sent, since = 0, time.monotonic()
    while first.poll() is None and time.monotonic() - since < (STILL_SECONDS if sent else LIMIT_SECONDS):
        if server.sent != sent:
            sent, since = server.sent, time.monotonic()
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):  # it gave up by itself
        os.killpg(first.pid, stop)
    try:
        first.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()


def measure_resume(resume: Resume, peer: str, command: Command, folder: Path, limit: float) -> Row | None:
    """Kill a download half-way, change the file, and let the tool go on."""
    file = folder / "data.bin"
    with FaultServer() as server:
        current, is_first = resume.before, True

        def respond(request: Request) -> Reply:
            reply = serve(request, current)
            return replace(reply, cut=reply.length // 2, after=End.HANG) if is_first else reply

        server.mount(PATH, respond)
        words = command(Job(server.url(PATH), file, is_resumed=True))
        if words is None:
            return None
        began = time.monotonic()
        interrupt(words, folder, server, resume.stop)
        current, is_first = resume.after, False
        code, said = run(words, folder, limit)
    verdict = judge(file, [resume.after.body], says_success=None if code is None else code == 0)
    return Row(resume.name, peer, "resume", verdict, time.monotonic() - began, code, said)


def all_rows(chosen: argparse.Namespace, tools: dict[str, Command]) -> list[Row]:
    """Measure everything, some at once, and say each as it is done."""

    def one(case: Case | Resume, peer: str) -> Row | None:
        with tempfile.TemporaryDirectory(dir=chosen.dir, prefix="faults-") as folder:
            work = measure_resume if isinstance(case, Resume) else measure
            return work(case, peer, tools[peer], Path(folder), chosen.limit)  # type: ignore[operator]  # each gets its kind

    wanted: list[Case | Resume] = [*cases(chosen.case)]
    wanted += [each for each in resumes() if not chosen.case or {each.name, each.name[:3]} & set(chosen.case)]
    rows = []
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for row in pool.map(lambda pair: one(*pair), [(case, peer) for case in wanted for peer in tools]):
            if row is not None:
                rows.append(row)
                print(f"{row.case:28} {row.peer:10} {row.verdict:7} {row.seconds:5.1f} s  {row.said[:90]!r}",
                      file=sys.stderr, flush=True)  # fmt: skip
    return rows


COLUMNS = (
    ("wrong bytes, or none, reported as success", Verdict.WRONG),
    ("right bytes", Verdict.RIGHT),
    ("failed honestly", Verdict.FAILED),
    ("failed, damaged file left under its name", Verdict.DIRTY),
    ("hung", Verdict.HUNG),
)
GROUPS = {
    "plain": "Faults that the answers themselves give away",
    "resume": "Killed half-way and begun again, after the file has changed",
    "digest": "Faults that only a digest gives away; the digest is given to those who take one",
}


def table(rows: Sequence[Row], tools: Sequence[str]) -> str:
    """Return the tables, in Markdown."""
    text = []
    for group, title in GROUPS.items():
        mine = [row for row in rows if row.group == group]
        if not mine:
            continue
        number = len({row.case for row in mine})
        text += [f"{title} ({number} cases):", "", f"| | {' | '.join(name for name, _ in COLUMNS)} |",
                 f"|---|{'--:|' * len(COLUMNS)}"]  # fmt: skip
        for peer in tools:
            counts = Counter(row.verdict for row in mine if row.peer == peer)
            note = " (takes no digest)" if group == "digest" and peer in NO_DIGEST else ""
            cells = [str(counts[verdict]) for _, verdict in COLUMNS]
            cells[0] = f"**{cells[0]}**"
            text.append(f"| {peer}{note} | {' | '.join(cells)} |")
        text.append("")
        wrong: dict[str, list[str]] = {}
        for row in mine:
            if row.verdict == Verdict.WRONG:
                wrong.setdefault(row.peer, []).append(row.case)
        for peer, names in wrong.items():
            text.append(f"- {peer} was wrong in {', '.join(names)}")
        text += [""] if wrong else []
    return "\n".join(text).strip()


def versions(tools: Sequence[str], python: str | None) -> str:
    """Return which versions were measured, in a line."""
    found = []
    for name in tools:
        if name == "pypdl":
            command = [python or sys.executable, "-c", "from importlib.metadata import version as v; print(v('pypdl'))"]
        elif name == "crawlmill":
            continue
        else:
            command = [name, "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        number = re.search(r"\d+(\.\d+)+", said)
        found.append(f"{name} {number[0] if number else '?'}")
    return ", ".join(found)


def write(path: Path, text: str) -> None:
    """Put a text into the marked block of a file. Exits when the block is not there."""
    page = path.read_text("utf-8")
    block = re.compile(r"(<!-- figures: faults -->\n).*?(<!-- end -->)", re.DOTALL)
    if not block.search(page):
        sys.exit(f"{path}: no block between <!-- figures: faults --> and <!-- end -->")
    path.write_text(block.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page), "utf-8")


def find_pypdl(given: str | None) -> str | None:
    """Return a Python that can import pypdl."""
    for python in [given] if given else [sys.executable]:
        if python and shutil.which(python):
            probe = subprocess.run([python, "-c", "import pypdl"], capture_output=True, check=False)
            if probe.returncode == 0:
                return python
    return None


def main() -> None:
    """Measure, print the tables, and write them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--peer", action="append", default=[], help="only these tools")
    add("--case", action="append", default=[], help="only these cases: D9, or D9-no-unit")
    add("--pypdl", metavar="PYTHON", help="a Python that can import pypdl, if this one cannot")
    add("--limit", type=float, default=LIMIT_SECONDS, help="seconds until a tool counts as hung [30]")
    add("--jobs", type=int, default=4, help="downloads at once [4]")
    add("--dir", type=Path, default=None, help="where to put the files")
    add("--rows", type=Path, default=None, metavar="FILE", help="append every row to FILE as a line of JSON")
    add("--write", type=Path, nargs="+", default=[], metavar="FILE", help="rewrite the marked block of these files")
    chosen = parser.parse_args()
    python = find_pypdl(chosen.pypdl)
    tools = {name: tool for name, tool in peers(python).items() if not chosen.peer or name in chosen.peer}
    rows = all_rows(chosen, tools)
    if chosen.rows is not None:
        with chosen.rows.open("a") as out:
            out.writelines(json.dumps(vars(row)) + "\n" for row in rows)
    text = table(rows, list(tools))
    text += f"\n\n`python benchmarks/faults.py`; {versions(list(tools), python)}."
    print(text, flush=True)
    for path in chosen.write:
        write(path, text)


if __name__ == "__main__":
    main()
