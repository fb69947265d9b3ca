"""How long a start takes, piece by piece: medians over fresh processes, bytecode compiled.

    python benchmarks/startup.py [--runs 15] [--config sample_config.toml]

Each line is a process of its own that does all that the lines above it do, so the difference is what the step costs.
`crawl` itself starts its workers between the config and the engine, and loads the engine while they load the parser.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

STEPS = {
    "the interpreter": "pass",
    "the command line": "import crawler.cli",
    "reading the config": "import crawler.cli; from crawler.config import load; load({config!r})",
    "the engine, with aiohttp": (
        "import crawler.cli; from crawler.config import load; load({config!r})\n"
        "from crawler.fetch.tls import no_certificates\n"
        "with no_certificates():\n    import crawler.engine.crawl"
    ),
    "what a worker loads": "import pipelines.pool.worker, pipelines.pipeline, crawler.frontier.scope",
}


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--config", default="sample_config.toml")
    options = parser.parse_args()
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    taken: dict[str, list[float]] = {name: [] for name in STEPS}
    for turn in range(options.runs + 1):
        for name, code in STEPS.items():
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", "import gc; gc.disable()\n" + code.format(config=options.config)],
                env=environ, check=True,
            )  # fmt: skip
            if turn:  # the first turn compiles
                taken[name].append(time.perf_counter() - started)
    print("| start of a process that loads | ms |\n|---|--:|")
    for name, seconds in taken.items():
        print(f"| {name} | {statistics.median(seconds) * 1e3:.0f} |")


if __name__ == "__main__":
    main()
