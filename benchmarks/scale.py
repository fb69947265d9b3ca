"""Memory and throughput as the number of known URLs grows: does a crawl of a million need more than one of 100,000?

    python benchmarks/scale.py                      # 100,000 and 1,000,000 known URLs, in turns, medians
    python benchmarks/scale.py --known 100000 --known 300000 --repeat 1

A server of its own process answers every URL with a page of 100 links to pages nobody has seen yet, so a crawl of N pages
knows 100 N URLs. `crawl` runs as a user runs it, stopped by `job.max_pages`; the kernel tells the parent's peak resident
size (VmHWM). `late_to_early` compares the speed of the last two fifths of the records with that of the first two.
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


def peak_and_progress(pid: int, out: Path, pages: int) -> tuple[int, list[tuple[float, int]]]:
    """Watch one crawl until it ends; return the peak in bytes and (time, bytes of pages.jsonl) along the way."""
    peak, progress = 0, []
    while True:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return peak, progress
        if "VmHWM" not in status:  # a zombie has no memory any more
            return peak, progress
        peak = max(peak, int(status.split("VmHWM:")[1].split()[0]) * 1024)
        records = out / "pages.jsonl"
        if records.exists():
            progress.append((time.monotonic(), records.stat().st_size))
        time.sleep(0.05)


def rate(progress: list[tuple[float, int]], low: float, high: float) -> float:
    """Return bytes of records per second between two shares of the output."""
    total = progress[-1][1]
    inside = [(when, size) for when, size in progress if size and low * total <= size <= high * total]
    return (inside[-1][1] - inside[0][1]) / max(1e-9, inside[-1][0] - inside[0][0])


def run(origin: str, known: int, durability: str) -> dict[str, float]:
    """Crawl until `known` URLs are known; return figures."""
    pages = known // LINKS
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.toml")
        config.write_text(CONFIG.format(origin=origin, pages=pages, durability=durability))
        started = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "crawler", "-q", str(config)])
        peak, progress = peak_and_progress(process.pid, Path(folder, "out"), pages)
        code = process.wait()
        seconds = time.monotonic() - started
        summary = json.loads(Path(folder, "out", "summary.json").read_text())
        assert code == 4, f"expected the limit to end the crawl, got exit code {code}"
        assert summary["discovered"] >= known, summary
        return {
            "known": summary["discovered"],
            "peak_mib": peak / 2**20,
            "pages_per_second": pages / seconds,
            "late_to_early": rate(progress, 0.6, 1.0) / max(1e-9, rate(progress, 0.0, 0.4)),
            "state_bytes_per_url": Path(folder, "out", "state.sqlite3").stat().st_size / summary["discovered"],
            "lag_p99_ms": summary["run"]["loop_lag_seconds"]["p99"] * 1000,
            "lag_max_ms": summary["run"]["loop_lag_seconds"]["max"] * 1000,
        }


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--known", type=int, action="append", help="known URLs at the end [100000 1000000]")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--durability", default="full")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    sizes = options.known or [100_000, 1_000_000]
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        origin = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        results: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
        for _ in range(options.repeat):
            for size in sizes:
                results[size].append(run(origin, size, options.durability))
                print(size, results[size][-1], file=sys.stderr, flush=True)
    finally:
        server.terminate()
        server.wait()
    names = list(results[sizes[0]][0])
    print("| " + " | ".join(names) + " |\n|" + "--:|" * len(names))
    for size in sizes:
        print("| " + " | ".join(f"{statistics.median(row[name] for row in results[size]):.2f}" for name in names) + " |")


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    main()
