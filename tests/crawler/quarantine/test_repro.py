"""A page that breaks its worker is kept, named in errors.jsonl, and `crawl repro` shows where it ends."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.command import CRAWL, ROOT

PAGES = {"/": "start", "/hang": "hang here", "/segfault": "segfault here", "/kill": "kill here", "/raise": "raise here"}
LINKS = "".join(f'<a href="{path}">x</a>' for path in PAGES)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"<p>{PAGES.get(self.path, '')}</p>{LINKS}".encode()
        self.send_response(200 if self.path in PAGES else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The output of a crawl whose stage breaks on three of its pages."""
    folder = tmp_path_factory.mktemp("broken")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (folder / "crawl.toml").write_text(f"""
[job]
seeds = ["http://127.0.0.1:{server.server_port}/"]
out = "out"
max_failed_ratio = 1.0
[fetch]
allow_addresses = ["127.0.0.0/8"]
[politeness]
delay = "0s"
[cpu]
workers = 2
page_timeout = "0.5s"
[parse]
stages = ["broken_stages:breaks"]
""")
    done = crawl("crawl.toml", "-q", folder=folder)
    assert done.returncode == 0, done.stderr
    yield folder
    server.shutdown()
    server.server_close()


def crawl(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `crawl` with the broken stages where it can import them."""
    environ = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{ROOT}"}
    return subprocess.run(
        [*CRAWL, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def errors(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "out" / "errors.jsonl").read_bytes().splitlines()
    return {"/" + line["url"].rpartition("/")[2]: line for line in map(orjson.loads, lines)}


def test_only_what_breaks_a_worker_is_kept_and_each_is_named(crawled: Path) -> None:
    found = errors(crawled)
    reasons = {path: line["reason"] for path, line in found.items()}
    assert reasons == {
        "/hang": "parse_timeout", "/segfault": "parse_crash", "/kill": "parse_crash", "/raise": "parse_error",
    }  # fmt: skip
    named = {path: line["detail"].partition("crawl repro ")[2] for path, line in found.items()}
    assert named.pop("/raise") == ""
    assert set(named.values()) == {path.name for path in (crawled / "out" / "quarantine").iterdir()}


@pytest.mark.parametrize(
    ("path", "result", "trace"),
    [
        ("/hang", "did not end within 0.5 s", "Timeout (0:00:00.500000)!"),
        ("/segfault", "was killed by SIGSEGV", "Fatal Python error: Segmentation fault"),
        ("/kill", "was killed by SIGKILL", ""),
    ],
)
def test_repro_shows_the_stage_and_the_stack(path: str, result: str, trace: str, crawled: Path) -> None:
    case = errors(crawled)[path]["detail"].partition("crawl repro ")[2]
    shown = crawl("repro", case, folder=crawled)
    assert shown.returncode == 3, shown
    lines = shown.stdout.splitlines()
    assert any(line.startswith("page ") and line.split()[1].endswith(path) for line in lines)
    assert any(line.startswith("  verify ") and line.endswith(" ms") for line in lines), "the stages before it ended"
    assert f"  {'broken_stages:breaks':30} did not end" in lines
    assert any(line.startswith("result ") and result in line and "in broken_stages:breaks" in line for line in lines)
    assert trace in shown.stdout
    if trace:
        assert 'broken_stages.py", line' in shown.stdout, "the line that hangs"
    assert "versions  as then" in lines


def test_a_page_that_is_fine_by_now_comes_to_its_end(crawled: Path, tmp_path: Path) -> None:
    case = errors(crawled)["/segfault"]["detail"].partition("crawl repro ")[2]
    mended = tmp_path / "broken_stages.py"
    mended.write_text("def breaks(doc):\n    print('\\x1b[2J looked at')\n")
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    shown = subprocess.run(
        [*CRAWL, "repro", str(crawled / "out" / "quarantine" / case)],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown
    assert "result    it came to its end this time" in shown.stdout
    assert "links and record" in shown.stdout
    assert "\\x1b[2J looked at" in shown.stdout, "nothing of a page or a stage reaches the terminal as it is"
    assert "\x1b" not in shown.stdout


def test_a_wrong_id_tells_what_there_is(crawled: Path) -> None:
    shown = crawl("repro", "nothing", folder=crawled)
    assert shown.returncode == 2
    assert "no case 'nothing': there are " in shown.stderr
    assert crawl("repro", "nothing", "--timeout", "0", folder=crawled).returncode == 2


def test_a_second_run_keeps_no_more_of_the_same(crawled: Path) -> None:
    before = sorted(path.name for path in (crawled / "out" / "quarantine").iterdir())
    assert crawl("crawl.toml", "-q", folder=crawled).returncode == 0
    assert sorted(path.name for path in (crawled / "out" / "quarantine").iterdir()) == before


def test_the_sandbox_bounds_memory(tmp_path: Path) -> None:
    code = (
        "import resource; from crawler.quarantine.sandbox import _limit, MAX_ADDRESS_SPACE as most\n"
        "_limit(1.0); assert resource.getrlimit(resource.RLIMIT_AS)[0] <= most\n"
        "try: bytearray(most)\nexcept MemoryError: print('bounded')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "bounded\n", done.stderr
