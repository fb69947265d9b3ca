"""A job run as a command and killed: starting it, killing it, reading what it left without touching that."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import zstandard

from crawler.demo.log import Entry, read_log
from crawler.demo.site import Demo
from tests.support.politeness import Fault, Violation, robots_of, violations

ROOT = Path(__file__).parents[2]
OUTPUTS = ("pages", "errors", "skipped", "files")
COMPLETE, LIMIT = 0, 4
Tables = Mapping[str, Mapping[str, Any]]

TABLES: Tables = {
    "fetch": {"allow_addresses": ["127.0.0.0/8"], "retries": 1, "retry_delay": "20ms"},
    "politeness": {"delay": "0s", "per_host": 16},
}
"""Of every job here: the demo site is on loopback, and waiting for retries proves nothing."""


class Site:
    """A demo site served by a process of its own, which logs every request."""

    def __init__(self, folder: Path, *arguments: str, **options: Any) -> None:
        """`options` are those of `Demo`; `arguments` say the same to `crawl demo`."""
        self.log_file = folder / "requests.jsonl"
        command = [sys.executable, "-m", "crawler", "demo", "--port", "0", "--log", str(self.log_file), *arguments]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[1]
        self.demo = Demo(**options, port=int(self.url.rsplit(":", 1)[1].strip("/")))

    def requests(self, after: int = 0) -> list[Entry]:
        """Return the requests logged so far, from number `after` on."""
        return read_log(self.log_file)[after:]

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.communicate(timeout=10)


@dataclass
class Found:
    """What outputs say: each line's identity, and the lines that are not what they should be."""

    pages: Counter[tuple[str, int, str | None, str | None]] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    files: Counter[tuple[str, str, str | None]] = field(default_factory=Counter)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of pages, by URL; only where outputs were read whole."""

    def lines_by_url(self) -> Counter[str]:
        """Return in how many lines each URL is, over all outputs."""
        return Counter(
            key[0] for part in (self.pages, self.errors, self.skipped, self.files) for key in part.elements()
        )


class Job:
    """One output directory and its configuration file."""

    def __init__(self, folder: Path, site: Site, tables: Tables | None = None) -> None:
        folder.mkdir(parents=True)
        self.site = site
        self.config = folder / "config.toml"
        merged: dict[str, dict[str, Any]] = {
            "job": {"seeds": [site.url], "out": str(folder / "out")},
            "scope": {"hosts": list(site.demo.hosts_served)},
        }
        for part in (TABLES, tables or {}):
            for name, table in part.items():
                merged.setdefault(name, {}).update(table)
        self.out = Path(merged["job"]["out"])
        self.config.write_text("".join(_table(name, table) for name, table in merged.items()))
        self.compressed = merged.get("output", {}).get("compress") == "zstd"

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs the job; it needs ROOT as working directory."""
        return [sys.executable, "-m", "crawler", str(self.config), "--quiet", *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the command as the leader of a new process group."""
        with (self.config.parent / "stderr.txt").open("ab") as errors:
            return subprocess.Popen(
                self.command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
            )  # fmt: skip

    def finish(self, *arguments: str, timeout: float = 60.0) -> int:
        """Run the command to its end and return its exit code."""
        process = self.start(*arguments)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end within {timeout} s: {self.complaints()}") from None
        finally:
            kill_group(process)

    def complaints(self) -> str:
        """Return what all runs said on stderr."""
        return (self.config.parent / "stderr.txt").read_text()

    def forget_complaints(self) -> None:
        """Let `complaints` tell of later runs only."""
        (self.config.parent / "stderr.txt").unlink(missing_ok=True)

    def remove(self) -> None:
        """Throw away everything the job wrote."""
        shutil.rmtree(self.out, ignore_errors=True)

    def output(self, name: str) -> Path:
        """Return the file of an output."""
        return self.out / f"{name}.jsonl{'.zst' if self.compressed else ''}"

    def found(self, lengths: Mapping[str, int] | None = None) -> Found:
        """Read the outputs, each up to its length if given; every line must parse."""
        found = Found()
        for record in self._lines("pages", lengths):
            found.pages[record["url"], record["status"], record["sha256"], record["text_sha256"]] += 1
            if lengths is None:
                found.records[record["url"]] = record
        for name, counter in (("errors", found.errors), ("skipped", found.skipped)):
            for record in self._lines(name, lengths):
                counter[record["url"], record["reason"]] += 1
        for record in self._lines("files", lengths):
            found.files[record["url"], record["status"], record["digests"].get("sha256")] += 1
        return found

    def _lines(self, name: str, lengths: Mapping[str, int] | None) -> Iterator[dict[str, Any]]:
        path = self.output(name)
        data = path.read_bytes() if path.exists() else b""
        if lengths is not None:
            assert len(data) >= lengths.get(name, 0), f"{path} lost committed bytes"
            data = data[: lengths.get(name, 0)]
        if self.compressed and data:
            data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
        assert not data or data.endswith(b"\n"), f"{path} ends in half a line"
        for line in data.splitlines():
            yield orjson.loads(line)

    @contextlib.contextmanager
    def state(self) -> Iterator[sqlite3.Connection | None]:
        """Open a copy of the state, since opening the original would recover it; None when there is none yet."""
        source = self.out / "state.sqlite3"
        if not source.exists():
            yield None
            return
        copy = self.config.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for path in self.out.glob("state.sqlite3*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, copy / path.name)
        db = sqlite3.connect(copy / source.name)
        try:
            yield db
        finally:
            db.close()


def check_state(job: Job) -> dict[str, int]:
    """Assert that what a killed run left is whole and adds up; return the counters it has committed."""
    with job.state() as db:
        if db is None:
            return {}
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counters = Counter(dict(db.execute("SELECT name, value FROM counter")))
        outputs = {name: (length, lines) for name, length, lines in db.execute("SELECT * FROM output")}
        states = Counter(dict(db.execute("SELECT state, count(*) FROM url GROUP BY state")))
    parts = ("done", "redirected", "failed", "skipped", "files", "pending", "deferred")
    assert counters["discovered"] == sum(counters[name] for name in parts), counters
    for name, state in (("pending", 0), ("done", 1), ("failed", 2), ("redirected", 4), ("deferred", 5), ("files", 6)):
        assert counters[name] == states[state], (name, counters, states)
    found = job.found({name: length for name, (length, _) in outputs.items()})
    assert found.pages.total() == counters["done"] + counters["redirected"] == outputs.get("pages", (0, 0))[1]
    assert found.errors.total() == counters["failed"] == outputs.get("errors", (0, 0))[1]
    assert found.skipped.total() == counters["skipped"] == outputs.get("skipped", (0, 0))[1]
    assert found.files.total() == counters["files"] == outputs.get("files", (0, 0))[1]
    assert_no_duplicates(found)
    return dict(counters)


OF_THE_RUN = frozenset({"fetched_at", "timings", "via", "depth", "duplicate_of"})
"""Depend on when a page was fetched and on what was fetched before it. Nothing else in a record does."""


def differences(found: Found, reference: Found) -> dict[str, list[str]]:
    """Return by URL which fields of its record differ that must not."""
    return {
        url: names
        for url in found.records.keys() & reference.records.keys()
        if (names := _differing(found.records[url], reference.records[url]))
    }


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    names = sorted((one.keys() | other.keys()) - OF_THE_RUN)
    return [name for name in names if _comparable(one, name) != _comparable(other, name)]


def _comparable(record: Mapping[str, Any], name: str) -> Any:
    value = record.get(name)
    return sorted(map(orjson.dumps, value)) if name == "outlinks" and value else value


def assert_ways_are_told(records: Mapping[str, Mapping[str, Any]]) -> None:
    """Assert that each record names a page with a link to it, or a redirect, and counts its depth from there."""
    for url, record in records.items():
        if record["via"] is None:
            assert record["depth"] == 0, url
            continue
        finder = records[record["via"]]
        assert url == finder["final_url"] or url in {link[0] for link in finder["outlinks"]}, url
        assert record["depth"] == finder["depth"] + (not record["redirects"]), url


def assert_no_duplicates(found: Found) -> None:
    """Assert that no URL has two lines, in one output or in two."""
    assert [url for url, lines in found.lines_by_url().items() if lines > 1] == []


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the process and its workers, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def run_and_kill(job: Job, seconds: float, *arguments: str) -> dict[str, int]:
    """Start a job, kill it after some seconds if it still runs, and return its committed counters."""
    process = job.start(*arguments)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    kill_group(process)
    return check_state(job)


def members(group: int) -> set[int]:
    """Return the living processes of a group."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.add(int(path.parent.name))
    return found


def wait_until(condition: Any, seconds: float) -> bool:
    """Return whether the condition came true within some seconds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def _table(name: str, table: Mapping[str, Any]) -> str:
    lines = "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())
    return f"[{name}]\n{lines}\n"


def _toml(value: Any) -> str:
    return orjson.dumps(value).decode()


STALL_SECONDS = 0.2  # for which a busy machine may keep a server from reading what was sent in time


def faults(site: Site, requests: list[Entry], *, per_host: int) -> list[Violation]:
    """Return where the crawls behind these requests were impolite. Only the time between two starts needs patience."""
    found = []
    for tolerance in (0.005, STALL_SECONDS):
        every = violations(
            requests, robots_of(site.demo), agent="crawlmill", per_host=per_host, tolerance=tolerance
        )  # fmt: skip
        found += [one for one in every if (one.fault is Fault.HASTE) == (tolerance == STALL_SECONDS)]
    return found


def shortest(requests: list[Entry], steps: int) -> float:
    """Return the shortest time in which any host was asked so many times more, in seconds.

    A server that was kept waiting reads two requests at once which were sent well apart. Over many the rate shows.
    """
    starts: dict[str, list[float]] = {}
    for entry in sorted(requests, key=lambda entry: entry.start):
        starts.setdefault(entry.host, []).append(entry.start)
    return min(
        late - early for times in starts.values() for early, late in zip(times, times[steps:], strict=False)
    )  # fmt: skip


def repeated(requests: list[Entry], crawls: int) -> int:
    """Return how many pages were asked for again, beyond once a crawl."""
    asked = Counter((entry.host, entry.path) for entry in requests if entry.status == 200)
    return sum(max(0, count - crawls) for (_, path), count in asked.items() if path != "/robots.txt")
