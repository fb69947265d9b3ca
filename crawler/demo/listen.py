"""Listening sockets: one port on many loopback addresses."""

from __future__ import annotations

import contextlib
import socket

_PORT_TRIES = 20


def listen(addresses: list[str], port: int) -> list[socket.socket]:
    """Return listening sockets at the same port of all addresses; `port=0` picks one that is free at all of them.

    Raises OSError, naming address and port, when one is taken.
    """
    for attempt in range(_PORT_TRIES):
        with contextlib.ExitStack() as stack:
            chosen, sockets = port, []
            try:
                for address in addresses:
                    sockets.append(stack.enter_context(_listener(address, chosen)))
                    chosen = sockets[0].getsockname()[1]
            except OSError:
                if port or attempt == _PORT_TRIES - 1:
                    raise
                continue
            stack.pop_all()
            return sockets
    raise AssertionError("unreachable")


def _listener(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        raise OSError(exc.errno, f"cannot listen on {address}:{port}: {exc.strerror}") from exc
    return sock
