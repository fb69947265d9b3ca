"""The pool's side of a fork server: a process that has imported what workers need, and forks them.

Starting an interpreter and importing a parser costs many times what a fork costs. `multiprocessing` has the idea and
the name, but needs its own processes around it. Here it stays what a pool can do without: whatever is wrong with it (a
module that cannot be imported or starts a thread, a server that was killed), workers are started one by one again, and
what is wrong with a module is told then.

A worker's process is its child, not ours: it is killed through a pidfd and reaped by request. Until then it is a
zombie, so its id belongs to nobody else. All methods are for the supervisor's thread: the kernel ties the server to it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
from contextlib import ExitStack, suppress

from pipelines.pool.interpreter import command, keep_standard_descriptors
from pipelines.pool.levels import lowest_level
from pipelines.pool.orders import SERVER_BOOTSTRAP, Orders
from pipelines.pool.plan import Plan

ANSWER_SECONDS = 5.0
"""A server that does not answer for so long was stopped or is out of its mind."""
CAN_FORK = hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal") and os.path.isdir("/proc/self/task")  # noqa: PTH112 - once, at import


class ServerGoneError(OSError):
    """The fork server ended or does not answer."""


class Forked:
    """A worker's process, with the face of `subprocess.Popen` as far as a pool needs it."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        """Take the child `pid` of a server. Raises OSError."""
        self._server = server
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        """The caller's to close, after `wait`."""
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it was reaped."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def kill(self) -> None:
        """SIGKILL, unless it was reaped."""
        self.send_signal(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for a process that is dead or has been killed."""
        if self.returncode is None:
            poll = select.poll()
            poll.register(self.pidfd, select.POLLIN)
            poll.poll()
            self.returncode = self._server.reap(self.pid)
        return self.returncode


class ForkServer:
    """Owns the process and the socket to it until `close`."""

    def __init__(self, plan: Plan) -> None:
        """Begin to start it. Raises OSError."""
        self.is_ready = False
        with ExitStack() as ours, ExitStack() as theirs:
            keep_standard_descriptors(theirs)
            self.sock, sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(self.sock.close)
            theirs.callback(sock.close)
            self.sock.settimeout(ANSWER_SECONDS)
            orders = Orders(sock.fileno(), -1, -1, os.getpid(), plan.nice, lowest_level(), 0, 0, 0, False)
            self._popen = subprocess.Popen(
                command(SERVER_BOOTSTRAP, orders, plan.preload),
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a module prints when it is imported
                stderr=2,
                pass_fds=[sock.fileno()],
            )
            ours.pop_all()

    def heard(self) -> None:
        """Take note that it is ready. To be called when there is something to read. Raises ServerGoneError."""
        self.is_ready = self._answer() == b"ready"

    def fork(self, orders: Orders, output: int) -> Forked:
        """Return a new worker with these orders, and with its output going to a descriptor. Raises OSError."""
        descriptors = [fd for fd in (orders.socket, output, orders.token, orders.tray) if fd >= 0]
        try:
            socket.send_fds(self.sock, [orders.as_argument().encode()], descriptors)
        except OSError as exc:
            raise ServerGoneError(f"the fork server is gone: {exc}") from exc
        pid = int(self._answer())
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return Forked(self, pid)

    def reap(self, pid: int) -> int:
        """Return how a dead child ended: an exit code, or minus a signal.

        Once the server is gone nobody knows; the kernel killed its children then, by the tie to it.
        """
        try:
            self.sock.send(b"%d" % pid)
            return int(self._answer())
        except OSError:
            return -signal.SIGKILL

    def close(self) -> None:
        """End it, and with it all workers that it made."""
        self._popen.kill()
        self._popen.wait()
        self.sock.close()

    def _answer(self) -> bytes:
        try:
            answer = self.sock.recv(64)
        except OSError as exc:
            raise ServerGoneError(f"the fork server does not answer: {exc}") from exc
        if not answer:
            raise ServerGoneError("the fork server has ended")
        return answer
