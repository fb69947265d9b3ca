"""Memory and throughput as the number of known URLs grows: does a crawl of a million need more than one of 100,000?

    python benchmarks/scale.py                      # looks at 100,000, 300,000 and 1,000,000 known URLs; three runs
    python benchmarks/scale.py --known 100000 --known 300000 --repeat 1

A server of its own process answers every URL with a page of 100 links to pages nobody has seen yet, so a crawl of N
pages knows 100 N URLs. `crawl` runs as a user runs it, stopped by `job.max_pages`. Every figure is of the stretch of
the run before that many URLs were known; the peak is the parent's resident size so far, as the kernel tells it (VmHWM).
Medians over the runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LINKS = 100
CONFIG = """\
[job]
seeds = ["{origin}/0"]
out = "out"
max_pages = {pages}
[fetch]
allow_addresses = ["127.0.0.0/8"]
[politeness]
per_host = 64
delay = "0s"
[output]
durability = "{durability}"
"""


class Farm(asyncio.Protocol):
    """Just enough HTTP/1.1 to be crawled: one answer for each request head."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            target = self.buffer.split(b" ", 2)[1]
            self.buffer = self.buffer[end + 4 :]
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.write(answer(target.decode()))


def answer(path: str) -> bytes:
    """Return the response for a path: a page whose links nobody else has."""
    if path == "/robots.txt":
        body = b"User-agent: *\nDisallow: /none/\n"
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    number = int(path[1:])
    links = "".join(f'<a href="/{number * LINKS + i}">page {i}</a> ' for i in range(1, LINKS + 1))
    body = f"<!doctype html><title>{number}</title><p>Farm page {number}.{links}".encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def serve() -> None:
    """Serve on a free port of loopback and tell it on standard output."""
    server = await asyncio.get_running_loop().create_server(Farm, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def watch(process: subprocess.Popen[bytes], records: Path) -> list[tuple[float, int, int]]:
    """Watch one crawl until it ends; return (time, bytes of records, peak resident bytes so far) along the way."""
    samples = []
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        if "VmHWM" in status and records.exists():  # a zombie has no memory any more
            peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
            samples.append((time.monotonic(), records.stat().st_size, peak))
        time.sleep(0.05)
    return samples


def run(origin: str, sizes: list[int], durability: str) -> dict[int, dict[str, float]]:
    """Crawl until the largest size is known; return figures for each size."""
    largest = max(sizes)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.toml")
        config.write_text(CONFIG.format(origin=origin, pages=largest // LINKS, durability=durability))
        process = subprocess.Popen([sys.executable, "-m", "crawler", "-q", str(config)])
        samples = watch(process, Path(folder, "out", "pages.jsonl"))
        summary = json.loads(Path(folder, "out", "summary.json").read_text())
        assert process.returncode == 4, f"expected the limit to end the crawl, got exit code {process.returncode}"
        assert summary["discovered"] >= largest, summary
        state = Path(folder, "out", "state.sqlite3").stat().st_size / summary["discovered"]
    lag = summary["run"]["loop_lag_seconds"]
    total = samples[-1][1]
    figures = {}
    before = next(sample for sample in samples if sample[1])
    for size in sorted(sizes):
        here = next(sample for sample in samples if sample[1] >= min(total, size / largest * total * 0.999))
        pages = (here[1] - before[1]) / total * largest / LINKS
        figures[size] = {
            "known": size,
            "peak_mib": here[2] / 2**20,
            "pages_per_second": pages / max(1e-9, here[0] - before[0]),
            "state_bytes_per_url": state,
            "lag_p99_ms": lag["p99"] * 1000,
            "lag_max_ms": lag["max"] * 1000,
        }
        before = here
    return figures


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--known", type=int, action="append", help="known URLs to look at [100000 300000 1000000]")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--durability", default="full")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    sizes = sorted(options.known or [100_000, 300_000, 1_000_000])
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        origin = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        results: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
        for _ in range(options.repeat):
            for size, figures in run(origin, sizes, options.durability).items():
                results[size].append(figures)
                print(figures, file=sys.stderr, flush=True)
    finally:
        server.terminate()
        server.wait()
    names = list(results[sizes[0]][0])
    print("| " + " | ".join(names) + " |\n|" + "--:|" * len(names))
    for size in sizes:
        print(
            "| " + " | ".join(f"{statistics.median(row[name] for row in results[size]):.2f}" for name in names) + " |"
        )


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    main()
