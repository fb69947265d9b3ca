"""A page that breaks its worker is kept, named in errors.jsonl, and `crawl repro` shows where it ends."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from crawler.quarantine.case import environment, load
from crawler.quarantine.run import run
from crawler.quarantine.sandbox import MAX_ADDRESS_SPACE
from tests.support.command import CRAWL, ROOT

PAGES = {
    "/": "start", "/hang": "hang here", "/segfault": "segfault here", "/kill": "kill here", "/hog": "hog here",
    "/raise": "raise here",
}  # fmt: skip
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
    """The output of a crawl whose stage breaks on four of its pages."""
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
page_timeout = "1s"
worker_memory = "150MiB"
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
        "/hang": "parse_timeout", "/segfault": "parse_crash", "/kill": "parse_crash", "/hog": "parse_memory",
        "/raise": "parse_error",
    }  # fmt: skip
    named = {path: line["detail"].partition("crawl repro ")[2] for path, line in found.items()}
    assert named.pop("/raise") == ""
    assert set(named.values()) == {path.name for path in (crawled / "out" / "quarantine").iterdir()}


@pytest.mark.parametrize(
    ("path", "cause", "detail", "last_words"),
    [
        ("/hang", "timeout", "ran past its deadline of 1 s", ""),
        ("/segfault", "crash", "was killed by SIGSEGV", "Fatal Python error: Segmentation fault"),
        ("/kill", "crash", "was killed by SIGKILL", ""),
        ("/hog", "memory", "took too much memory: RSS ", ""),
    ],
)
def test_a_case_says_what_happened_where_and_in_what_surroundings(
    path: str, cause: str, detail: str, last_words: str, crawled: Path
) -> None:
    line = errors(crawled)[path]["detail"]
    case = load(crawled / "out" / "quarantine" / line.partition("crawl repro ")[2])
    assert case.page.url.endswith(path)
    assert case.page.body.startswith(f"<p>{PAGES[path]}".encode())
    assert (case.cause, case.stage) == (cause, "broken_stages:breaks")
    assert detail in case.detail.splitlines()[0]
    assert last_words in case.detail
    assert "; stage: broken_stages:breaks; " in line
    assert (case.page_timeout, case.memory) == (1.0, 150 << 20)
    assert case.options.stages == ("broken_stages:breaks",)
    assert case.environment["python"] == sys.version.split()[0]
    assert case.environment == environment()


@pytest.mark.parametrize(
    ("path", "result", "trace"),
    [
        ("/hang", "did not end within 1 s", "Timeout (0:00:01)!"),
        ("/segfault", "was killed by SIGSEGV", "Fatal Python error: Segmentation fault"),
        ("/kill", "was killed by SIGKILL", ""),
        ("/hog", "MiB, above its 150 MiB, and was ended", "Fatal Python error: Aborted"),
    ],
)
def test_repro_shows_the_stage_and_the_stack(path: str, result: str, trace: str, crawled: Path) -> None:
    case = errors(crawled)[path]["detail"].partition("crawl repro ")[2]
    shown = crawl("repro", case, folder=crawled)
    assert shown.returncode == 3, shown
    lines = shown.stdout.splitlines()
    assert any(line.startswith("page ") and line.split()[1].endswith(path) for line in lines)
    assert any(re.fullmatch(r"  verify +\d+\.\d ms +\d+ MiB", line) for line in lines), "the stages before it ended"
    assert any(line.startswith(f"  {'broken_stages:breaks':30}  did not end") for line in lines)
    assert any(line.startswith("result ") and result in line and "in broken_stages:breaks" in line for line in lines)
    assert trace in shown.stdout
    if trace:
        assert 'broken_stages.py", line' in shown.stdout, "the line that hangs"
    assert {"versions  as then", "stage     broken_stages:breaks", "memory    150 MiB at most"} <= {*lines}


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


def test_a_size_that_nobody_saw_in_time_is_told_at_the_end(
    crawled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel keeps the largest size of each step; how often the sandbox is looked at does not matter."""
    case = errors(crawled)["/hog"]["detail"].partition("crawl repro ")[2]
    (tmp_path / "broken_stages.py").write_text("def breaks(doc):\n    len(b'x' * (200 << 20))\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    monkeypatch.setattr("crawler.quarantine.run.WATCH_SECONDS", 30.0)  # else it is seen now and then
    found = run(crawled / "out" / "quarantine" / case, 10.0, 150 << 20)
    assert found.trouble is not None
    assert re.fullmatch(
        r"came to its end, but took 2\d\d MiB in broken_stages:breaks, above its 150 MiB", found.trouble
    )
    sizes = {step["step"]: step["peak_rss"] >> 20 for step in found.steps}
    assert sizes["broken_stages:breaks"] > 200
    assert max(size for step, size in sizes.items() if step != "broken_stages:breaks") < 100, "each for itself"
    assert run(crawled / "out" / "quarantine" / case, 10.0, None).trouble is None


def test_the_time_of_the_page_does_not_run_while_its_stages_are_built(
    crawled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = crawled / "out" / "quarantine" / errors(crawled)["/kill"]["detail"].partition("crawl repro ")[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    (tmp_path / "broken_stages.py").write_text("import time\ntime.sleep(1)\ndef breaks(doc): ...\n")
    assert run(case, 0.5, None).trouble is None
    (tmp_path / "broken_stages.py").write_text("sum(iter(int, 1))\n")
    monkeypatch.setattr("crawler.quarantine.run.WARM_UP_SECONDS", 0.5)  # nobody waits for two minutes
    monkeypatch.setattr("crawler.quarantine.run.GRACE_SECONDS", 0.5)
    assert run(case, 0.5, None).trouble == "did not end within 0.5 s, and was killed, in build"


@pytest.mark.parametrize("memory", [None, 100 << 20])
def test_the_sandbox_bounds_memory(memory: int | None) -> None:
    most = MAX_ADDRESS_SPACE if memory is None else 4 * memory + (1 << 30)
    code = (
        "import resource; from crawler.quarantine.sandbox import _limit\n"
        f"_limit(1.0, {memory}); assert resource.getrlimit(resource.RLIMIT_AS)[0] <= {most}\n"
        f"try: bytearray({most})\nexcept MemoryError: print('bounded')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "bounded\n", done.stderr


def test_a_stage_writes_no_file_in_the_sandbox(crawled: Path, tmp_path: Path) -> None:
    case = crawled / "out" / "quarantine" / errors(crawled)["/kill"]["detail"].partition("crawl repro ")[2]
    target = tmp_path / "written"
    (tmp_path / "broken_stages.py").write_text(
        f"import pathlib\ndef breaks(doc):\n    pathlib.Path({str(target)!r}).write_bytes(b'x')\n"
    )
    shown = subprocess.run(
        [*CRAWL, "repro", str(case)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert shown.returncode == 3, shown
    assert "OSError: [Errno 27] File too large" in shown.stdout
    assert target.read_bytes() == b""
