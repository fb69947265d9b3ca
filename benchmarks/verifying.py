"""What the proof of a large file costs: the same client with and without a digest, and what no client could save.

    python benchmarks/verifying.py [--repeat 5] [--bytes 2000000000]

Needs nginx. One file over 8 connections on this machine, in memory, in turns, each in a process of its own, with the
digest of no algorithm at all and with SHA-256. CPU is that of the client's whole process tree and of the server, in
seconds. The bound: where the client without a digest keeps N CPUs busy, N of them need that much longer for the hash,
however cleverly it is placed. The tail is from the last byte on disk to the verified file.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from downloads import nginx, source

from crawler.download import Digest, Downloader, DownloadOptions, FileProgress, Wanted
from crawler.fetch.options import FetchOptions

GIB = 1 << 30
TICKS = os.sysconf("SC_CLK_TCK")


class Run(NamedTuple):
    """One download: seconds from the first request to the file, those of its tail, CPU seconds of all there is."""

    wall: float
    tail: float
    cpu: float


async def one(url: str, sha256: str | None, folder: Path) -> dict[str, float]:
    """Download once."""
    import uvloop  # as the command does, where it is installed

    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    options = DownloadOptions(
        segments=8,
        algorithms=() if sha256 is None else ("sha256",),
        fetch=FetchOptions(allow_addresses=("127.0.0.0/8",)),
    )
    last, most = 0.0, 0

    def moved(progress: FileProgress) -> None:
        nonlocal last, most
        if progress.written > most:
            last, most = time.perf_counter(), progress.written

    digests = () if sha256 is None else (Digest("sha256", bytes.fromhex(sha256)),)
    async with Downloader(folder, options) as downloader:
        began = time.perf_counter()
        result = await downloader.fetch(Wanted(url, "f", digests), moved)
        ended = time.perf_counter()
    assert result.status == ("unverified" if sha256 is None else "verified"), result
    return {"wall": ended - began, "tail": ended - last}


def measured(url: str, sha256: str | None, home: Path) -> Run:
    """Run one download in a process of its own and remove the file."""
    command = [sys.executable, __file__, "--one", url, sha256 or "", str(home / "out")]
    before = _children() + _served(home)
    told = json.loads(subprocess.run(command, check=True, timeout=200, stdout=subprocess.PIPE).stdout)
    cpu = _children() + _served(home) - before
    (home / "out/f").unlink()
    (home / "out/.crawlmill/receipts/f.json").unlink()
    return Run(told["wall"], told["tail"], cpu)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _served(home: Path) -> float:
    """Return the CPU seconds of the server's processes so far."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            parent = Path("/proc", words[1], "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        if os.fsencode(home / "nginx.conf") in parent:
            total += (int(words[11]) + int(words[12])) / TICKS
    return total


def hash_seconds(path: Path) -> float:
    """Return the CPU seconds that SHA-256 alone takes for a file, in blocks that stay in a cache."""
    used = 0.0
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            began = time.process_time()
            hasher.update(block)
            used += time.process_time() - began
    return used


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--bytes", type=int, default=2 * 10**9)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp"))
    parser.add_argument("--one", nargs=3, metavar=("URL", "SHA256", "DIR"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        import uvloop

        url, sha256, folder = options.one
        print(json.dumps(uvloop.run(one(url, sha256 or None, Path(folder)))))
        return
    with tempfile.TemporaryDirectory(prefix="verifying-", dir=options.folder) as name:
        home = Path(name)
        with nginx(home) as (port, _):
            sha256 = source(home / "www/large.bin", options.bytes)
            url = f"http://127.0.0.1:{port}/large.bin"
            runs: dict[str, list[Run]] = {"": [], sha256: []}
            for _ in range(options.repeat):
                for digest, taken in runs.items():
                    taken.append(measured(url, digest or None, home))
            alone = statistics.median(hash_seconds(home / "www/large.bin") for _ in range(3))
    _print(runs[""], runs[sha256], alone, options.bytes)


def _print(plain: list[Run], verified: list[Run], alone: float, size: int) -> None:
    print("| | wall s | CPU s | tail s |\n|---|--:|--:|--:|")
    for name, runs in ("without a digest", plain), ("SHA-256", verified):
        wall, tail, cpu = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {tail:.2f} |")
    ratio = statistics.median(one.wall / other.wall for one, other in zip(plain, verified, strict=True))
    busy = statistics.median(run.cpu / run.wall for run in plain)
    wall = statistics.median(run.wall for run in plain)
    print(f"\nSHA-256 alone: {alone:.2f} s of one CPU. Rate with it: {ratio:.2f} of that without.")
    print(
        f"Without it {busy:.2f} CPUs were busy, and so many need {alone / busy:.2f} s more for it: "
        f"{wall / (wall + alone / busy):.2f} at most."
    )
    tail = statistics.median(run.tail for run in verified)
    print(f"Tail: {tail / (size / GIB):.2f} s per GiB.")


if __name__ == "__main__":
    main()
