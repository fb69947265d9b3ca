"""The small rooms of the pool, each alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import wait
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from unittest.mock import patch

import pool_tasks as tasks
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.errors import TaskTimeout, WorkerCrashed
from pipelines.pool import relay as relay_module
from pipelines.pool.closing import Closing
from pipelines.pool.crew import Sentence
from pipelines.pool.deaths import cause_of, condemned, obituary
from pipelines.pool.frames import HEADER, Kind
from pipelines.pool.limits import Limits
from pipelines.pool.names import name_of
from pipelines.pool.pool import WorkerPool
from pipelines.pool.post import Post
from pipelines.pool.relay import Output, Relay, printable
from pipelines.pool.remote import RemoteTraceback, pack, unpack
from pipelines.pool.stats import Death
from pipelines.pool.task import Task
from pipelines.pool.witness import Gauge

Eventually = Callable[[Callable[[], bool]], None]


@pytest.mark.parametrize(
    ("code", "cause", "text"),
    [
        (None, "hung up", "worker 7 hung up"),
        (0, "exit code 0", "worker 7 exited with code 0"),
        (3, "exit code 3", "worker 7 exited with code 3"),
        (-signal.SIGSEGV, "SIGSEGV", "worker 7 was killed by SIGSEGV"),
        (-99, "signal 99", "worker 7 was killed by signal 99"),
    ],
)
def test_the_end_of_a_process_has_a_name(code: int | None, cause: str, text: str) -> None:
    assert (cause_of(code), obituary(7, code)) == (cause, text)


def test_a_stopped_task_has_a_verdict_although_nobody_asks() -> None:
    task = Task(1, tasks.same, (1,), {}, Limits(), lambda *_: None)
    verdict = condemned(Sentence(task, Death.STOPPED, "stopped"))
    assert isinstance(verdict.error, WorkerCrashed)
    assert verdict.status == "cancelled"


def test_an_end_comes_sooner_and_never_later() -> None:
    closing = Closing()
    assert not closing.has_begun
    closing.begin(100.0, 5.0, 0.5)
    closing.begin(101.0, 60.0, 0.5)
    assert closing.due() == 105.0
    closing.begin(102.0, 1.0, 0.2)
    assert closing.due() == 103.0
    closing.drained(103.0)
    assert (closing.is_drained, closing.due()) == (True, 103.2)
    closing.begin(103.1, 0.0, 0.0)
    assert closing.due() == 103.1
    closing.killed(104.0)
    assert closing.due() == 104.5


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("I do not say")


def test_an_exception_without_a_text_still_travels() -> None:
    error = unpack(pack(Mute(1)))
    assert isinstance(error, Mute)
    assert isinstance(error.__cause__, RemoteTraceback)
    failure = pack(Mute(lambda: None))
    assert failure.pickled is None
    assert failure.summary.endswith("Mute")


def test_an_exception_that_loads_only_there_is_described() -> None:
    failure = pack(ValueError("text"))._replace(pickled=b"no pickle")
    assert "ValueError: text (and it does not load here" in str(unpack(failure))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("plain ä", "plain ä"), ("tab\there", "tab\there"), ("\x1b]0;x\x07", "\\x1b]0;x\\x07"), ("\udcff", "\\udcff")],
)
def test_what_is_not_printable_is_escaped(text: str, escaped: str) -> None:
    assert printable(text) == escaped


def test_output_comes_in_lines_and_each_second_has_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    now = [10.0]
    relay = Relay()
    monkeypatch.setattr(relay, "write", lines.append)
    monkeypatch.setattr(relay_module, "monotonic", lambda: now[0])
    read, write = os.pipe()
    os.set_blocking(read, False)
    output = Output(read, relay)
    assert output.pump(), "nothing yet"
    for data in (b"one\ntw", b"o\r\n" + b"x" * 5000, b"y" * 61_000):
        os.write(write, data)
        assert output.pump()
    assert lines == ["one", "two", "x" * 5000]
    now[0] += 1
    os.write(write, b"after\nlast")
    output.pump()
    os.close(write)
    assert output.last_words().endswith("after\nlast")
    assert lines[3:] == ["[61000 bytes that workers printed were dropped]", "after", "last"]
    os.close(read)


def test_the_share_of_a_process_is_measured() -> None:
    gauge = Gauge()
    before = gauge.peak_rss(0.0)
    data = bytearray(30 << 20)
    data[::4096] = b"1" * len(data[::4096])
    assert gauge.peak_rss(0.0) == before, "a brief task is not worth a look"
    assert gauge.peak_rss(1.0) > 30 << 20
    assert gauge.rss() > 30 << 20
    for fd in (gauge._statm, gauge._status, gauge._reset):
        os.close(fd)
    gauge.peak_rss(1.0)
    assert gauge.rss() == 0
    assert gauge._from_status() == 0
    assert gauge._reset == -1


def received(post: Post) -> tuple[int, int, int, bytes]:
    """Return the next frame with a body of its own."""
    frame = post.receive()
    assert frame is not None
    kind, buffers, ident, body = frame
    assert body is not None
    return kind, buffers, ident, bytes(body)


@given(
    frames=st.lists(st.tuples(st.sampled_from([0, 1, 39, 1000, 70_000, 262_104, 262_105, 300_000]), st.integers(0, 1))),
    cuts=st.lists(st.integers(1, 300_000)).map(lambda cuts: [*cuts, 300_000]),  # else MiBs are read byte by byte
)
@example(frames=[(0, 0), (1, 1), (39, 0), (1000, 1), (1000, 0)], cuts=[1])
@example(frames=[(262_104, 0), (262_105, 1), (300_000, 0)], cuts=[37])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_frames_arrive_whole_however_they_are_cut(frames: list[tuple[int, int]], cuts: list[int]) -> None:
    """Several in one read, or one in many; those with buffers own their memory, the others share it."""
    sent = [(int(Kind.OFFER), flag, n, bytes([n % 251]) * size) for n, (size, flag) in enumerate(frames)]
    data = b"".join(HEADER.pack(kind, 0, flag, n, len(body), 0.0, 0) + body for kind, flag, n, body in sent)
    pieces = chain.from_iterable(repeat(cuts))
    left = memoryview(data)

    def readv(_fd: int, buffers: list[memoryview]) -> int:
        nonlocal left
        count = min(next(pieces), len(left), len(buffers[0]))
        buffers[0][:count] = left[:count]
        left = left[count:]
        return count

    post, kept = Post(-1), []
    with patch("pipelines.pool.post.os.readv", readv):
        for frame in sent:
            found = post.receive()
            assert found is not None
            assert found[3] is not None
            assert (*found[:3], bytes(found[3])) == frame
            if found[1]:
                kept.append((found[3], frame[3]))
        assert post.receive() is None
    assert all(bytes(view) == body for view, body in kept)


def test_a_frame_without_memory_for_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.pool import post as module

    def no_memory(size: int) -> bytearray:
        if size == 300_000:
            raise MemoryError
        return bytearray(size)

    monkeypatch.setattr(module, "bytearray", no_memory, raising=False)
    read, write = os.pipe()
    post = Post(read)
    Post(write).send(Kind.OFFER, 1, [b"x" * 60_000], 0)
    assert received(post) == (Kind.OFFER, 0, 1, b"x" * 60_000)
    os.write(write, HEADER.pack(Kind.OFFER, 0, 0, 2, 300_000, 0.0, 0) + b"y" * 50_000)
    from threading import Thread

    rest = Thread(target=os.write, args=(write, b"y" * 250_000))
    rest.start()
    assert post.receive() == (Kind.OFFER, 0, 2, None)
    rest.join(5)
    os.write(write, HEADER.pack(Kind.OFFER, 0, 0, 3, 100_000, 0.0, 0) + b"cut")
    os.close(write)
    assert post.receive() is None
    assert post.receive() is None
    os.close(read)


def test_an_executor_can_cancel_what_waits(pool: WorkerPool, eventually: Eventually) -> None:
    face = pool.executor()
    futures = [face.submit(tasks.pid_after, 0.1) for _ in range(10)]
    face.shutdown(wait=False, cancel_futures=True)
    wait(futures, timeout=10)
    assert sum(future.cancelled() for future in futures) >= 6
    face.shutdown()


def test_an_initializer_larger_than_a_socket_takes(tmp_path: Path) -> None:
    with WorkerPool(1, initializer=tasks.Load(bytes(3_000_000)), spare=False) as pool:
        assert pool.submit(tasks.same, 1).result(20) == 1


def test_functions_without_a_module_or_a_name_have_one_in_messages() -> None:
    assert name_of(len) == "builtins.len"
    assert name_of(list.sort) == "list.sort"
    assert name_of(partial(len, [])).startswith("functools.partial(")


def test_a_method_of_a_built_in_type_meets_its_deadline(pool: WorkerPool) -> None:
    with pytest.raises(TaskTimeout, match=r"^list.sort ran past its deadline"):
        pool.submit(list.sort, tasks.Slow.some(), deadline=0.3).result(10)
