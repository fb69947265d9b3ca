"""How long the event loop of a crawl keeps others waiting: while it parses, and while files come at full speed beside.

    python benchmarks/lag.py [--repeat 3] [--pages 6000] [--bytes 2000000000]

Needs nginx, which serves the files; the pages are the demo web's, in a process of its own. The figures are those that
every crawl writes to `summary.json` (`run.loop_lag_seconds`): the worst of all runs for the maximum, medians for the
rest. The cases:

    pages   parsing on every core, no files
    large   the same, and one file in segments over several processes
    many    the same, and 500 files of 256 KiB
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from downloads import SMALL_BYTES, nginx, source

MANY = 500
SMALL_PAGE_BYTES = 30_000
CONFIG = """\
[job]
seeds = ["{site}"]
out = "{out}"
[scope]
hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
[fetch]
allow_addresses = ["127.0.0.0/8"]
[politeness]
delay = "0s"
per_host = 32
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--pages", type=int, default=6000)
    parser.add_argument("--bytes", type=int, default=2 * 10**9)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp"))
    options = parser.parse_args()
    print("| beside the pages | s | pages/s | MB/s of files | lag p50, ms | p99, ms | max, ms |\n|---|" + "--:|" * 6)
    with tempfile.TemporaryDirectory(prefix="lag-", dir=options.folder) as name:
        home = Path(name)
        with nginx(home) as (port, _), demo(options.pages) as site:
            downloads = {"pages": "", "large": large(home, port, options.bytes), "many": many(home, port)}
            for case, tables in downloads.items():
                runs = [crawl(home, CONFIG.format(site=site, out=home / "out") + tables) for _ in range(options.repeat)]
                print(row(case, runs), flush=True)


@contextmanager
def demo(pages: int) -> Iterator[str]:
    """Serve the demo web; yield its first page."""
    command = [
        sys.executable, "-m", "crawler", "demo", "--port", "0", "--plain", "--crawl-delay", "0",
        "--pages", str(pages), "--page-bytes", str(SMALL_PAGE_BYTES),
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().split()[1]
    finally:
        server.terminate()
        server.communicate()


def large(home: Path, port: int, size: int) -> str:
    """Return the table of one large file, which is made here."""
    sha256 = source(home / "www/large.bin", size)
    return f'[[download]]\nurl = "http://127.0.0.1:{port}/large.bin"\nsha256 = "{sha256}"\n'


def many(home: Path, port: int) -> str:
    """Return the tables of many small files, which are made here."""
    (home / "www/many").mkdir()
    tables = []
    for number in range(MANY):
        sha256 = source(home / f"www/many/{number}.bin", SMALL_BYTES)
        tables.append(f'[[download]]\nurl = "http://127.0.0.1:{port}/many/{number}.bin"\nsha256 = "{sha256}"\n')
    return "".join(tables)


def crawl(home: Path, config: str) -> dict[str, Any]:
    """Crawl in an empty folder and return the summary. Raises CalledProcessError unless all is complete."""
    (home / "crawl.toml").write_text(config)
    subprocess.run([sys.executable, "-m", "crawler", "-q", str(home / "crawl.toml")], check=True)
    summary: dict[str, Any] = json.loads((home / "out/summary.json").read_text())
    for path in sorted((home / "out").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert summary["files"] == summary["files_by_status"].get("verified", 0), "every file was verified"
    return summary


def row(case: str, runs: list[dict[str, Any]]) -> str:
    """Return one line of the table."""
    seconds = statistics.median(run["run"]["seconds"] for run in runs)
    lags = [run["run"]["loop_lag_seconds"] for run in runs]
    p50, p99 = (statistics.median(lag[name] for lag in lags) * 1000 for name in ("p50", "p99"))
    worst = max(lag["max"] for lag in lags) * 1000
    rate, files = runs[0]["done"] / seconds, runs[0]["run"]["file_bytes"] / seconds / 1e6
    return f"| {case} | {seconds:.1f} | {rate:,.0f} | {files:,.0f} | {p50:.2f} | {p99:.0f} | {worst:.0f} |"


if __name__ == "__main__":
    main()
