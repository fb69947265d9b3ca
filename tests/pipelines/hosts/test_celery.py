"""Inside a prefork worker of Celery: forked from a process that may have pools of its own, and daemonic."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from host_work import EXPECTED

from tests.pipelines.hosts.conftest import environment

Gone = Callable[[Iterable[int]], None]

APPLICATION = """
from pathlib import Path
import host_work
from celery import Celery

FOLDER = Path(__file__).parent
app = Celery("application", broker="filesystem://", backend=f"file://{FOLDER / 'results'}")
app.conf.update(
    broker_transport_options={"data_folder_in": str(FOLDER / "queue"), "data_folder_out": str(FOLDER / "queue"),
        "control_folder": str(FOLDER / "control"), "polling_interval": 0.05},
    accept_content=["json"], worker_hijack_root_logger=False, broker_connection_retry_on_startup=True,
)
for name in ("through_a_pool", "on_a_loop_of_its_own", "through_an_inherited_pool", "through_the_standard_library",
        "warm_up_before_the_fork", "hold_a_pool"):
    app.task(name=name)(getattr(host_work, name))
"""
"""The application; `WARM` in the environment starts pools in the process that will be forked."""

WARM = """
import os
if os.environ.get("WARM"):
    host_work.warm_up_before_the_fork()
"""


class Host:
    """A Celery worker with one prefork process, and a client to it."""

    def __init__(self, folder: Path) -> None:
        for name in ("queue", "control", "results", "outbox"):
            (folder / name).mkdir()
        (folder / "application.py").write_text(APPLICATION + WARM)
        self._log = (folder / "worker.log").open("w+")
        self._folder = folder
        command = [
            sys.executable, "-m", "celery", "-A", "application", "worker", "--pool", "prefork", "--concurrency", "1",
            "--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment(WARM="1"), stdout=self._log, stderr=subprocess.STDOUT
        )
        queue = {"data_folder_in": str(folder / "queue"), "data_folder_out": str(folder / "outbox")}
        self._app = Celery("client", broker="filesystem://", backend=f"file://{folder / 'results'}")
        self._app.conf.update(broker_transport_options={**queue, "control_folder": str(folder / "control")})

    def send(self, name: str, *args: object) -> Any:
        """Send a task and return its AsyncResult."""
        sent = self._app.send_task(name, args)
        for message in (self._folder / "outbox").iterdir():  # whole: the broker reads a file while it is written
            message.rename(self._folder / "queue" / message.name)
        return sent

    def result(self, name: str, *args: object) -> Any:
        """Return what a task came to."""
        sent = self.send(name, *args)
        until = time.monotonic() + 40
        while not sent.ready():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)
        return sent.get(timeout=1)

    def log(self) -> str:
        """Return what the worker wrote."""
        return (self._folder / "worker.log").read_text()

    def end(self) -> None:
        """Stop it as an administrator does: what runs is finished."""
        try:
            self.process.terminate()
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self._log.close()
            self._app.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.end()


def test_a_pool_inside_a_celery_worker(host: Host, gone: Gone) -> None:
    """One that runs tasks, crashes and deadlines, where `concurrent.futures` may not even start."""
    mine = host.result("through_a_pool")
    assert {**EXPECTED, "lost": [1, 1]}.items() <= mine.items()
    gone(mine["workers"])
    assert "daemonic processes are not allowed to have children" in host.result("through_the_standard_library")
    first, second = host.result("on_a_loop_of_its_own"), host.result("on_a_loop_of_its_own")
    assert (first["values"], first["stream"], first["in_worker"]) == ([9, 10], True, 7)
    assert first["workers"] == second["workers"], "the default pool stays from task to task"
    assert first["parent"] != host.process.pid, "a prefork process of it"
    told = host.result("through_an_inherited_pool")
    assert "PoolClosed: this pool belongs to the process that forked this one; make another" in told
    host.end()
    assert host.process.returncode == 0
    gone(first["workers"])


def test_nothing_outlives_a_celery_worker_that_is_killed(host: Host, gone: Gone, tmp_path: Path) -> None:
    """Also while a task holds the pool, and although the prefork process dies without any warning."""
    child = host.result("on_a_loop_of_its_own")["parent"]
    busy = tmp_path / "busy"
    host.send("hold_a_pool", str(busy), 60.0)
    until = time.monotonic() + 20
    while not busy.exists() or not (workers := busy.read_text().split()):
        assert time.monotonic() < until, host.log()
        time.sleep(0.02)
    os.kill(host.process.pid, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    host.process.wait()
    gone(map(int, workers))
