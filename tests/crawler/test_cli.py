"""What the command says, to whom, and that its surroundings do not break it: cron, closed pipes, no terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import crawler
from crawler.cli import main
from crawler.errors import ExitCode
from tests.support.command import CRAWL, ROOT, Job, MakeJob, Ran, Site, end_of

LINE = re.compile(r"crawl: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ( [a-z_]+=\S+)+")


def command(*arguments: str) -> Ran:
    done = subprocess.run([*CRAWL, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    return Ran(done.returncode, done.stdout, done.stderr, 0.0)


def test_help_names_every_command_and_exit_code() -> None:
    ran = command("--help")
    assert ran.code == 0
    assert ran.err == ""
    for code in ExitCode:
        assert re.search(rf"^ +{int(code)}  \w", ran.out, re.MULTILINE), code
    for sister in ("check", "demo", "schema"):
        assert f"crawl {sister}" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


def test_version() -> None:
    assert command("--version").out == f"crawlmill {crawler.__version__}\n"


def test_no_arguments_is_a_mistake_that_shows_the_usage() -> None:
    ran = command()
    assert ran.code == 2
    assert "usage: crawl" in ran.err
    assert ran.out == ""


def test_check_says_fine_and_touches_nothing(make_job: MakeJob, site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    job = make_job(site)
    assert main(["check", str(job.config)]) == 0
    assert capfd.readouterr().out == f"{job.config}: fine; 1 seed, output in {job.out}\n"
    assert not job.out.exists()


def test_check_finds_a_stage_that_is_not_there(
    make_job: MakeJob, site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    job = make_job(site, parse={"stages": ["no_such_module:stage"]})
    assert main(["check", str(job.config)]) == 2
    assert "no_such_module" in capfd.readouterr().err


def test_check_takes_overrides(make_job: MakeJob, site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    job = make_job(site)
    assert main(["check", str(job.config), "--set", "fetch.concurrency=-1"]) == 2
    assert "--set: fetch.concurrency" in capfd.readouterr().err


def test_schema_is_json_and_a_reader_may_leave_early() -> None:
    schema = json.loads(command("schema").out)
    assert "fetch" in schema["properties"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*CRAWL, "schema"], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=20, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_overrides_reach_the_crawl(make_job: MakeJob, site: Site) -> None:
    job = make_job(site)
    where = job.folder / 'a "strange" \\ place\x7f'
    ran = job.run("--set", "job.max_pages=7", "--max-pages", "9", "--out", str(where), "--max-time", "1m")
    assert ran.code == 4
    assert len((where / "pages.jsonl").read_bytes().splitlines()) == 9
    assert "\x7f" not in ran.out, "the path is shown escaped"
    assert "place\\x7f/pages.jsonl" in ran.out
    assert not job.out.exists()


def test_out_is_seen_from_where_it_was_typed(make_job: MakeJob, site: Site) -> None:
    job = make_job(site)
    here = job.folder / "elsewhere"
    here.mkdir()
    assert job.run("--out", "results", "--max-pages", "3", "-q", cwd=here).code == 4
    assert (here / "results" / "pages.jsonl").exists()


def test_progress_goes_to_stderr_and_the_result_to_stdout(make_job: MakeJob, slow_site: Site) -> None:
    job = make_job(slow_site, report={"interval": "300ms"})
    ran = job.run()
    assert ran.code == 0
    lines = ran.err.splitlines()
    assert 1 <= len(lines) <= ran.seconds / 0.3 + 1
    for line in lines:
        assert LINE.fullmatch(line), line
        assert line.isprintable()
    facts = dict(fact.split("=", 1) for fact in lines[-1].split()[2:])
    assert 0 < int(facts["done"]) <= 300
    assert facts["workers"].endswith("/1")
    assert float(facts["pages_per_s"]) > 10
    assert 20 < float(facts["memory"].removesuffix("MB")) < 2000
    assert ran.out.startswith("crawl: complete after ")
    assert re.search(r"^pages +300$", ran.out, re.MULTILINE)
    for name in ("pages.jsonl", "errors.jsonl", "skipped.jsonl", "summary.json"):
        assert str(job.out / name) in ran.out
    assert all(line.isprintable() for line in ran.out.splitlines())


def test_a_short_crawl_says_only_what_came_of_it(make_job: MakeJob, site: Site) -> None:
    ran = make_job(site).run("--max-pages", "5")
    assert ran.err == ""
    assert ran.out


def test_quiet_says_nothing(make_job: MakeJob, site: Site) -> None:
    job = make_job(site, report={"interval": "10ms"})
    ran = job.run("--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_warnings_of_the_config_are_said_and_silenced(make_job: MakeJob, site: Site) -> None:
    job = make_job(site, fetch={"verify_tls": False})
    assert command("check", str(job.config)).err.startswith("crawl: warning: fetch.verify_tls")
    assert job.run("--max-pages", "4", "-q").err == ""


@pytest.mark.parametrize("gone", ["stdout", "both"])
def test_readers_that_have_gone_change_nothing(gone: str, make_job: MakeJob, site: Site) -> None:
    """`crawl ... | head`, and a log collector that died."""
    job = make_job(site, report={"interval": "20ms"})
    read, write = os.pipe()
    os.close(read)
    pipes: dict[str, Any] = {name: write for name in ("stdout", "stderr") if gone in (name, "both")}
    process = job.start(**pipes)
    os.close(write)
    ran = end_of(process)
    assert ran.code == 0
    assert "Exception" not in ran.err
    assert len(job.records()) == 300
    assert job.summary()["exit_code"] == 0


def test_a_reader_that_stands_still_holds_up_nothing(make_job: MakeJob, site: Site) -> None:
    """A terminal after Ctrl-S, a pager that waits: the pipe is full and stays so."""
    job = make_job(site, report={"interval": "10ms"})
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 65536)
    os.set_blocking(write, True)
    process = job.start(stderr=write)
    ran = end_of(process)
    os.close(read)
    os.close(write)
    assert ran.code == 0
    assert len(job.records()) == 300


def test_closed_descriptors_do_not_become_files_of_ours(make_job: MakeJob, site: Site) -> None:
    """Without 0, 1 and 2 the next file opened gets such a number: a message would be written into the state."""
    job = make_job(site, report={"interval": "10ms"})

    def close() -> None:
        for fd in (0, 1, 2):
            os.close(fd)

    ran = job.run(preexec_fn=close)
    assert ran.code == 0
    assert len(job.records()) == 300
    assert job.run(preexec_fn=close).code == 0


def test_cron(make_job: MakeJob, site: Site) -> None:
    """No HOME, no terminal, the C locale, a strict umask, stdin closed, a directory of one's own."""
    job = make_job(site, report={"interval": "50ms"}, job={"out": "ergebnis-ä"})
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "SHELL": "/bin/sh"}

    def as_cron_does() -> None:
        os.umask(0o077)
        os.close(0)

    ran = job.run(env=environ, preexec_fn=as_cron_does, cwd="/")
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    assert "\x1b" not in ran.err + ran.out
    out = job.folder / "ergebnis-ä"
    assert len((out / "pages.jsonl").read_bytes().splitlines()) == 300
    modes = {path.name: path.stat().st_mode & 0o777 for path in out.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_what_the_encoding_cannot_say_is_escaped(make_job: MakeJob, site: Site) -> None:
    job = make_job(site, job={"out": "ergebnis-ä"})
    ran = job.run("--max-pages", "3", env={**os.environ, "PYTHONIOENCODING": "ascii:strict"})
    assert ran.code == 4
    assert "ergebnis-\\xe4/pages.jsonl" in ran.out


def test_on_asyncios_own_loop_too(make_job: MakeJob, site: Site) -> None:
    assert make_job(site, fetch={"uvloop": False}).run("-q").code == 0


@pytest.mark.parametrize(("has_uvloop", "is_wanted"), [(True, True), (True, False), (False, True)])
def test_the_event_loop_is_the_one_that_is_configured(
    has_uvloop: bool, is_wanted: bool, make_job: MakeJob, site: Site
) -> None:
    """And asyncio's own where there is no uvloop, without a word: it does the same, slower."""
    absent = "" if has_uvloop else "sys.modules['uvloop'] = None\n"
    look = f"""
import asyncio, sys
{absent}run = asyncio.Runner.run
def looked(self, *args, **kwargs):
    print(type(self.get_loop()).__module__, file=sys.stderr)
    return run(self, *args, **kwargs)
asyncio.Runner.run = looked
"""
    job = make_job(site, fetch={"uvloop": is_wanted})
    ran = end_of(job.start("-q", "--max-pages", "1", sabotage=look), 20)
    assert ran.code == 4
    assert ran.err.split() == ["uvloop" if has_uvloop and is_wanted else "asyncio.unix_events"]


def test_nothing_heavy_is_loaded_before_the_workers_are_started(make_job: MakeJob, site: Site) -> None:
    """A whole crawl takes less than a second, and the workers load their own libraries meanwhile."""
    look = """
import sys
from pipelines.pool.pool import WorkerPool
start = WorkerPool.start
def looked(self):
    for name in ("aiohttp", "asyncio", "rich", "uvloop", "aiofiles", "crawler.engine.crawl"):
        if name in sys.modules:
            print("already there:", name, file=sys.stderr)
    return start(self)
WorkerPool.start = looked
"""
    job = make_job(site)
    (job.folder / "look.py").write_text(look)
    program = "import look; from crawler.cli import main; main()"
    environ = {**os.environ, "PYTHONPATH": f"{job.folder}:{ROOT}"}
    argv = [sys.executable, "-X", "importtime", "-c", program, str(job.config), "--plain"]
    done = subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0
    assert "already there" not in done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "aiohttp" in loaded
    assert not any(name.split(".")[0] == "rich" for name in loaded), "no terminal, no rich"


class TestDemoRun:
    """`crawl demo --run COMMAND`: what `make crawl` is made of."""

    def test_crawls_it_and_ends_as_the_command_ends(self, tmp_path: Path) -> None:
        port = free_port()
        job = Job(tmp_path, f"http://127.0.0.1:{port}/")
        crawl = [*CRAWL, str(job.config), "--max-pages", "10"]
        ran = command("demo", "--port", str(port), "--pages", "20", "--plain", "--run", *crawl)
        assert ran.code == 4, ran
        assert ran.out.startswith("serving http://127.0.0.1:")
        assert len(job.records()) == 10

    @pytest.mark.parametrize(
        ("run", "code", "said"),
        [
            (["sh", "-c", "exit 7"], 7, ""),
            (["sh", "-c", "kill -KILL $$"], 137, ""),
            (["no-such-command"], 127, "no-such-command: No such file"),
            ([], 2, "expected a command"),
        ],
    )
    def test_exit_codes(self, run: list[str], code: int, said: str) -> None:
        ran = command("demo", "--port", "0", "--pages", "5", "--run", *run)
        assert ran.code == code
        assert said in ran.out


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
