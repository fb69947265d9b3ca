"""What runs in a fork server: it imports what workers need, then forks one whenever it is asked to.

Single-threaded, and it does nothing else: a fork of it is as clean as a process of its own, but for what modules did
when they were imported. As the parent of the workers it also reaps them when told to, and ties them to life: when the
pool's process ends, the kernel ends this one, and with it the workers.

The control socket keeps messages apart (SOCK_SEQPACKET). From the pool: the orders of a worker with its descriptors
(socket, output, token, tray), or the id of a dead one to be reaped. Answers are numbers: see
`pipelines.pool.forkserver`.
"""

from __future__ import annotations

import gc
import os
import socket
from importlib import import_module
from typing import NoReturn

from pipelines.pool.orders import from_argument
from pipelines.pool.worker import begin, settle, tie_to, work

MAX_MESSAGE = 4096
MAX_DESCRIPTORS = 4


def main(argv: list[str]) -> NoReturn:
    """Serve until the pool hangs up. `argv`: as for a worker."""
    orders, preload = begin(argv)
    settle(orders)
    control = socket.socket(fileno=orders.socket)
    gc.disable()
    try:
        for name in preload:
            import_module(name)
    except BaseException:  # noqa: BLE001 - a module may raise anything; a worker that is started without us tells it
        os._exit(1)
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - pathlib is a slow import
        os._exit(1)  # a fork has one thread only, and the others' locks stay locked in it
    gc.freeze()  # what all share is never written to by a collection
    gc.enable()
    try:
        control.send(b"ready")
        while True:
            _serve(control)
    except OSError:
        os._exit(0)  # the pool has gone


def _serve(control: socket.socket) -> None:
    """Do what one message says."""
    message, descriptors, _, _ = socket.recv_fds(control, MAX_MESSAGE, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not message:
        os._exit(0)
    if not descriptors:
        _, status = os.waitpid(int(message), 0)
        control.send(b"%d" % os.waitstatus_to_exitcode(status))
        return
    me = os.getpid()
    try:
        pid = os.fork()
    except OSError as exc:
        pid = -(exc.errno or 1)
    if not pid:
        _become(control, me, message.decode(), descriptors)
    for fd in descriptors:
        os.close(fd)
    control.send(b"%d" % pid)


def _become(control: socket.socket, parent: int, message: str, descriptors: list[int]) -> NoReturn:
    """Be a worker from here on."""
    try:
        tie_to(parent)
        control.close()
        sock, output, *others = descriptors
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        orders = from_argument(message)
        token = others.pop(0) if orders.token >= 0 else -1
        tray = others.pop(0) if orders.tray >= 0 else -1
        work(orders._replace(socket=sock, token=token, tray=tray, parent=parent), [])
    finally:
        os._exit(1)
