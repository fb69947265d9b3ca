"""The process of one worker: its start, its size, its signs of life and of death.

`subprocess` and not `multiprocessing`: nothing is forked from a threaded parent, and it also works inside daemonic
processes (Dask, Celery). A `Process` must be started by the thread that watches it, because the kernel ties
`PR_SET_PDEATHSIG` to the thread that forked, not to its process.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

from pipelines.pool.forkserver import Forked, ForkServer
from pipelines.pool.interpreter import command, keep_standard_descriptors
from pipelines.pool.levels import lowest_level
from pipelines.pool.orders import BOOTSTRAP, Orders
from pipelines.pool.plan import Plan
from pipelines.pool.relay import Output, Relay
from pipelines.pool.tray import Tray, new

SOCKET_BYTES = 1 << 20
"""Asked of the kernel, which caps it (net.core.wmem_max, 208 KiB by default)."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

HAS_PIDFD = hasattr(os, "pidfd_open")
HAS_TOKENS = hasattr(os, "eventfd")
"""Without eventfd (Linux 2.6.27) nothing can be withdrawn, so nothing is sent ahead."""


class Process:
    """One child. Owns its descriptors, `sock`, `pidfd`, `token` and `output_fd`, and `tray`; `close` returns them."""

    def __init__(self, plan: Plan, relay: Relay, server: ForkServer | None = None) -> None:
        """Start it; with `server`, which is ready, by a fork. Raises OSError."""
        self.is_closed = False
        self.token = self.pidfd = self._statm = -1
        with ExitStack() as ours, ExitStack() as theirs:
            keep_standard_descriptors(theirs)
            if HAS_TOKENS:
                self.token = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
                ours.callback(os.close, self.token)
            tray = new()
            self.tray: Tray | None = None
            if tray >= 0:
                theirs.callback(os.close, tray)
                self.tray = Tray(tray)
                ours.callback(self.tray.close)
            self.sock, sock = socket.socketpair()
            ours.callback(self.sock.close)
            theirs.callback(sock.close)
            self.output_fd, output = os.pipe()
            ours.callback(os.close, self.output_fd)
            theirs.callback(os.close, output)
            for end in (self.sock, sock):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            self.sock.setblocking(False)
            os.set_blocking(self.output_fd, False)
            orders = _orders(sock.fileno(), self.token, tray, plan)
            self._child = _start(orders, output, plan) if server is None else server.fork(orders, output)
            self.pid = self._child.pid
            self.output = Output(self.output_fd, relay)
            self._descriptors = ours.pop_all()
        self.pidfd = _pidfd(self._child)
        if self.pidfd >= 0:
            self._descriptors.callback(os.close, self.pidfd)

    def kill(self) -> None:
        """SIGKILL: the only signal that ends C code that holds the GIL."""
        self._child.kill()

    def hang_up(self) -> None:
        """Let an idle worker see end of file; it exits on its own."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone already

    def unwind(self) -> None:
        """Have the task that runs raise SystemExit (see unwind.py), and the worker exit after it."""
        self.hang_up()
        self._child.send_signal(signal.SIGTERM)

    def reap(self) -> None:
        """Wait for a process that is dead or has been killed."""
        self._child.wait()

    @property
    def exit_code(self) -> int | None:
        """The exit code; negative for a signal; None while it is not reaped."""
        return self._child.returncode

    def rss_bytes(self) -> int:
        """Return the resident size now; 0 where the kernel does not tell. One system call."""
        try:
            if self._statm < 0:
                self._statm = os.open(f"/proc/{self.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
                self._descriptors.callback(os.close, self._statm)
            return int(os.pread(self._statm, 64, 0).split(None, 2)[1]) * PAGE_BYTES
        except (OSError, IndexError):
            return 0  # it is dead, or this is no Linux

    def peak_rss_bytes(self) -> int:
        """Return the largest resident size so far, in bytes; 0 where the kernel does not tell."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_bytes()
        except OSError:
            return 0
        _, found, rest = status.partition(b"VmHWM:")
        return int(rest.split(None, 1)[0]) * 1024 if found else 0

    def close(self) -> None:
        """Return the descriptors. The process must be reaped."""
        self._descriptors.close()
        self.token = self.output_fd = self.pidfd = self._statm = -1
        self.is_closed = True


def _orders(sock: int, token: int, tray: int, plan: Plan) -> Orders:
    return Orders(
        socket=sock,
        token=token,
        tray=tray,
        parent=os.getpid(),
        nice=plan.nice,
        level=lowest_level(),
        address_space=plan.address_space,
        recycle_above=plan.recycle_above or 0,
        max_result=plan.max_result_bytes or 0,
        has_setup=plan.setup is not None,
    )


def _start(orders: Orders, output: int, plan: Plan) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(BOOTSTRAP, orders, plan.preload),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=[fd for fd in (orders.socket, orders.token, orders.tray) if fd >= 0],
    )


def _pidfd(child: subprocess.Popen[bytes] | Forked) -> int:
    if isinstance(child, Forked):
        return child.pidfd
    if HAS_PIDFD:
        try:
            return os.pidfd_open(child.pid)
        except OSError:
            pass  # forbidden in some sandboxes; then end of file on the socket has to do
    return -1
