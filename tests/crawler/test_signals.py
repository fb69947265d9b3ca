"""A signal ends a crawl when and as its sender means it, in every phase, and the same command goes on from there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from typing import Any, cast

import pytest

from crawler.errors import ExitCode
from crawler.signals import Signals
from tests.support.command import CRAWL, ROOT, Job, MakeJob, Record, Site, Terminal, end_of, until

DRAINING = re.compile(r"crawl: (\S+): draining (\d+) requests, up to 10 s; (.+) stops now")

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}


def in_the_middle(job: Job, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start a crawl and return when it has written records and is far from its end."""
    process = job.start("--plain", *arguments, **options)
    until(job.has_records, 15, "first records")
    return process


@pytest.fixture(scope="module", autouse=True)
def hangups_count() -> Iterator[None]:
    """Under nohup they are ignored, by whatever is started too; a crawl heeds that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def stuck_site() -> Iterator[Site]:
    """A site whose pages do not come."""
    site = Site("--pages", "50", "--delay", "60")
    yield site
    site.close()


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_the_first_signal_drains_and_the_same_command_finishes(
    number: signal.Signals, make_job: MakeJob, slow_site: Site, undisturbed: list[Record]
) -> None:
    job = make_job(slow_site, fetch={"uvloop": number != signal.SIGHUP, "concurrency": 20})  # one on asyncio's own loop
    process = in_the_middle(job)
    process.send_signal(number)
    ran = end_of(process)

    assert ran.code == CODES[number]
    found = DRAINING.search(ran.err)
    assert found, ran.err
    assert found[1] == ("Ctrl-C" if number == signal.SIGINT else number.name)
    assert int(found[2]) > 0
    assert ran.seconds < 2, "what was in flight takes 0.15 s"
    summary = job.summary()
    assert summary["exit_code"] == ran.code
    assert 0 < summary["done"] < 300
    assert summary["pending"] > 0
    assert f"exit code {ran.code}" in ran.out
    assert f"to go on:  crawl {job.config} --plain" in ran.out

    if number != signal.SIGHUP:  # which ends as SIGTERM does
        assert job.run().code == 0
        assert job.records() == undisturbed


def test_a_drain_takes_what_is_in_flight_and_asks_for_nothing_more(make_job: MakeJob, slow_site: Site) -> None:
    job = make_job(slow_site)
    process = in_the_middle(job)
    process.send_signal(signal.SIGINT)
    ran = end_of(process)
    summary = job.summary()
    assert ran.code == 130
    assert summary["run"]["requests"] == summary["done"] + 4, "each request has its record; four were for robots.txt"


def test_the_second_signal_ends_within_a_second(make_job: MakeJob, stuck_site: Site) -> None:
    job = make_job(stuck_site)
    process = job.start()
    until(lambda: (job.out / "pages.jsonl").exists(), 10, "an open state")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.4)  # the page in flight does not come, so the drain goes on
    process.send_signal(signal.SIGTERM)
    ran = end_of(process)
    assert ran.code == 130, "the first signal says why"
    assert ran.seconds < 1.5, "1 s, and time to wake up on a busy machine"
    assert "stopping now" in ran.err


def test_a_signal_sent_twice_at_once_is_one(make_job: MakeJob, slow_site: Site) -> None:
    """timeout(1) signals its child and then the group the child is in; a terminal that closes hangs up twice."""
    job = make_job(slow_site)
    process = in_the_middle(job)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    ran = end_of(process)
    assert ran.code == 143
    assert "draining" in ran.err
    assert "stopping now" not in ran.err
    summary = job.summary()
    assert summary["run"]["requests"] == summary["done"] + 4, "drained, not cut off"


def test_a_disk_that_hangs_does_not_outlive_the_second_signal(
    make_job: MakeJob, slow_site: Site, undisturbed: list[Record]
) -> None:
    job = make_job(slow_site)
    hanging = """
import time
from crawler.store.outputs import Outputs
write = Outputs.write
def hang(self):
    if self._files["pages"].lines > 50:
        time.sleep(60)
    return write(self)
Outputs.write = hang
"""
    process = in_the_middle(job, sabotage=hanging)
    time.sleep(0.4)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    ran = end_of(process)
    assert ran.code == 143
    assert ran.seconds < 1.5
    assert job.run().code == 0
    assert job.records() == undisturbed


def test_signals_at_any_instant_of_the_start_leave_nothing_behind(make_job: MakeJob, slow_site: Site) -> None:
    job = make_job(slow_site)
    for turn, instant in enumerate((0.0, 0.06, 0.12, 0.2, 0.3, 0.45)):
        number = (signal.SIGINT, signal.SIGTERM)[turn % 2]
        process = job.start()
        # Before main() runs, the interpreter itself answers a signal; there is nothing of ours to be seen to yet.
        until(lambda: _handles(process.pid), 5, "the handlers")  # noqa: B023  # called in this turn
        time.sleep(instant)
        process.send_signal(number)
        ran = end_of(process)
        assert ran.code == CODES[number], (instant, ran)
        assert "Traceback" not in ran.err, (instant, ran.err)
        assert ran.seconds < 2, instant
    assert job.run().code == 0
    assert job.summary()["done"] == 300


@pytest.mark.parametrize("command", [["crawl.toml"], ["download", "http://127.0.0.1:9/file"], ["check", "crawl.toml"]])
def test_a_signal_while_a_library_is_loading_raises_nothing_in_it(
    command: list[str], make_job: MakeJob, slow_site: Site
) -> None:
    """Not every library outlives an exception there: orjson ended in a segmentation fault."""
    sabotage = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in ("crawler.config", "crawler.download"):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except BaseException as exc:
                raise RuntimeError("wrapped") from exc
sys.meta_path.insert(0, Finder())
"""
    job = make_job(slow_site)
    (job.folder / "sitecustomize.py").write_text(sabotage)
    process = subprocess.Popen(
        [*CRAWL, *command],
        cwd=job.folder,
        env={**os.environ, "PYTHONPATH": f"{job.folder}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    ran = end_of(process)
    assert (ran.code, ran.out, ran.err) == (143, "", "crawl: SIGTERM before anything began; nothing was changed\n")


def _handles(pid: int) -> bool:
    """Return whether the process catches SIGTERM, which the interpreter by itself does not (proc(5), SigCgt)."""
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123  # a line of /proc
        mask = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
    return bool(mask >> (signal.SIGTERM - 1) & 1)


def test_signals_at_the_end_do_not_change_what_the_exit_code_says(make_job: MakeJob, site: Site) -> None:
    job = make_job(site)
    for pause in (0.0, 0.02):
        (job.out / "summary.json").unlink(missing_ok=True)
        process = job.start()
        until((job.out / "summary.json").exists, 15, "the summary")
        time.sleep(pause)
        process.send_signal(signal.SIGTERM)
        ran = end_of(process)
        assert ran.code == job.summary()["exit_code"] == 0


def test_what_was_ignored_stays_ignored(make_job: MakeJob, slow_site: Site) -> None:
    """`nohup crawl` survives its terminal, and `crawl &` in a script its Ctrl-C."""
    job = make_job(slow_site)

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = in_the_middle(job, preexec_fn=ignore)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    ran = end_of(process)
    assert ran.code == 0
    assert "draining" not in ran.err


def test_quiet_drains_without_a_word(make_job: MakeJob, slow_site: Site) -> None:
    job = make_job(slow_site)
    process = in_the_middle(job, "--quiet")
    process.send_signal(signal.SIGINT)
    ran = end_of(process)
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_ctrl_c_at_a_terminal(make_job: MakeJob, slow_site: Site) -> None:
    """The terminal sends it to the whole group: to the workers too, which go on until the drain is over."""
    job = make_job(slow_site)
    terminal = Terminal()
    try:
        process = terminal.start(job)
        terminal.read_until(b"in flight")
        terminal.press(b"\x03")
        ran = terminal.end_of(process)
    finally:
        terminal.close()
    assert ran.code == 130
    assert DRAINING.search(ran.out)
    assert job.summary()["run"]["workers"]["restarts"] == 0


def test_a_demo_beside_a_crawl_serves_until_the_crawl_has_drained(make_job: MakeJob, slow_site: Site) -> None:
    """`make crawl`: Ctrl-C reaches both, and the site must not be gone first."""
    job = make_job(slow_site)
    for number, to_group in ((signal.SIGINT, True), (signal.SIGTERM, False)):
        command = [*CRAWL, "demo", "--port", "0", "--pages", "5", "--run", *CRAWL, str(job.config), "--plain"]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        until(job.has_records, 15, "first records")
        (os.killpg if to_group else os.kill)(process.pid, number)
        ran = end_of(process)
        assert ran.code == CODES[number], ran
        assert "draining" in ran.err
        for path in job.out.iterdir():
            path.unlink()


class TestStages:
    """The handlers themselves, without a process."""

    def test_held_signals_are_told_once_there_is_somebody_to_tell(self) -> None:
        told: list[bool] = []
        signals = Signals()
        signals.hold()
        signals._received(signal.SIGINT, None)
        with signals.steering(_LOOP, told.append):
            assert told == [False]
        assert signals.code is ExitCode.INTERRUPTED

    def test_a_hangup_is_never_the_second_signal(self) -> None:
        told: list[bool] = []
        signals = Signals()
        with signals.steering(_LOOP, told.append):
            signals._received(signal.SIGTERM, None)
            signals._first_at -= 5
            signals._received(signal.SIGHUP, None)
        assert told == [False]


class _Loop:
    def call_soon_threadsafe(self, function: Any, *args: object) -> None:
        """Call it at once."""
        function(*args)


_LOOP = cast("AbstractEventLoop", _Loop())
