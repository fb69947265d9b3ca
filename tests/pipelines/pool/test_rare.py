"""What happens seldom, room by room: bytes cut anywhere, ends at a bad moment, machines that are set up otherwise."""

from __future__ import annotations

import builtins
import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pool_tasks as tasks
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import PoolBroken, PoolClosed, TaskNotPicklable
from pipelines.pool import interpreter, logs, memory, relay, stem, worker
from pipelines.pool import pool as pool_module
from pipelines.pool.channel import Channel, Frame
from pipelines.pool.forkserver import Forked, ForkServer
from pipelines.pool.frames import HEADER, Kind, after
from pipelines.pool.limits import Limits
from pipelines.pool.names import homeless
from pipelines.pool.nursery import Nursery
from pipelines.pool.orders import Orders
from pipelines.pool.pool import WorkerPool
from pipelines.pool.post import Post
from pipelines.pool.relay import Output, Relay
from pipelines.pool.scribe import Scribe
from pipelines.pool.tally import Tally
from pipelines.pool.task import Task
from pipelines.pool.witness import Gauge

ORDERS = Orders(3, -1, -1, 1, 0, 30, 0, 0, 0, False)


class Ended(Exception):
    """Instead of the end of this process."""


@pytest.fixture
def no_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `os._exit` raise."""

    def end(code: int) -> NoReturn:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", end)


# -- bytes


@given(st.lists(st.binary(max_size=60), max_size=8), st.lists(st.integers(1, 50), max_size=60))
def test_a_channel_gives_whole_frames_however_they_are_cut(bodies: list[bytes], cuts: list[int]) -> None:
    """A header in two parts, a body in many, several frames at once; and an end is an end wherever it comes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        channel, scratch = Channel(ours, None), memoryview(bytearray(100))
        data = b"".join(HEADER.pack(Kind.OFFER, 0, 0, n, len(body), 0.0, 0) + body for n, body in enumerate(bodies))
        found: list[tuple[int, bytes]] = []
        position = 0
        for cut in [*cuts, *[len(data)] * bool(data)]:
            theirs.sendall(data[position : position + cut])
            position += cut
            try:
                while True:
                    found += [(frame.ident, bytes(frame.body)) for frame in channel.read(scratch)]
            except BlockingIOError:
                pass
        assert found == list(enumerate(bodies))
        theirs.sendall((HEADER.pack(Kind.OFFER, 0, 0, 9, 500, 0.0, 0) + b"half")[: cuts[0] if cuts else None])
        theirs.close()
        assert list(channel.rest(scratch)) == []


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=5), st.integers(0, 60))
def test_what_is_left_to_send_is_what_was_not_sent(chunks: list[bytes], sent: int) -> None:
    whole = b"".join(chunks)
    assert b"".join(bytes(chunk) for chunk in after(list(chunks), sent)) == whole[sent:]


def test_a_parent_that_hangs_up_within_a_frame_too_large_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.pool import post as module

    def no_memory(size: int) -> bytearray:
        if size == 900_000:
            raise MemoryError
        return bytearray(size)

    read, write = os.pipe()
    post = Post(read)
    monkeypatch.setattr(module, "bytearray", no_memory, raising=False)
    os.write(write, HEADER.pack(Kind.OFFER, 0, 0, 1, 900_000, 0.0, 0) + b"cut")
    os.close(write)
    assert post.receive() is None
    os.close(read)


def test_the_last_words_of_who_says_the_same_for_ever_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MAX_READS", 3)
    read, write = os.pipe()
    quiet = Relay()
    monkeypatch.setattr(quiet, "write", lambda _line: None)
    output = Output(read, quiet)
    monkeypatch.setattr(relay, "READ_BYTES", 4)
    os.write(write, b"abcdefghijklmnopqrstuvwxyz")
    assert output.last_words() == "abcdefghijkl"
    os.close(read)
    os.close(write)


# -- interpreters and machines that are set up otherwise


@pytest.mark.parametrize(("needs_site", "writes"), [(True, True), (False, False)])
def test_a_worker_gets_the_flags_of_its_parent(needs_site: bool, writes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "_needs_site", lambda: needs_site)
    flags = SimpleNamespace(dont_write_bytecode=int(not writes), optimize=1)
    parent = SimpleNamespace(
        flags=flags, warnoptions=["error"], _xoptions={"dev": True}, path=[""], executable="python"
    )
    monkeypatch.setattr(interpreter, "sys", parent)
    line = interpreter.command("pass", ORDERS, ["one", "two"])
    assert ("-S" in line, "-B" in line) == (not needs_site, not writes)
    assert line[:4] == ["python", "-O", "-Werror", "-Xdev"]
    assert line[-2:] == ["one,two", str(Path.cwd())]


def test_a_parent_without_standard_descriptors_keeps_them_free_for_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = iter([0, 2, 7])
    closed: list[int] = []
    monkeypatch.setattr(interpreter, "os", SimpleNamespace(
        open=lambda *_: next(opened), close=closed.append, devnull=os.devnull, O_RDWR=0, O_CLOEXEC=0,
    ))  # fmt: skip
    with ExitStack() as stack:
        interpreter.keep_standard_descriptors(stack)
        assert closed == [7]
    assert sorted(closed) == [0, 2, 7]


@pytest.mark.parametrize(("level", "expected"), [(logging.WARNING, logging.DEBUG), (logging.ERROR, logging.ERROR)])
def test_a_level_that_somebody_chose_in_the_worker_stays(
    level: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.Logger("root", level)  # noqa: LOG001 - one that nobody else has
    monkeypatch.setattr("pipelines.pool.logs.logging.getLogger", lambda: root)
    logs.install(lambda _fields: None, logging.DEBUG)
    assert (root.level, len(root.handlers)) == (expected, 1)


@pytest.mark.parametrize("groups", ["", "0::/nowhere\n4:memory:/nowhere\n5:cpu:/\n"])
def test_the_machines_counter_is_the_last_one(groups: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup").write_text(groups)
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "cgroup")
    assert memory._counters() == [memory.VMSTAT]


def test_a_notebook_is_told_what_helps_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def mine() -> None:
        """Be defined in a cell."""

    mine.__module__ = "__main__"
    assert "the script that was started" in homeless(mine)
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    assert "%%writefile" in homeless(mine)


def test_the_peak_where_the_kernel_forgets_none() -> None:
    gauge = Gauge()
    kept, gauge._reset = gauge._reset, -1
    assert gauge._peak() >= 1 << 20
    gauge._reset = kept
    for fd in {gauge._statm, gauge._status, gauge._reset} - {-1}:
        os.close(fd)


# -- ends at a bad moment


def test_a_pool_is_started_once_and_never_after_its_end() -> None:
    pool = WorkerPool(1)
    pool.start()
    first = pool.supervisor()
    pool.start()
    assert pool.supervisor() is first
    pool.close()
    with pytest.raises(PoolClosed, match="pool is closed"):
        pool.start()


def test_a_pool_that_its_own_thread_collects_does_not_wait_for_itself() -> None:
    ended: list[float] = []
    end = lambda timeout, *, grace_seconds: ended.append(timeout)  # noqa: E731 - the one method that is called
    pool_module._kill(SimpleNamespace(close=end, thread=threading.current_thread()))  # type: ignore[arg-type]  # enough of one
    assert ended == [0.0]


def test_the_first_reason_for_giving_up_is_the_one_that_is_told(pool: WorkerPool) -> None:
    assert pool.submit(tasks.same, 1).result(20) == 1
    supervisor = pool.supervisor()
    supervisor._break("the first", None)
    supervisor._break("the second", None)
    with pytest.raises(PoolBroken, match="the first"):
        pool.submit(tasks.same, 1).result(5)


def test_a_fork_of_the_parent_cancels_nothing(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the futures, and none of the threads."""
    assert pool.submit(tasks.same, 1).result(20) == 1
    supervisor = pool.supervisor()
    with monkeypatch.context() as patch:
        patch.setattr(supervisor, "_pid", -1)
        supervisor._cancelled(1, False, False)
    assert pool.stats().cancelled == 0


def test_an_answer_that_nobody_wants_any_more_is_counted_as_cancelled() -> None:
    tally = Tally()
    task = Task(1, tasks.same, (1,), {}, Limits(), lambda *_: None)
    frame = Frame(Kind.VALUE, 0, 1, memoryview(b""), False, 0.0, 0)
    tally.answered(task, frame)
    assert tally._answers[Kind.VALUE] == 1
    task.future.cancel()
    tally.answered(task, frame)
    assert (tally._answers[Kind.VALUE], tally._unwanted) == (1, 1)


def test_records_are_handled_to_the_end_also_when_a_handler_closes_the_pool() -> None:
    """`close` in the thread of the handlers does not wait for it."""
    scribe = Scribe(Relay(), "rare")
    scribe._thread = threading.current_thread()
    scribe.close()
    assert scribe._is_closed


# -- the fork server


def test_a_process_that_was_reaped_is_left_alone() -> None:
    """Its number may be somebody else's by now."""
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    asked: list[int] = []

    def reap(pid: int) -> int:
        asked.append(pid)
        return child.wait()

    forked = Forked(SimpleNamespace(reap=reap), child.pid)  # type: ignore[arg-type]  # what it asks of one
    forked.kill()
    assert forked.wait() == forked.wait() == -9
    forked.kill()
    assert asked == [child.pid]
    os.close(forked.pidfd)
    assert child.stdin is not None
    child.stdin.close()


def test_a_server_that_cannot_fork_says_why() -> None:
    server = object.__new__(ForkServer)
    server.sock, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with server.sock, far:
        far.send(b"-11")
        with pytest.raises(OSError, match="temporarily unavailable"):
            server.fork(Orders(server.sock.fileno(), -1, -1, 1, 0, 30, 0, 0, 0, False), 2)
        far.recv(4096)


def test_a_server_serves_until_the_pool_has_gone(no_exit: None) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", "raise SystemExit(5)"], {})
    with near:
        near.send(b"%d" % child)
        stem._serve(far)
        assert near.recv(64) == b"5"
    with far, pytest.raises(Ended):
        stem._serve(far)


def test_a_nursery_without_a_server_has_nothing_to_hear() -> None:
    nursery = object.__new__(Nursery)
    nursery._server = None
    assert nursery.called()
    assert nursery.is_ready


# -- the worker


class Letters:
    """A post with one letter."""

    def __init__(self, *letters: Any) -> None:
        self.letters = list(letters)

    def receive(self) -> Any:
        return self.letters.pop(0)


@pytest.mark.parametrize(
    ("letter", "error"), [(None, Ended), ((Kind.SETUP, 0, 0, None), MemoryError)], ids=["the pool closed", "no memory"]
)
def test_a_worker_that_gets_no_initializer(letter: Any, error: type[Exception], no_exit: None) -> None:
    post: Any = Letters(letter)
    ear: Any = SimpleNamespace(listen=lambda: None)
    with pytest.raises(error):
        worker._warm_up(post, ear, ["math"], has_setup=True)


@pytest.mark.parametrize(("body", "hint"), [(b"not a pickle", False), (b"c__main__\nnothing\n.", True)])
def test_a_task_that_does_not_load_is_refused_with_advice_where_there_is_some(body: bytes, hint: bool) -> None:
    with pytest.raises(TaskNotPicklable, match="cannot be loaded") as caught:
        worker._load(memoryview(bytearray(body)), 0)
    assert ("define it in a module" in str(caught.value)) is hint
