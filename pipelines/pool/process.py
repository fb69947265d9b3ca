"""The process of one worker: its start, its signs of life and of death, its last words.

`subprocess` and not `multiprocessing`: nothing is forked from a threaded parent, and it also works inside daemonic
processes (Dask, Celery). A `Process` must be started by the thread that watches it, because the kernel ties
`PR_SET_PDEATHSIG` to the thread that forked, not to its process.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pipelines.pool.worker import BOOTSTRAP

TAIL_BYTES = 4096
"""How much of a worker's output is kept to explain its death."""
MAX_READS = 64
"""How often the pipe of a dead worker is read: one of its own children may still be writing."""
SOCKET_BYTES = 1 << 20
"""Asked of the kernel, which caps it (net.core.wmem_max, 208 KiB by default)."""

HAS_PIDFD = hasattr(os, "pidfd_open")
HAS_TOKENS = hasattr(os, "eventfd")
"""Without eventfd (Linux 2.6.27) nothing can be withdrawn, so nothing is sent ahead."""


class Process:
    """One child. Owns its descriptors: `sock`, `pidfd`, `token` and `output`; `close` returns them."""

    def __init__(self, *, preload: Sequence[str], nice: int) -> None:
        self.tail = b""
        self.token = self.pidfd = -1
        with ExitStack() as ours, ExitStack() as theirs:
            if HAS_TOKENS:
                self.token = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
                ours.callback(os.close, self.token)
            self.sock, sock = socket.socketpair()
            ours.callback(self.sock.close)
            theirs.callback(sock.close)
            self.output, output = os.pipe()
            ours.callback(os.close, self.output)
            theirs.callback(os.close, output)
            for end in (self.sock, sock):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            self.sock.setblocking(False)
            os.set_blocking(self.output, False)
            self._popen = subprocess.Popen(
                _command(sock.fileno(), self.token, nice, preload),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[sock.fileno(), self.token] if HAS_TOKENS else [sock.fileno()],
            )
            self.pid = self._popen.pid
            self._descriptors = ours.pop_all()
        if HAS_PIDFD:
            try:
                self.pidfd = os.pidfd_open(self.pid)
                self._descriptors.callback(os.close, self.pidfd)
            except OSError:
                pass  # forbidden in some sandboxes; then end of file on the socket has to do

    def kill(self) -> None:
        """SIGKILL: the only signal that ends C code that holds the GIL."""
        self._popen.kill()

    def hang_up(self) -> None:
        """Let an idle worker see end of file; it exits on its own."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone already

    def reap(self) -> None:
        """Wait for a process that is dead or has been killed."""
        self._popen.wait()

    def relay(self) -> bool:
        """Pass on what the worker printed, keep its tail; False at end of file.

        A stderr that takes nothing (a stopped terminal, a full pipe) must not stop the supervisor: then it is dropped.
        """
        try:
            data = os.read(self.output, select.PIPE_BUF)
        except BlockingIOError:
            return True
        if not data:
            return False
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        try:
            # POLLOUT promises room for PIPE_BUF bytes.
            if select.select([], [2], [], 0)[1]:
                os.write(2, data)
        except (OSError, ValueError):
            pass  # there is no stderr
        return True

    def last_words(self) -> str:
        """Return the end of what the worker printed."""
        for _ in range(MAX_READS):
            before = self.tail
            if not self.relay() or self.tail == before:
                break
        return self.tail.decode("utf-8", "replace").strip()

    def obituary(self) -> str:
        """Say how the process ended, for a message: `was killed by SIGSEGV`, `exited with code 3`."""
        code = self._popen.returncode
        if code is None:
            return "hung up"
        if code >= 0:
            return f"exited with code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

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
        self.token = self.output = self.pidfd = -1


def _command(sock: int, token: int, nice: int, preload: Sequence[str]) -> list[str]:
    flags = ["-O"] * sys.flags.optimize
    flags += [f"-W{option}" for option in sys.warnoptions]
    flags += [f"-X{key}" if value is True else f"-X{key}={value}" for key, value in sys._xoptions.items()]  # noqa: SLF001 - public
    if sys.flags.dont_write_bytecode:
        flags.append("-B")
    if not _needs_site():
        flags.append("-S")  # site reads every .pth file; the child gets the finished sys.path instead
    path = [entry or str(Path.cwd()) for entry in sys.path]
    numbers = [str(number) for number in (sock, token, os.getpid(), nice)]
    return [sys.executable, *flags, "-Xfaulthandler", "-c", BOOTSTRAP, *numbers, ",".join(preload), *path]


def _needs_site() -> bool:
    """Say whether sys.path is not all: editable installs by setuptools and coverage hook in through .pth files."""
    editable = any(str(getattr(finder, "__module__", "")).startswith("__editable__") for finder in sys.meta_path)
    return editable or "COVERAGE_PROCESS_START" in os.environ or "COVERAGE_PROCESS_CONFIG" in os.environ
