"""A worker process: reads one task after the other from its socket, runs it, writes the answer.

Single-threaded and blocking on purpose: the parent never blocks on a worker, so a worker may block on its parent.
It lives exactly as long as its parent wants: end of file on the socket ends it, and so does the kernel when the
parent dies (`PR_SET_PDEATHSIG`), even while C code holds the GIL. Processes that a task starts are the task's own.

Imported by a bare interpreter in a few milliseconds: no asyncio, threading, logging, socket, subprocess here.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from importlib import import_module
from time import monotonic
from types import ModuleType
from typing import Any, NoReturn

from pipelines.errors import ResultTooLarge, TaskNotPicklable
from pipelines.pool import remote
from pipelines.pool.frames import Chunk, Kind, decode, encode, size_of
from pipelines.pool.names import name_of
from pipelines.pool.orders import Orders, from_argument
from pipelines.pool.post import Post
from pipelines.pool.tray import Tray
from pipelines.pool.unwind import Unwinding
from pipelines.pool.witness import Ear, Gauge

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
KEPT_BYTES = 64 << 20
"""Free memory that stays with the worker. Otherwise malloc gives a batch's memory back to the kernel after each task,
and the page faults of the next one cost more than its transport (1.3 ms for 2 MB)."""


Answer = tuple[Kind, list[Chunk], int, float]
"""A frame about to be sent: its kind, chunks and buffers; and the seconds that the task's function took."""


def main(argv: list[str]) -> NoReturn:
    """Serve until the parent hangs up. `argv`: -c, the orders, modules to import, sys.path…"""
    orders, preload = begin(argv)
    settle(orders)
    work(orders, preload)


def begin(argv: list[str]) -> tuple[Orders, list[str]]:
    """Return what the command line says, and leave no trace of it."""
    orders = from_argument(argv[1])
    preload = argv[2].split(",") if argv[2] else []
    sys.argv[:] = [""]
    # A task that names a function of the parent's __main__ must not find this bootstrap by accident.
    sys.modules["__main__"] = ModuleType("__main__")
    return orders, preload


def work(orders: Orders, preload: list[str]) -> NoReturn:
    """Warm up, then serve until the parent hangs up."""
    tray = None
    if orders.tray >= 0:
        tray = Tray(orders.tray)
        os.close(orders.tray)
    _limit(orders)
    post = Post(orders.socket, tray)
    unwinding = Unwinding(orders.socket, post.tell)
    ear = Ear(unwinding.tell, orders.level)
    os.register_at_fork(after_in_child=post.disown)
    signal.signal(signal.SIGTERM, unwinding.signalled)
    try:
        _warm_up(post, ear, preload, has_setup=orders.has_setup)
    except BaseException as exc:  # noqa: BLE001 - a module may raise anything; the parent is told
        post.send(Kind.UNSTARTABLE, 0, *encode(remote.pack(exc).traceback))
        os._exit(1)
    try:
        post.send(Kind.READY, 0, [], 0)
        _serve(post, orders, ear, unwinding)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent hung up while an answer was on its way
    atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing does
    os._exit(0)  # tearing down an interpreter full of modules takes longer than the whole close of the pool


def settle(orders: Orders) -> None:
    """Give the process its signals, its niceness and its tie to the parent: what its forks inherit, but for the tie."""
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # glibc; not musl
            libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
            libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    tie_to(orders.parent)
    for inherited in (orders.socket, orders.token):
        if inherited >= 0:
            os.set_inheritable(inherited, False)
    # Ctrl-C, `docker stop` and systemd signal the whole group; whether to drain is for the parent to say. Handlers
    # rather than SIG_IGN, which the children of a task would inherit.
    signal.signal(signal.SIGINT, _ignore)
    signal.signal(signal.SIGTERM, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    if orders.nice:
        os.nice(orders.nice)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)  # what is printed must not be lost with the process


def tie_to(parent: int) -> None:
    """Let the kernel end this process with its parent, however that ends; a fork has lost the tie of its parent."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _limit(orders: Orders) -> None:
    if orders.address_space:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limits = [limit for limit in (orders.address_space, soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))


def _ignore(_signum: int, _frame: object) -> None:
    pass


def _warm_up(post: Post, ear: Ear, preload: list[str], *, has_setup: bool) -> None:
    for name in preload:
        import_module(name)
    ear.listen()
    if has_setup:
        frame = post.receive()
        if frame is None:
            os._exit(0)  # the pool was closed
        kind, buffers, _, body = frame
        assert kind == Kind.SETUP
        if body is None:
            raise MemoryError("the initializer is too large")
        initializer, args, kwargs = _load(body, buffers)
        ear.listen()
        initializer(*args, **kwargs)


def _serve(post: Post, orders: Orders, ear: Ear, unwinding: Unwinding) -> None:
    me = os.getpid()
    gauge = Gauge()
    while (frame := post.receive()) is not None:
        kind, buffers, ident, body = frame
        assert kind == Kind.OFFER
        if orders.token >= 0 and not _claim(orders.token):
            post.send(Kind.SKIPPED, ident, [], 0)
            continue
        if body is None:
            answer, chunks, count, run_s = _exhausted(MemoryError("no memory to receive the arguments"), 0.0)
        else:
            answer, chunks, count, run_s = _run(body, buffers, ear, unwinding, orders.max_result)
        del body, frame
        if os.getpid() != me:  # a task forked, and its child came back here
            os._exit(1)
        post.send(answer, ident, chunks, count, run_s, gauge.peak_rss(run_s))
        del chunks
        if orders.recycle_above and gauge.rss() > orders.recycle_above:
            post.send(Kind.HEAVY, 0, [], 0)


def _claim(token: int) -> bool:
    """Take the token that came with an offer; False when the parent has taken it back. One of the two gets it."""
    try:
        os.eventfd_read(token)
    except BlockingIOError:
        return False
    return True


def _run(body: memoryview, buffers: int, ear: Ear, unwinding: Unwinding, max_result: int) -> Answer:
    """Run one task; the documented boundary at which anything it raises becomes an answer."""
    started = monotonic()
    try:
        with unwinding:
            function, args, kwargs = _load(body, buffers)
            ear.listen()
            started = monotonic()
            value = function(*args, **kwargs)
    except MemoryError as exc:
        return _exhausted(exc, monotonic() - started)
    except BaseException as exc:  # noqa: BLE001 - also SystemExit: a task does not end its worker
        return Kind.FAILURE, *encode(remote.pack(exc, max_result)), monotonic() - started
    run_s = monotonic() - started
    try:
        chunks, buffers = encode(value)
        if max_result and (size := size_of(chunks)) > max_result:
            raise _too_large(name_of(function), size, max_result)
        return Kind.VALUE, chunks, buffers, run_s
    except MemoryError as exc:
        return _exhausted(exc, run_s)
    except ResultTooLarge as exc:
        return Kind.FAILURE, *encode(remote.pack(exc)), run_s
    except BaseException as exc:  # noqa: BLE001 - pickling runs the user's code
        name = getattr(function, "__qualname__", repr(function))
        problem = TaskNotPicklable(f"{name}: the result, a {type(value).__name__}, cannot be sent back: {exc}")
        problem.__cause__ = exc
        return Kind.FAILURE, *encode(remote.pack(problem)), run_s


def _too_large(name: str, size: int, limit: int) -> ResultTooLarge:
    return ResultTooLarge(
        f"{name}: its result has {size:,} bytes, pickled, and this pool lets {limit:,} through (max_result_bytes); "
        "return less, write it to a file and return its path, or raise the limit"
    )


def _exhausted(error: MemoryError, run_s: float) -> Answer:
    """Tell of a MemoryError; the limit goes first, or there might be no memory to tell it with."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    return Kind.EXHAUSTED, *encode(remote.pack(error)), run_s


def _load(body: memoryview, buffers: int) -> Any:
    try:
        return decode(body, buffers, copy=False)
    except MemoryError:
        raise
    except Exception as exc:
        advice = ""
        if "__main__" in str(exc):
            advice = (
                "; workers do not run the script or notebook that started the pool: define it in a module and import it"
            )
        raise TaskNotPicklable(f"the task cannot be loaded in the worker: {exc}{advice}") from exc
