"""Kill a crawl with downloads at any instant: the same command ends with each file right, or absent, and one line each.

`CRAWLMILL_KILLS` says how many kills (30), `CRAWLMILL_SEED` repeats the instants of a run.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.crash_jobs import COMPLETE, Job, Site, Tables, check_state, faults, kill_group, wait_until
from tests.support.phases import PROMISED, told
from tests.support.torture import Reference, Torture

KILLS = int(os.environ.get("CRAWLMILL_KILLS", "30"))
SEED = int(os.environ.get("CRAWLMILL_SEED", time.time_ns() % 1_000_000))
PER_HOST = 4
HELD = "127.0.0.77"


@pytest.fixture(scope="module")
def file_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Files to download, and a few pages around them."""
    site = Site(
        tmp_path_factory.mktemp("files"), "--pages", "8", "--hosts", "1", "--downloads", "--steady", "--slow", "0",
        pages=8, hosts=1, downloads=True, flaky=False, slow_seconds=0.0,
    )  # fmt: skip
    yield site
    site.close()


def job_of(site: Site, folder: Path, *also: str, **output: Any) -> Job:
    """Return a job that crawls the folder of the files, and other seeds."""
    seed = site.demo.files()[0].url.rpartition("/")[0] + "/"
    tables: Tables = {
        "job": {"seeds": [seed, *also], "out": str(folder / "out")},
        "scope": {"max_depth": 1, "allow": ["^/downloads/"], "hosts": [*site.demo.hosts_served, HELD]},
        "politeness": {"per_host": PER_HOST},
        "downloads": {"patterns": ["*.bin", "*.zip", "*.pdf"], "content_types": ["application/zip"]},
        "output": output or {"commit_interval": "50ms"},
    }
    return Job(folder, site, tables)


@contextmanager
def held_page() -> Iterator[tuple[str, threading.Event]]:
    """Serve one page that comes no sooner than its event is set, so that a crawl of it cannot end."""
    let_go = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/robots.txt":
                self.send_error(404)
            elif let_go.wait(60.0):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer((HELD, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="held page")
        thread.start()
        try:
            yield f"http://{HELD}:{server.server_port}/downloads/held", let_go
        finally:
            let_go.set()
            server.shutdown()
            thread.join(10.0)


def assert_files(site: Site, job: Job) -> None:
    """Assert that what is on disk is what the site has, and that nothing of the way there is left."""
    folder = job.out / "files"
    expected = {file.url: file for file in site.demo.files()}
    there = set()
    for line in job._lines("files", None):
        file = expected.pop(line["url"])
        assert line["status"] == file.status, line
        if line["path"] is not None:
            data = (folder / line["path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == file.sha256 == line["digests"]["sha256"]
            there.add(line["path"])
    assert expected == {}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {name for name in found if not name.startswith(".crawlmill/")} == there
    assert [name for name in found if name.endswith((".part", ".journal", ".new"))] == []


def reference_of(site: Site, folder: Path) -> Reference:
    """Crawl once without being disturbed."""
    job = job_of(site, folder)
    known, began = len(site.requests()), time.monotonic()
    assert job.finish() == COMPLETE, job.complaints()
    seconds = time.monotonic() - began
    assert_files(site, job)
    return Reference(job.found(), min(entry.start for entry in site.requests(known)) - began, seconds)


def test_kills_change_nothing_about_files(file_site: Site, tmp_path: Path) -> None:
    print(f"CRAWLMILL_SEED={SEED} CRAWLMILL_KILLS={KILLS}")
    reference = reference_of(file_site, tmp_path / "reference")
    known = len(file_site.requests())
    torture = Torture(job_of(file_site, tmp_path / "job"), reference, SEED)
    rounds: list[int] = []

    def complete(job: Job) -> None:
        rounds.append(torture.kills)
        assert_files(file_site, job)

    torture.run(KILLS, complete, aims=PROMISED)
    print(f"run {reference.run_seconds:.2f} s, {told(torture.phases)}, {len(rounds)} crawls")
    assert torture.phases.keys() >= set(PROMISED), "every phase was killed"
    assert faults(file_site, file_site.requests(known), per_host=2 * PER_HOST) == []


def test_a_file_that_has_its_name_before_it_has_its_line_is_recorded_without_another_request(
    file_site: Site, tmp_path: Path
) -> None:
    names = {
        file.url.rpartition("/")[2] for file in file_site.demo.files() if file.status in ("verified", "unverified")
    }
    names -= {"get?id=7"}  # has another name on disk
    known = len(file_site.requests())
    with held_page() as (held, let_go):  # the last commit of a crawl comes when nothing is left to do
        job = job_of(file_site, tmp_path / "job", held, commit_interval="1h")
        receipts = job.out / "files" / ".crawlmill" / "receipts"

        def received() -> set[str]:
            return {path.name.removesuffix(".json").rpartition("%2F")[2] for path in receipts.glob("*.json")}

        process = job.start()
        assert wait_until(lambda: names <= received(), 30.0), job.complaints()
        kill_group(process)
        assert check_state(job).get("files", 0) == 0, "no file was recorded"
        before = asked(file_site, known)
        again = len(file_site.requests())
        let_go.set()
        assert job.finish() == COMPLETE, job.complaints()
    assert_files(file_site, job)
    assert all(before[name] for name in names)
    assert {name for name in names if asked(file_site, again)[name]} == set()


def asked(site: Site, after: int) -> Counter[str]:
    """Count the requests by the last part of their paths."""
    return Counter(entry.path.rpartition("/")[2] for entry in site.requests(after))
