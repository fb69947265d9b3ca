"""The examples run as they are, and do what they say."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from crawler.config import load
from crawler.demo.server import DemoServer
from crawler.demo.site import Demo
from crawler.errors import ExitCode
from pipelines.page import Page
from pipelines.pipeline import Pipeline, PipelineSpec, StageOptions
from tests.support.served import ROOT, environment, served, write_config

EXAMPLES = ROOT / "examples"
PAGES = 60


@pytest.fixture(scope="module")
def site() -> Iterator[DemoServer]:
    """Sixty pages and nothing else: a complete crawl has sixty records."""
    with served(Demo(pages=PAGES, cases=False, crawl_delay_seconds=0, page_bytes=1500)) as server:
        yield server


@pytest.fixture(scope="module")
def files() -> Iterator[DemoServer]:
    """Files whose digests are those of the manifest of the mirror."""
    with served(Demo(pages=4, hosts=1, downloads=True)) as server:
        yield server


def run(folder: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, away from the checkout."""
    env = {**environment(folder), **environ}
    return subprocess.run(command, cwd=folder, env=env, timeout=30, check=False, capture_output=True, text=True)


def example(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts; a warning is an error."""
    return run(folder, sys.executable, "-W", "error", str(EXAMPLES / name), *arguments)


def records(out: Path) -> list[dict[str, Any]]:
    """Return the records of a finished crawl."""
    return [orjson.loads(line) for line in (out / "pages.jsonl").read_bytes().splitlines()]


def test_every_example_is_listed_and_tested() -> None:
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    for path in EXAMPLES.iterdir():
        if path.suffix in (".py", ".sh", ".toml"):
            assert f"]({path.name})" in listed
            assert f'"{path.name}"' in tests


def test_embed_stops_when_it_has_enough_and_goes_on_later(site: DemoServer, tmp_path: Path) -> None:
    config = write_config(tmp_path, site.url)
    ran = example(tmp_path, "embed.py", str(config), "5")
    assert ran.returncode == 0, ran.stderr
    shown = dict(line.split("  ", 1) for line in ran.stdout.splitlines())
    assert len(shown) == 5
    kept = {record["url"]: record["title"] for record in records(tmp_path / "out")}
    assert shown.items() <= kept.items(), "what was shown is durable"
    again = example(tmp_path, "embed.py", str(config), "1000")
    assert again.returncode == 0, again.stderr
    later = {line.split("  ", 1)[0] for line in again.stdout.splitlines()}
    assert later == {record["url"] for record in records(tmp_path / "out")} - kept.keys(), "each run shows its own"
    assert len(records(tmp_path / "out")) == PAGES


def test_blocking_says_how_it_ended(site: DemoServer, tmp_path: Path) -> None:
    config = write_config(tmp_path, site.url)
    ran = example(tmp_path, "blocking.py", str(config), "job.max_pages=10")
    assert ran.returncode == ExitCode.LIMIT, ran.stderr
    assert ran.stdout.startswith("limit: 10 pages, 0 redirects, ")
    ran = example(tmp_path, "blocking.py", str(config))
    assert ran.returncode == ExitCode.COMPLETE, ran.stderr
    assert ran.stdout == f"complete: {PAGES} pages, 0 redirects, 0 to go\n"
    ran = example(tmp_path, "blocking.py", str(config), "fetch.concurency=1")
    assert ran.returncode == ExitCode.USAGE
    assert "fetch.concurrency" in ran.stderr


def test_two_crawls_share_their_workers(site: DemoServer, tmp_path: Path) -> None:
    names = ["one.toml", "two.toml"]
    for name in names:
        write_config(tmp_path, site.url, name, out=name.removesuffix(".toml"))
    ran = example(tmp_path, "two_crawls.py", *names)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [f"{name}: complete, {PAGES} pages" for name in names]
    one, two = (sorted(record["sha256"] for record in records(tmp_path / name)) for name in ("one", "two"))
    assert one == two


SHOP = {
    "index.html": '<title>Shop</title><a href="tea.html">Tea</a> <a href="cup.html">Cup</a> <a href="odd.html">Odd</a>',
    "tea.html": '<title>Tea</title><b itemprop="price">9.50</b><meta itemprop="priceCurrency" content="EUR">',
    "cup.html": '<title>Cup</title><meta itemprop="price" content="12">',
    "odd.html": '<title>Odd</title><b itemprop="price">ask us</b>',
}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[str]:
    """A shop, served by the standard library; its URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    folder = tmp_path / "shop-files"
    folder.mkdir()
    for name, text in SHOP.items():
        (folder / name).write_text(f"<!doctype html>{text}")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_own_stage_puts_prices_into_the_records(shop: str, tmp_path: Path) -> None:
    overrides = (f'job.seeds=["{shop}"]', "fetch.allow_addresses=['127.0.0.0/8']", "politeness.delay=0s")
    options = [word for override in overrides for word in ("--set", override)]
    path = f"{ROOT}:{EXAMPLES}"
    ran = run(
        tmp_path, "crawl", "--quiet", "--out", "shop", *options, str(EXAMPLES / "own_stage.toml"), PYTHONPATH=path
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = {
        record["title"]: (record["price"], record["currency"], record["flags"]) for record in records(tmp_path / "shop")
    }
    assert {title: row[:2] for title, row in found.items()} == {
        "Shop": (None, None), "Tea": (9.5, "EUR"), "Cup": (12.0, None), "Odd": (None, None),
    }  # fmt: skip
    assert [title for title, row in found.items() if "price_unreadable" in row[2]] == ["Odd"]


def test_own_stage_survives_what_is_no_html(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "own_stage.py" is called for every page, pictures included."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    stages = tuple(tomllib.loads((EXAMPLES / "own_stage.toml").read_text())["parse"]["stages"])
    page = Page(0, "https://shop.example/a.png", 200, (("content-type", "image/png"),), b"\x89PNG\r\n\x1a\n", "")
    result = Pipeline(PipelineSpec(options=StageOptions(stages=stages))).process(page)
    assert orjson.loads(result.line)["price"] is None


def test_the_config_of_own_stage_is_one() -> None:
    assert load(EXAMPLES / "own_stage.toml").parse.stages == ("own_stage:price",)


def test_local_files_become_records(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    (folder / "deep" / "er").mkdir(parents=True)
    for number in range(40):
        where = folder / "deep" / "er" if number % 2 else folder
        (where / f"{number}.html").write_text(
            f"<title>Page {number}</title><p>text {number} <a href='other.html'>x</a>"
        )
    (folder / "latin.html").write_bytes(b"<meta charset=iso-8859-1><title>caf\xe9</title>")
    (folder / "notes.txt").write_text("not HTML")
    ran = example(tmp_path, "local_files.py", "files")
    assert ran.returncode == 0, ran.stderr
    made = [orjson.loads(line) for line in ran.stdout.splitlines()]
    assert {record["title"] for record in made} == {f"Page {n}" for n in range(40)} | {"café"}
    assert all(record["complete"] and record["url"].startswith("file://") for record in made)
    assert ran.stderr == ""


class TestCron:
    """ "cron.sh" with a PATH and nothing else, as cron has it."""

    def night(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(folder, str(EXAMPLES / "cron.sh"), str(folder / "site.toml"), "crawls", *arguments)

    def test_a_finished_crawl_is_moved_aside_and_the_next_begins_anew(self, site: DemoServer, tmp_path: Path) -> None:
        write_config(tmp_path, site.url)
        (tmp_path / "crawls").mkdir()
        for nights in (1, 2):
            ran = self.night(tmp_path)
            assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
            finished = sorted((tmp_path / "crawls").iterdir())
            assert len(finished) == nights
            assert [len(records(folder)) for folder in finished] == [PAGES] * nights

    def test_an_unfinished_one_goes_on(self, site: DemoServer, tmp_path: Path) -> None:
        config = write_config(tmp_path, site.url)
        text = config.read_text()
        config.write_text(text.replace("[scope]", "max_pages = 20\n[scope]"))
        ran = self.night(tmp_path)
        assert (ran.returncode, ran.stderr) == (0, ""), "a limit is no trouble"
        current = tmp_path / "crawls" / "current"
        first = records(current)
        assert 0 < len(first) <= 20
        config.write_text(text)
        assert self.night(tmp_path).returncode == 0
        assert not current.exists()
        (finished,) = (tmp_path / "crawls").iterdir()
        assert records(finished)[: len(first)] == first

    def test_a_run_that_is_still_going_is_left_alone(self, site: DemoServer, tmp_path: Path) -> None:
        write_config(tmp_path, site.url)
        current = tmp_path / "crawls" / "current"
        current.mkdir(parents=True)
        with (current / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            ran = self.night(tmp_path)
        assert ran.returncode == 0
        assert current.exists()
        assert not (current / "pages.jsonl").exists()

    def test_trouble_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "site.toml").write_text("[job]\nsedes = []\n")
        ran = self.night(tmp_path)
        assert ran.returncode == ExitCode.USAGE
        assert "job.seeds" in ran.stderr


WORKERS = [
    ("gather.py", [f"{count} primes below {limit}" for limit, count in (
        (200_000, 17_984), (300_000, 25_997), (400_000, 33_860), (500_000, 41_538),
    )] + ["the loop went on meanwhile"]),
    ("imap_unordered.py", [
        "13: ValueError: 13 is not to be squared", "17: WorkerCrashed: ", f"the others add up to {332_833_500 - 458}",
    ]),
    ("worker_loop.py", ["one: 171", "three: 173", "seven: 173", "eleven: 174"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), WORKERS, ids=[name for name, _ in WORKERS])
def test_what_workers_compute_is_right(name: str, expected: list[str], tmp_path: Path) -> None:
    ran = example(tmp_path, name)
    assert ran.returncode == 0, ran.stderr
    found = sorted(ran.stdout.splitlines()) if name == "imap_unordered.py" else ran.stdout.splitlines()
    assert len(found) == len(expected), ran.stdout
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), ran.stdout


def test_as_completed_gives_the_hopeless_one_up_last(tmp_path: Path) -> None:
    ran = example(tmp_path, "as_completed.py")
    assert ran.returncode == 0, ran.stderr
    *primes, hopeless = ran.stdout.splitlines()
    assert sorted(primes) == ["148933 primes below 2000000", "168 primes below 1000", "9592 primes below 100000"]
    assert hopeless.startswith("given up: re.fullmatch ran past its deadline of 1 s")


def test_a_blocking_library_runs_in_threads(tmp_path: Path) -> None:
    assert (EXAMPLES / "cpu_work.py").exists(), '"cpu_work.py" is what the examples of workers compute'
    paths = []
    for number in range(10):
        paths.append(str(tmp_path / f"{number}.bin"))
        Path(paths[-1]).write_bytes(b"%d" % number)
    ran = example(tmp_path, "blocking_library.py", *paths)
    assert ran.returncode == 0, ran.stderr
    digests = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(10)]
    assert ran.stdout.splitlines() == [f"{digest}  {path}" for digest, path in zip(digests, paths, strict=True)]
    assert ran.stderr == "10 files, waited for together\n"


class TestMirror:
    """ "mirror_dataset/mirror.sh", night after night."""

    def night(self, files: DemoServer, folder: Path, *options: str, day: int = 1) -> subprocess.CompletedProcess[str]:
        command = str(EXAMPLES / "mirror_dataset" / "mirror.sh")
        base = files.url + "downloads/"
        allow = ("--allow-address", "127.0.0.0/8", *options)
        environ = {"MIRROR_VERIFY": str(day), "MIRROR_VERIFY_OPTIONS": " ".join(allow[:2])}
        return run(folder, command, str(folder / "SHA256SUMS"), base, str(folder / "data"), *allow, **environ)

    def wrong(self, folder: Path) -> list[str]:
        """Return the lines of the manifest that the mirror does not keep to."""
        lines = (folder / "SHA256SUMS").read_text().splitlines()
        found = []
        for digest, name in (line.split("  ") for line in lines):
            path = folder / "data" / name
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                found.append(name)
        return found

    def test_a_mirror_is_kept_night_after_night(self, files: DemoServer, tmp_path: Path) -> None:
        manifest = tmp_path / "SHA256SUMS"
        manifest.write_text((EXAMPLES / "mirror_dataset" / "SHA256SUMS").read_text())
        ran = self.night(files, tmp_path)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", ""), "quiet, when all is well"
        assert self.wrong(tmp_path) == []
        asked = len(files.log.entries)
        assert self.night(files, tmp_path).returncode == 0
        assert len(files.log.entries) == asked, "what is there and right costs nothing"

        damaged = tmp_path / "data" / "big.bin"
        with damaged.open("r+b") as file:
            file.seek(5_000_000)
            file.write(b"damage")
        assert self.night(files, tmp_path, day=7).returncode == 0
        assert self.wrong(tmp_path) == []
        sent = sum(entry.status == 206 for entry in files.log.entries[asked:])
        assert 0 < sent < 5, "only what was damaged is fetched again"

    def test_a_file_whose_digest_is_another_now_gives_way(self, files: DemoServer, tmp_path: Path) -> None:
        manifest = tmp_path / "SHA256SUMS"
        lines = (EXAMPLES / "mirror_dataset" / "SHA256SUMS").read_text().splitlines(keepends=True)
        manifest.write_text("".join(lines[2:]))
        assert self.night(files, tmp_path).returncode == 0
        manifest.write_text(f"{'0' * 64}  summed.zip\n{lines[3]}")
        ran = self.night(files, tmp_path)
        assert ran.returncode == 3
        assert "summed.zip" in ran.stderr, "somebody should look"
        assert not (tmp_path / "data" / "summed.zip").exists(), "right or absent"
        (old,) = (tmp_path / "data.old").glob("*/summed.zip")
        assert hashlib.sha256(old.read_bytes()).hexdigest() == lines[2][:64]
        manifest.write_text("".join(lines[2:]))
        assert self.night(files, tmp_path).returncode == 0
        assert self.wrong(tmp_path) == []

    def test_a_sunday_is_a_night_like_others(self, files: DemoServer, tmp_path: Path) -> None:
        """The first of all, and one on which a line changed and another went: what gave way is not missed."""
        manifest = tmp_path / "SHA256SUMS"
        lines = (EXAMPLES / "mirror_dataset" / "SHA256SUMS").read_text().splitlines(keepends=True)
        manifest.write_text(lines[2] + lines[3])
        first = self.night(files, tmp_path, day=7)
        assert (first.returncode, first.stderr) == (0, "")
        manifest.write_text(lines[3].replace("  ", " *"))
        (tmp_path / "data.manifest").write_text(f"{'0' * 64} *empty.bin\n{lines[2]}")
        asked = len(files.log.entries)
        second = self.night(files, tmp_path, day=7)
        assert (second.returncode, second.stderr) == (0, "")
        assert (tmp_path / "data.log").read_text() == ""
        assert len(files.log.entries) - asked == 1, "only what the manifest names now"
        assert [path.name for path in (tmp_path / "data").iterdir() if path.is_file()] == ["empty.bin"]
        assert len(list((tmp_path / "data.old").glob("*/*"))) == 2
