"""Downloads to a verified file, side by side: crawl download, aria2c, curl, wget2. Medians of wall and CPU time.

    python benchmarks/downloads.py [--case large --case limited --case many --case slow] [--repeat 3]

Needs nginx; peers that are not installed are left out. Checking the SHA-256 is part of every run, and afterwards every
file is read once more, outside the clock. The cases:

    large     one file of --bytes over loopback
    limited   the same at 20 MiB/s for each connection: how near to 8 times that
    many      --files files of 256 KiB; `bare` is the least that these cost in Python (`benchmarks/bare_download.py`)
    slow      16 MiB from a server whose second connection has a sixteenth of the others' speed (4 of 8 MiB/s)
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

from crawler.testing.bodies import Body, digest
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import ServedFile, serve

LIMIT_SECONDS = 200
SMALL_BYTES = 256 * 1024
SLOW_BYTES, FAST_RATE = 16 << 20, 8 << 20
NGINX = """
daemon off; pid {home}/nginx.pid; error_log {home}/error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream; keepalive_requests 1000000;
  client_body_temp_path {home}/t; proxy_temp_path {home}/t; fastcgi_temp_path {home}/t; uwsgi_temp_path {home}/t;
  scgi_temp_path {home}/t;
  server {{ listen 127.0.0.1:{fast}; root {home}/www; }}
  server {{ listen 127.0.0.1:{limited}; root {home}/www; limit_rate 20m; }} }}
"""

OURS = f"{sys.executable} -m crawler download -q"
ARIA = "aria2c --file-allocation=none --quiet --no-conf"
CHECK = "echo '{sha256}  {out}/f' | sha256sum --check --quiet"
ONE = {
    "ours": OURS + " {url} --sha256 {sha256} --segments {n} -o {out}/f > {out}.log",
    "aria2c": ARIA + " -x{n} -s{n} -k1M --checksum=sha-256={sha256} -d {out} -o f {url}",
    "wget2": "wget2 --quiet --no-config --no-http2 --chunk-size=16M --max-threads={n} -O {out}/f {url} && " + CHECK,
    "curl": "curl --silent --fail -o {out}/f {url} && " + CHECK,
}
MANY = {
    "ours": OURS + " -i {list} -d {out} > {out}.log",
    "aria2c": ARIA + " -i {list} -d {out} -x8 -j16",
    "bare": f"{sys.executable} -S {Path(__file__).with_name('bare_download.py')} {{list}} {{out}}",
}


class Taken(NamedTuple):
    """What one run took, in seconds."""

    wall: float
    cpu: float


class Case(NamedTuple):
    """Commands, and whether what they left is right."""

    commands: dict[str, str]
    fields: dict[str, str]
    is_right: Callable[[Path], bool]
    before: Callable[[], None] = lambda: None


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--case", action="append", choices=["large", "limited", "many", "slow"])
    parser.add_argument("--peer", action="append", choices=[*ONE, "bare"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=2 * 10**9)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp"))
    options = parser.parse_args()
    peers = [peer for peer in options.peer or [*ONE, "bare"] if peer in ("ours", "bare") or shutil.which(peer)]
    print("| case | peer | wall s | CPU s | ratio to aria2c |\n|---|---|--:|--:|--:|")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="downloads-", dir=options.folder)))
        fast, limited = stack.enter_context(nginx(home))
        for name in options.case or ["large", "limited", "many", "slow"]:
            case = _case(name, home, limited if name == "limited" else fast, options, stack)
            _table(name, {peer: case.commands[peer] for peer in peers if peer in case.commands}, case, home, options)


def _table(name: str, commands: dict[str, str], case: Case, home: Path, options: argparse.Namespace) -> None:
    taken: dict[str, list[Taken]] = {peer: [] for peer in commands}
    for _ in range(options.repeat):
        for peer, command in commands.items():  # in turns, so that a noisy minute is nobody's alone
            taken[peer].append(_run(command, case, home / "out"))
    base = statistics.median(each.wall for each in taken["aria2c"]) if "aria2c" in taken else None
    for peer, runs in taken.items():
        wall, cpu = (statistics.median(values) for values in zip(*runs, strict=True))
        ratio = f"{base / wall:.2f}" if base else "-"
        print(f"| {name} | {peer} | {wall:.2f} | {cpu:.2f} | {ratio} |", flush=True)


def _run(command: str, case: Case, out: Path) -> Taken:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    case.before()
    words = {"out": str(out), "n": "8", **case.fields}
    cpu, started = _cpu(), time.perf_counter()
    subprocess.run(["sh", "-c", command.format(**words)], check=True, timeout=LIMIT_SECONDS)
    taken = Taken(time.perf_counter() - started, _cpu() - cpu)
    assert case.is_right(out), f"wrong bytes: {command}"
    shutil.rmtree(out)
    return taken


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _case(name: str, home: Path, port: int, options: argparse.Namespace, stack: ExitStack) -> Case:
    if name == "many":
        return _many(home, port, options.files)
    if name == "slow":
        return _slow(stack)
    sha256 = source(home / "www/large.bin", options.bytes)
    fields = {"url": f"http://127.0.0.1:{port}/large.bin", "sha256": sha256}
    return Case(ONE, fields, lambda out: _sha256(out / "f") == sha256)


def _many(home: Path, port: int, files: int) -> Case:
    folder = home / "www/many"
    folder.mkdir(exist_ok=True)
    sums = {f"{number}.bin": source(folder / f"{number}.bin", SMALL_BYTES) for number in range(files)}
    lines = (
        f"http://127.0.0.1:{port}/many/{name}\n  out={name}\n  checksum=sha-256={value}\n"
        for name, value in sums.items()
    )
    (home / "list").write_text("".join(lines))
    return Case(MANY, {"list": str(home / "list")}, lambda out: all(_sha256(out / name) == sums[name] for name in sums))


def _slow(stack: ExitStack) -> Case:
    file = ServedFile(Body(SLOW_BYTES, "A"))
    server = stack.enter_context(FaultServer())
    numbers = count(1)

    def again() -> None:
        nonlocal numbers
        numbers = count(1)

    server.mount("/slow.bin", lambda request: replace(
        serve(request, file), rate=FAST_RATE / 16 if next(numbers) == 2 else FAST_RATE
    ))  # fmt: skip
    sha256 = digest(file.body)
    fields = {"url": server.url("/slow.bin"), "sha256": sha256, "n": "4"}
    return Case(ONE, fields, lambda out: _sha256(out / "f") == sha256, again)


def source(path: Path, size: int) -> str:
    """Make a file of random bytes once, and return its SHA-256."""
    if not path.exists():
        with path.open("wb") as file:
            for at in range(0, size, 1 << 22):
                file.write(os.urandom(min(1 << 22, size - at)))
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def nginx(home: Path) -> Iterator[tuple[int, int]]:
    """Serve `home`/www at two free ports, the second one limited for each connection."""
    home.chmod(0o755)  # nginx's workers are nobody
    (home / "www").mkdir()
    fast, limited = _free_port(), _free_port()
    (home / "nginx.conf").write_text(NGINX.format(home=home, fast=fast, limited=limited))
    server = subprocess.Popen(["nginx", "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")])
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", limited)) == 0:
                    break
            time.sleep(0.02)
        yield fast, limited
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
