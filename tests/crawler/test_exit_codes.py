"""Every exit code of `crawl`, each by the real command in the real situation, and that the state lives through it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from crawler.errors import ExitCode
from crawler.progress.codes import MEANING
from tests.support.command import CRAWL, ROOT, MakeJob, Record, Site, end_of, until


def test_0_everything_was_crawled(make_job: MakeJob, site: Site) -> None:
    job = make_job(site)
    ran = job.run()
    assert ran.code == 0
    assert job.summary()["ended"] == "complete"
    assert "exit code 0: complete" in ran.out
    assert len(job.records()) == 300


def test_0_again_when_nothing_is_left_to_do(make_job: MakeJob, site: Site) -> None:
    job = make_job(site, scope={"max_pages_per_host": 5})
    assert job.run().code == 0
    before = job.records()
    # A limit that is reached exactly is no reason to say that work is left.
    ran = job.run("--max-pages", str(len(before)))
    assert ran.code == 0
    assert job.summary()["run"]["requests"] == 0
    assert job.records() == before


def test_1_a_bug_in_the_engine_and_the_state_survives_it(
    make_job: MakeJob, slow_site: Site, undisturbed: list[Record]
) -> None:
    job = make_job(slow_site)
    bug = """
from crawler.frontier.frontier import Frontier
next, steps = Frontier.next, [0]
def broken(self, now):
    steps[0] += 1
    if steps[0] > 150:
        raise ZeroDivisionError("a bug with \\x1b]0;a title\\x07 in its message")
    return next(self, now)
Frontier.next = broken
"""
    ran = job.run("--plain", sabotage=bug)
    assert ran.code == 1
    assert "Traceback" in ran.err
    assert "ZeroDivisionError: a bug with \\x1b]0;a title\\x07" in ran.err
    assert "\x1b" not in ran.err
    assert "internal error" in ran.err
    (job.folder / "sitecustomize.py").unlink()
    assert job.run().code == 0
    assert job.records() == undisturbed


def test_1_a_bug_on_one_page_costs_that_page_and_is_not_hidden(make_job: MakeJob, site: Site) -> None:
    job = make_job(site)
    bug = """
from crawler.fetch.fetcher import Fetcher
fetch = Fetcher.fetch
async def broken(self, request, *rest):
    if request.id == 7:
        raise LookupError("no such thing")
    return await fetch(self, request, *rest)
Fetcher.fetch = broken
"""
    ran = job.run("--quiet", sabotage=bug)
    assert ran.code == 1
    assert "LookupError: no such thing" in ran.err, "errors are shown although --quiet"
    assert job.summary()["failed_by_reason"] == {"internal": 1}
    assert job.summary()["done"] > 200


def test_2_a_typo_is_named_with_its_line_and_what_was_meant(make_job: MakeJob, site: Site) -> None:
    job = make_job(site, fetch={"concurency": 10}, politeness={"delay": "fast"})
    ran = job.run()
    assert ran.code == 2
    text = job.config.read_text().splitlines()
    typo, other = (next(n for n, line in enumerate(text, 1) if line.startswith(key)) for key in ("concur", "delay"))
    lines = ran.err.splitlines()
    assert len(lines) == 2, "both problems at once, one line each"
    assert lines[0].startswith(f"{job.config}:{typo}: fetch.concurency: ")
    assert "fetch.concurrency" in lines[0], "the remedy"
    assert lines[1].startswith(f"{job.config}:{other}: politeness.delay: ")
    assert '"fast"' in lines[1], "the value"
    assert not job.out.exists(), "nothing was touched"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-pages", "many"], "--max-pages"),
        (["--max-time", "soon"], "job.max_time"),
        (["--set", "fetch.concurrency=0"], "--set: fetch.concurrency"),
        (["--set", "nonsense"], "expected section.key=value"),
        (["--no-such-option"], "--no-such-option"),
        (["another.toml"], "another.toml"),
    ],
)
def test_2_wrong_arguments(arguments: list[str], message: str, make_job: MakeJob, site: Site) -> None:
    job = make_job(site)
    ran = job.run(*arguments)
    assert ran.code == 2
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert not job.out.exists()


def test_2_no_such_file(make_job: MakeJob, site: Site) -> None:
    job = make_job(site)
    job.config.unlink()
    ran = job.run()
    assert ran.code == 2
    assert f"{job.config}: no such file" in ran.err


def test_2_another_scope_in_the_same_directory(make_job: MakeJob, site: Site) -> None:
    job = make_job(site)
    assert job.run("--max-pages", "10").code == 4
    ran = job.run("--set", "scope.max_depth=1")
    assert ran.code == 2
    assert "--accept-changes" in ran.err
    assert job.run("--set", "scope.max_depth=1", "--accept-changes", "-q").code == 0


def test_3_most_pages_failed(make_job: MakeJob, site: Site) -> None:
    gone = [f"{site.url}gone/{number}" for number in range(9)]
    job = make_job(site, job={"seeds": [site.url, *gone]}, scope={"max_depth": 0})
    ran = job.run()
    assert ran.code == 3
    assert job.summary()["failed_by_reason"] == {"http_4xx": 9}
    assert "http_4xx" in ran.out
    assert "job.max_failed_ratio" in ran.out
    assert job.run("--set", "job.max_failed_ratio=0.95").code == 0, "the threshold is the user's"


def test_4_a_limit_and_the_rest_later(make_job: MakeJob, slow_site: Site, undisturbed: list[Record]) -> None:
    job = make_job(slow_site)
    ran = job.run("--max-pages", "100")
    assert ran.code == 4
    assert len(job.records()) == 100
    assert job.summary()["pending"] > 0
    assert "with a higher limit" in ran.out
    assert job.run().code == 0
    assert job.records() == undisturbed


def test_4_out_of_time(make_job: MakeJob, slow_site: Site) -> None:
    job = make_job(slow_site)
    assert job.run("--max-time", "300ms").code == 4
    assert 0 < len(job.records()) < 300


def test_5_another_run_holds_the_directory(make_job: MakeJob, slow_site: Site) -> None:
    job = make_job(slow_site)
    first = job.start()
    until(lambda: (job.out / ".lock").exists() and (job.out / ".lock").stat().st_size > 0, 10, "the lock")
    began = time.monotonic()
    second = job.run()
    assert time.monotonic() - began < 2
    assert second.code == 5
    assert f"pid {first.pid}" in second.err
    assert str(job.out / ".lock") in second.err
    assert second.out == ""
    assert end_of(first).code == 0, "the first one never noticed"
    assert len(job.records()) == 300


def test_6_a_full_disk_and_on_with_room(make_job: MakeJob, slow_site: Site, undisturbed: list[Record]) -> None:
    """RLIMIT_FSIZE is a disk that is full for this process: writes beyond it fail with EFBIG."""
    job = make_job(slow_site)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    ran = job.run("--plain", preexec_fn=limit)
    assert ran.code == 6
    assert "Traceback" not in ran.err
    assert "run the same command again" in ran.err
    assert job.run().code == 0
    assert job.records() == undisturbed


def test_6_a_state_that_is_none(make_job: MakeJob, site: Site) -> None:
    job = make_job(site)
    job.out.mkdir()
    (job.out / "state.sqlite3").write_bytes(b"no database at all \x1b[31m" * 1000)
    ran = job.run()
    assert ran.code == 6
    assert "state.sqlite3" in ran.err
    assert "Traceback" not in ran.err
    assert ran.seconds < 3


def test_6_records_that_were_lost(make_job: MakeJob, site: Site) -> None:
    job = make_job(site)
    assert job.run("--max-pages", "50").code == 4
    (job.out / "pages.jsonl").write_bytes(b"")
    ran = job.run()
    assert ran.code == 6
    assert "pages.jsonl" in ran.err


def test_6_no_directory_to_be_had(make_job: MakeJob, site: Site) -> None:
    job = make_job(site)
    job.out.write_text("a file")
    ran = job.run()
    assert ran.code == 6
    assert str(job.out) in ran.err
    assert "Traceback" not in ran.err


def test_6_a_result_that_could_not_be_written(make_job: MakeJob, site: Site) -> None:
    """A report on a full disk is no report. What was crawled is there all the same."""
    job = make_job(site)
    with Path("/dev/full").open("w") as full:
        ran = end_of(job.start(stdout=full))
    assert ran.code == 6
    assert ran.err.splitlines()[-1] == "crawl: stdout: No space left on device"
    assert job.summary()["exit_code"] == 0
    assert len(job.records()) == 300
    assert job.run().code == 0, "nothing was left to do"


@pytest.mark.parametrize("arguments", [["schema"], ["check"], ["--help"], ["--version"]])
def test_6_whatever_the_result_is(arguments: list[str], make_job: MakeJob, site: Site) -> None:
    config = [str(make_job(site).config)] if arguments == ["check"] else []
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:  # of what is not buffered argparse itself swallows the error
        done = subprocess.run(
            [*CRAWL, *arguments, *config], cwd=ROOT, env=environ, stdout=full, stderr=subprocess.PIPE, timeout=20,
            check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (6, b"crawl: stdout: No space left on device\n")


def test_4_stays_4_without_its_result(make_job: MakeJob, site: Site) -> None:
    """What is left to do is the greater news; that the result is lost is said."""
    job = make_job(site)
    with Path("/dev/full").open("w") as full:
        ran = end_of(job.start("--max-pages", "5", stdout=full))
    assert (ran.code, ran.err) == (4, "crawl: stdout: No space left on device\n")


def test_each_code_has_its_meaning() -> None:
    """130 and 143 have a file of their own, test_signals.py."""
    assert set(MEANING) == set(ExitCode)
