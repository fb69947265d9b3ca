"""Tasks are sent outside the supervisor's lock: whatever happens meanwhile, none is lost, doubled or overtaken."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pool_tasks as tasks
import pytest

from pipelines.errors import TaskTimeout, WorkerCrashed
from pipelines.pool import nursery
from pipelines.pool.channel import Channel
from pipelines.pool.frames import Chunk, Kind
from pipelines.pool.limits import Limits
from pipelines.pool.plan import Plan
from pipelines.pool.pool import WorkerPool
from pipelines.pool.process import Process
from pipelines.pool.relay import Relay

Eventually = Callable[[Callable[[], bool]], None]


class Held:
    """The first task that is sent stays in the hands of its sender until `let_go`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_held, self._gate = threading.Event(), threading.Event()
        self._send = Channel.send
        monkeypatch.setattr(Channel, "send", lambda *args: self._sent(*args))
        self.let_go = self._gate.set

    def _sent(self, channel: Channel, kind: Kind, ident: int, chunks: list[Chunk], size: int, buffers: int) -> bool:
        if kind == Kind.OFFER and not self.is_held.is_set():
            self.is_held.set()
            assert self._gate.wait(10)
        return self._send(channel, kind, ident, chunks, size, buffers)


@contextmanager
def sending(pool: WorkerPool, function: Callable[..., object], *args: object) -> Iterator[threading.Thread]:
    """Submit from a thread of its own, which may be held up."""
    thread = threading.Thread(target=pool.submit, args=(function, *args))
    thread.start()
    yield thread
    thread.join(10)
    assert not thread.is_alive()


def test_nothing_is_sent_with_the_lock_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waited for the interpreter lock would run straight into ours: 14 futex calls a task, measured."""
    send, held = Channel.send, list[bool]()
    with WorkerPool(2) as pool:
        lock = pool.supervisor()._lock

        def watched(*args: object) -> bool:
            held.append(lock._is_owned())  # type: ignore[attr-defined]  # what `threading.Condition` uses
            return send(*args)  # type: ignore[arg-type]  # as it was called

        monkeypatch.setattr(Channel, "send", watched)
        futures = [pool.submit(tasks.same, number) for number in range(200)]
        assert [future.result(10) for future in futures] == list(range(200))
    assert len(held) >= 200
    assert not any(held)


def test_nobody_overtakes_what_is_being_sent(monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> None:
    with WorkerPool(1, spare=False) as pool:
        eventually(lambda: pool.stats().ready == 1)
        held = Held(monkeypatch)
        with sending(pool, tasks.same, "first"):
            assert held.is_held.wait(5)
            others = [pool.submit(tasks.same, number) for number in range(4)]
            assert pool.stats().queued == 4, "the one worker is reserved"
            held.let_go()
            assert [future.result(10) for future in others] == [0, 1, 2, 3]
        eventually(lambda: pool.stats().ok == 5)


def test_a_deadline_is_kept_that_begins_in_the_hands_of_a_sender(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """The worker was through before its sender came back: the next task begins there, while the supervisor sleeps."""
    send, came_back, gate = Channel.send, threading.Event(), threading.Event()

    def late(*args: object) -> bool:
        result = send(*args)  # type: ignore[arg-type]  # as it was called
        if not came_back.is_set():
            came_back.set()
            assert gate.wait(10)
        return result

    with WorkerPool(1, spare=False) as pool:
        eventually(lambda: pool.stats().ready == 1)
        monkeypatch.setattr(Channel, "send", late)
        with sending(pool, tasks.same, "first"):
            assert came_back.wait(5)
            eventually(lambda: pool.stats().ok == 1)
            hopeless = pool.submit(tasks.catastrophic, deadline=0.2)
            gate.set()
            assert isinstance(hopeless.exception(5), TaskTimeout)


def test_a_spare_has_its_task_before_its_successor_is_started(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """A start takes its time, and the deadline of what was assigned is running."""

    class Slow(Process):
        def __init__(self, plan: Plan, relay: Relay) -> None:
            time.sleep(0.6)
            super().__init__(plan, relay)

    with WorkerPool(1) as pool:
        eventually(lambda: any(worker.is_spare and worker.is_ready for worker in pool.supervisor()._crew.workers))
        monkeypatch.setattr(nursery, "Process", Slow)
        guilty = pool.submit(tasks.leave, 3)
        assert pool.submit(tasks.same, 1, deadline=0.4).result(10) == 1
        assert isinstance(guilty.exception(10), WorkerCrashed)


def test_a_task_is_sent_before_the_callbacks_of_the_last_one(pool: WorkerPool, eventually: Eventually) -> None:
    eventually(lambda: pool.stats().ready == 2)
    first = [pool.submit(tasks.pid_after, 0.1) for _ in range(2)]
    for future in first:
        future.add_done_callback(lambda _: time.sleep(0.4))
    others = [pool.submit(tasks.same, number, deadline=0.6) for number in range(6)]
    assert [future.result(10) for future in others] == list(range(6))


def test_a_worker_that_dies_while_it_is_sent_a_task_loses_none(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually, tmp_path: Path
) -> None:
    """Its socket is closed meanwhile, and the number of that may be another file's by the time of the write."""
    marks = tmp_path / "marks"
    with WorkerPool(1) as pool:
        eventually(lambda: pool.stats().ready == 1)
        held = Held(monkeypatch)
        with sending(pool, tasks.mark, str(marks)):
            assert held.is_held.wait(5)
            (victim,) = pool.pids
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: pool.stats().ok == 1)
            held.let_go()
        assert pool.submit(tasks.same, 1).result(10) == 1
    assert len(marks.read_text().splitlines()) == 1


def test_a_task_can_be_stopped_while_it_is_sent(monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> None:
    with WorkerPool(1) as pool:
        eventually(lambda: pool.stats().ready == 1)
        held = Held(monkeypatch)
        boss = pool.supervisor()
        task = boss.task(tasks.pid_after, (30.0,), {}, Limits())
        thread = threading.Thread(target=boss.submit, args=(task,))
        thread.start()
        assert held.is_held.wait(5)
        task.future.stop()
        assert task.future.cancelled()
        eventually(lambda: pool.stats().restarts == 1)
        held.let_go()
        thread.join(10)
        assert pool.submit(tasks.same, 1).result(10) == 1


def test_ctrl_c_while_a_task_is_sent_loses_no_worker(monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> None:
    """Nobody knows how much has left: the worker goes, and what it had is run by the next."""
    with WorkerPool(1) as pool:
        eventually(lambda: pool.stats().ready == 1)
        send = Channel.send

        def interrupted(*args: object) -> bool:
            monkeypatch.setattr(Channel, "send", send)
            raise KeyboardInterrupt

        monkeypatch.setattr(Channel, "send", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pool.submit(tasks.same, "interrupted")
        assert pool.submit(tasks.same, 1).result(10) == 1
        eventually(lambda: pool.stats().ok == 2)


def test_many_threads_send_at_once(pool: WorkerPool) -> None:
    results: dict[int, list[object]] = {}

    def work(start: int) -> None:
        futures = [pool.submit(tasks.same, (start + number, b"x" * 50_000)) for number in range(100)]
        results[start] = [future.result(20) for future in futures]

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 800, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == {
        start: [(start + number, b"x" * 50_000) for number in range(100)] for start in range(0, 800, 100)
    }


@pytest.mark.parametrize("recycle_after", [None, 15])
def test_whatever_becomes_of_the_workers_every_thread_gets_its_answers(recycle_after: int | None) -> None:
    """Values, crashes, deadlines and stops at random, from many threads, in workers that are renewed."""
    with WorkerPool(3, recycle_after=recycle_after) as pool:
        wrong: list[object] = []

        def work(thread: int) -> None:
            random = Random(thread)
            for number in range(80):
                match random.choices(["value", "crash", "late", "stop"], [90, 2, 3, 5])[0]:
                    case "crash":
                        answer: object = type(pool.submit(tasks.leave, 3).exception(30))
                        expected: object = WorkerCrashed
                    case "late":
                        answer = type(pool.submit(tasks.pid_after, 30.0, deadline=0.05).exception(30))
                        expected = TaskTimeout
                    case "stop":
                        future = pool.submit(tasks.pid_after, 30.0)
                        future.stop()
                        answer, expected = future.cancelled(), True
                    case _:
                        expected = (thread, number, b"x" * random.choice([10, 100_000, 400_000]))
                        answer = pool.submit(tasks.same, expected).result(30)
                if answer != expected:
                    wrong.append(answer)
            wrong.append(None)  # it came to its end

        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        assert wrong == [None] * 5
        stats = pool.stats()
        assert (stats.queued, stats.busy) == (0, 0)
