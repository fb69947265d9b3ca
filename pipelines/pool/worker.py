"""A worker process: reads one task after the other from its socket, runs it, writes the answer.

Single-threaded and blocking on purpose: the parent never blocks on a worker, so a worker may block on its parent.
It lives exactly as long as its parent wants: end of file on the socket ends it, and so does the kernel when the
parent dies (`PR_SET_PDEATHSIG`), even while C code holds the GIL.

Imported by a bare interpreter in a few milliseconds: no asyncio, threading, logging, socket, subprocess here.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from pipelines.errors import TaskNotPicklable
from pipelines.pool import remote
from pipelines.pool.frames import HEADER, MAX_VECTORS, Chunk, Kind, after, decode, encode, header

BOOTSTRAP = "import sys; sys.path[:] = sys.argv[6:]; from pipelines.pool.worker import main; main(sys.argv)"
"""What the interpreter is started with; the arguments are those of `main`."""

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
KEPT_BYTES = 64 << 20
"""Free memory that stays with the worker. Otherwise malloc gives a batch's memory back to the kernel after each task,
and the page faults of the next one cost more than its transport (1.3 ms for 2 MB)."""


def main(argv: list[str]) -> NoReturn:
    """Serve until the parent hangs up. `argv`: -c, socket, token (-1: none), parent's pid, nice, modules, sys.path…"""
    fd, token, parent, nice = map(int, argv[1:5])
    preload = argv[5].split(",") if argv[5] else []
    sys.argv[:] = [""]
    # A task that names a function of the parent's __main__ must not find this bootstrap by accident.
    sys.modules["__main__"] = ModuleType("__main__")
    _settle(fd, token, parent, nice)
    try:
        for name in preload:
            import_module(name)
    except BaseException as exc:  # noqa: BLE001 - a module may raise anything; the parent is told
        _send(fd, Kind.UNSTARTABLE, 0, *encode(remote.pack(exc).traceback))
        os._exit(1)
    _send(fd, Kind.READY, 0, [], 0)
    try:
        _serve(fd, token)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent hung up while an answer was on its way
    atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing does
    os._exit(0)  # tearing down an interpreter full of modules takes longer than the whole close of the pool


def _settle(fd: int, token: int, parent: int, nice: int) -> None:
    """Give the process its signals, its priority and its tie to the parent."""
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if hasattr(libc, "mallopt"):  # glibc; not musl
            libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
            libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    for inherited in (fd, token):
        if inherited >= 0:
            os.set_inheritable(inherited, False)
    # Ctrl-C, `docker stop` and systemd signal the whole group; whether to drain is for the parent to say. Handlers
    # rather than SIG_IGN, which the children of a task would inherit.
    signal.signal(signal.SIGINT, _ignore)
    signal.signal(signal.SIGTERM, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    if nice:
        os.nice(nice)


def _ignore(_signum: int, _frame: object) -> None:
    pass


def _serve(fd: int, token: int) -> None:
    me = os.getpid()
    head = bytearray(HEADER.size)
    while _fill(fd, head):
        kind, buffers, ident, size = HEADER.unpack(head)
        body = bytearray(size)
        if not _fill(fd, body):
            return
        assert kind == Kind.OFFER
        if token >= 0 and not _claim(token):
            _send(fd, Kind.SKIPPED, ident, [], 0)
            continue
        answer, chunks, count = _run(memoryview(body), buffers)
        del body
        if os.getpid() != me:  # a task forked, and its child came back here: two processes on one socket
            os._exit(1)
        _send(fd, answer, ident, chunks, count)
        del chunks


def _claim(token: int) -> bool:
    """Take the token that came with an offer; False when the parent has taken it back. One of the two gets it."""
    try:
        os.eventfd_read(token)
    except BlockingIOError:
        return False
    return True


def _run(body: memoryview, buffers: int) -> tuple[Kind, list[Chunk], int]:
    """Run one task; the documented boundary at which anything it raises becomes an answer."""
    try:
        function, args, kwargs = _load(body, buffers)
        value = function(*args, **kwargs)
    except BaseException as exc:  # noqa: BLE001 - also SystemExit: a task does not end its worker
        return Kind.FAILURE, *encode(remote.pack(exc))
    try:
        return Kind.VALUE, *encode(value)
    except BaseException as exc:  # noqa: BLE001 - pickling runs the user's code
        name = getattr(function, "__qualname__", repr(function))
        problem = TaskNotPicklable(f"{name}: the result, a {type(value).__name__}, cannot be sent back: {exc}")
        problem.__cause__ = exc
        return Kind.FAILURE, *encode(remote.pack(problem))


def _load(body: memoryview, buffers: int) -> Any:
    try:
        return decode(body, buffers, copy=False)
    except Exception as exc:
        advice = ""
        if "__main__" in str(exc):
            advice = "; workers do not run the script that started the pool: define it in a module and import it"
        raise TaskNotPicklable(f"the task cannot be loaded in the worker: {exc}{advice}") from exc


def _fill(fd: int, buffer: bytearray) -> bool:
    """Fill `buffer` from the socket; False at end of file."""
    view = memoryview(buffer)
    while view:
        count = os.readv(fd, [view])
        if not count:
            return False
        view = view[count:]
    return True


def _send(fd: int, kind: Kind, ident: int, chunks: list[Chunk], buffers: int) -> None:
    rest: list[Chunk] = [header(kind, ident, chunks, buffers), *chunks]
    while rest:
        rest = after(rest, os.writev(fd, rest[:MAX_VECTORS]))
