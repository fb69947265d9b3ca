"""Kill `crawl download` at random instants: the same command ends with every file right, and fetches nothing twice.

Of four kills, one is aimed at each phase of a download and one comes at a random instant: chance may leave a phase out.
`CRAWLMILL_KILLS` says how many kills (12; `make torture` 200), `CRAWLMILL_SEED` repeats the instants of a run. What a
journal proved at the instant of a kill must not cross the wire again, but for the few bytes that are compared.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from crawler.download.disk.journal import read
from crawler.download.plan.seams import OVERLAP
from crawler.download.plan.spans import Spans
from crawler.testing.bodies import digest
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import ServedFile, serve, version
from crawler.testing.messages import Exchange, Reply, Request

KILLS = min(int(os.environ.get("CRAWLMILL_KILLS", "12")), 200)
SEED = int(os.environ.get("CRAWLMILL_SEED", time.time_ns() % 1_000_000))
MIB = 1 << 20
SIZES = (0, 1, 300_000, MIB, 3 * MIB + 17, 9 * MIB, 14 * MIB + 1, 40 * MIB)
RATE = 6.0 * MIB  # bytes a second and connection: a run takes about two seconds
PHASES = START_UP, PIECES, NAMED = "start-up", "pieces are on disk", "a file has its name"
AIMS = (*PHASES, None)
"""Where kills hit, in turn: before anything is asked for, as soon as something more has been entered in a journal, as
soon as one more file is there, and anywhere."""
HEDGES = 256 << 10
"""At the end of a file a rest below this may be fetched twice, to win a race."""


def slowly(request: Request, file: ServedFile) -> Reply:
    """Serve honestly, at a rate that leaves time to be killed."""
    return replace(serve(request, file), rate=RATE)


def manifest(server: FaultServer, folder: Path) -> Path:
    """Serve the files and list them with their digests."""
    lines = []
    for number, size in enumerate(SIZES):
        file = version(f"file {number}", size)
        path = f"/f{number}.bin"
        server.mount(path, partial(slowly, file=file))
        lines.append(f"{digest(file.body)}  f{number}.bin")
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    return folder / "SHA256SUMS"


def start(server: FaultServer, folder: Path) -> subprocess.Popen[str]:
    """Start the command in a process group of its own."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "crawler", "download", "--plain", "-i", str(folder / "SHA256SUMS"),
            "--base", server.url("/"), "-d", str(folder / "out"), "--segments", "3", "--per-host", "6", "--files", "3",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def proved(root: Path) -> dict[str, Spans]:
    """Return what is on disk for good: by the path of each file, what its journal proves, or all of it."""
    known: dict[str, Spans] = {}
    for path in (root / ".crawlmill").rglob("*.journal"):
        try:
            journal = read(path.read_bytes())
        except FileNotFoundError:  # its file has got its name since
            continue
        if journal.header is not None:
            known["/" + journal.header.path] = Spans((piece.first, piece.end) for piece in journal.pieces)
    for number, size in enumerate(SIZES):
        if (root / f"f{number}.bin").exists():
            known[f"/f{number}.bin"] = Spans([(0, size)] if size else [])
    return known


def again(exchange: Exchange, known: Spans) -> int:
    """Return how many bytes of an exchange were known to be good before it."""
    first = exchange.request.first
    return known.count(first, first + exchange.sent)


def test_kills_cost_time_and_nothing_else(tmp_path: Path) -> None:
    print(f"CRAWLMILL_SEED={SEED} CRAWLMILL_KILLS={KILLS}")
    chance = random.Random(SEED)
    kills = rounds = kept = 0
    phases: Counter[str] = Counter()
    with FaultServer() as server:
        while kills < KILLS:
            folder = tmp_path / f"round{rounds}"
            folder.mkdir()
            manifest(server, folder)
            more, known = one_round(server, folder, chance, phases)
            kills, kept, rounds = kills + more, kept + known, rounds + 1
    print(f"{kills} kills in {rounds} downloads of {len(SIZES)} files; {kept / MIB:.0f} MiB were there after kills")
    print(dict(phases))
    assert phases.keys() >= set(PHASES), "every phase was killed"
    assert kept > 10 * MIB * rounds, "else nothing was proven"


def done_in(server: FaultServer, root: Path, before: dict[str, Spans]) -> set[str]:
    """Return which of the phases a run has come to that found `before`."""
    if not server.exchanges:
        return {START_UP}
    more = {path for path, spans in proved(root).items() if spans != before.get(path)}
    names = {path for path in more if (root / path[1:]).exists()}
    return {phase for phase, paths in ((NAMED, names), (PIECES, more - names)) if paths}


def killed(process: subprocess.Popen[str], seconds: float, is_time: Callable[[], bool], *, is_alone: bool) -> bool:
    """Kill the command after some seconds, or when it is time; False when it has ended before.

    `is_alone`: not its workers, which hold targets of their own and must be gone before the next one wants them.
    """
    until = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() >= until or is_time():
            (os.kill if is_alone else os.killpg)(process.pid, signal.SIGKILL)
            return True
        time.sleep(0.005)
    return False


def one_round(server: FaultServer, folder: Path, chance: random.Random, phases: Counter[str]) -> tuple[int, int]:
    """Download all files, killed again and again; return how often, and how many bytes were there after each."""
    kills = kept = 0
    root = folder / "out"
    known: dict[str, Spans] = {}
    while True:
        server.forget()
        process = start(server, folder)
        if kills < 12:
            aim = AIMS[kills % len(AIMS)]
            seconds = {START_UP: 0.05, None: chance.uniform(0.1, 1.2)}.get(aim, 60.0)
            kills += killed(
                process,
                seconds,
                lambda: aim in done_in(server, root, known) - {START_UP},  # noqa: B023  # called here and now
                is_alone=chance.random() < 0.5,
            )
        output, _ = process.communicate(timeout=60)
        if process.returncode != 0:
            phases.update(done_in(server, root, known))
        wasted: dict[str, int] = {}
        requests: dict[str, int] = {}
        for exchange in list(server.exchanges):
            path = exchange.request.path
            wasted[path] = wasted.get(path, 0) + again(exchange, known.get(path, Spans()))
            requests[path] = requests.get(path, 0) + 1
        for path, count in wasted.items():
            assert count <= requests[path] * OVERLAP + HEDGES, f"{path}: {count} bytes were fetched though known"
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, output
        known = proved(root)
        kept += sum(spans.total for spans in known.values())
    check(root)
    return kills, kept


def check(root: Path) -> None:
    """Assert that every file is right and nothing else is there."""
    for number, size in enumerate(SIZES):
        body = version(f"file {number}", size).body
        assert (root / f"f{number}.bin").read_bytes() == body.read(0, size)
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    strays = {name for name in names if not name.startswith((".crawlmill/receipts/", ".crawlmill/locks/"))}
    assert strays == {f"f{number}.bin" for number in range(len(SIZES))}
