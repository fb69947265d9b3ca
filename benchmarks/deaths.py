"""What dead workers cost the pages that did nothing: a polite crawl with and without pages that break their workers.

    python benchmarks/deaths.py [--deaths 500] [--pages-per-second 50]

Crawls a demo web of numbered pages twice, at a rate that politeness sets and not the machine, as most crawls are. In
the second run about one page in twenty-five kills, crashes, hangs or bloats its worker (tests/crash/deadly_stage.py);
each is tried again, so it costs two or three workers. Run it from a checkout. It takes a minute or two for each run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOSTS = 4
PER_MILLE = 40
CONFIG = """\
[job]
seeds = ["{url}"]
out = "{out}"
max_failed_ratio = 1.0
[scope]
hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
[fetch]
allow_addresses = ["127.0.0.0/8"]
[politeness]
delay = "{delay}ms"
per_host = 1
[parse]
stages = ["tests.crash.deadly_stage:deadly"]
[cpu]
page_timeout = "300ms"
worker_memory = "200MiB"
"""


def crawl(url: str, folder: Path, *, per_mille: int, delay: float) -> dict[str, float]:
    """Crawl the site and return what it came to."""
    out = folder / f"out-{per_mille}"
    config = folder / f"{per_mille}.toml"
    config.write_text(CONFIG.format(url=url, out=out, delay=round(delay * 1000)))
    environ = {**os.environ, "CRAWLMILL_DEADLY": str(per_mille)}
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "crawler", "-q", str(config)],
        cwd=ROOT, env=environ, check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    seconds = time.monotonic() - started
    summary = json.loads((out / "summary.json").read_text())
    deaths = summary["run"]["workers"]["deaths"]
    return {
        "seconds": seconds,
        "pages": summary["done"],
        "pages_per_second": summary["done"] / seconds,
        "failed": summary["failed"],
        "deaths": sum(deaths.values()),
        "lag_p99_ms": summary["run"]["loop_lag_seconds"]["p99"] * 1000,
    }


def main() -> None:
    """Run both and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--deaths", type=int, default=500)
    parser.add_argument("--pages-per-second", type=float, default=50.0)
    options = parser.parse_args()
    pages = options.deaths * 1000 // PER_MILLE // 2
    delay = HOSTS / options.pages_per_second
    command = [
        sys.executable, "-m", "crawler", "demo", "--port", "0", "--pages", str(pages), "--plain", "--crawl-delay", "0",
    ]  # fmt: skip
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[1]
        with tempfile.TemporaryDirectory() as folder:
            runs = {mille: crawl(url, Path(folder), per_mille=mille, delay=delay) for mille in (0, PER_MILLE)}
    finally:
        server.terminate()
        server.wait()
    names = list(runs[0])
    print(f"| deadly pages | {' | '.join(names)} |\n|---|{'--:|' * len(names)}")
    for mille, run in runs.items():
        print(f"| {mille / 10:g} % | {' | '.join(f'{run[name]:,.1f}' for name in names)} |")
    ratio = runs[PER_MILLE]["pages_per_second"] / runs[0]["pages_per_second"]
    print(f"\ninnocent pages per second beside dying workers: {ratio:.0%} of those without")


if __name__ == "__main__":
    main()
