"""Everything one thread waits for: the sockets, pipes and deaths of its workers, and a bell for other threads."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Iterable
from enum import Enum

from pipelines.pool.crew import Worker

_BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


class Line(Enum):
    """What of a worker calls."""

    FRAME = 1
    """Its socket has something to read."""
    ROOM = 2
    """Its socket takes more."""
    OUTPUT = 3
    """It printed something."""
    DEATH = 4
    SERVER = 5
    """The fork server became ready, or ended."""


class Switchboard:
    """A selector over the workers' descriptors, which stay the workers' property. Owns the pipe of its bell."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._heard, self._bell = os.pipe()
        for fd in (self._heard, self._bell):
            os.set_blocking(fd, False)
        self._selector.register(self._heard, selectors.EVENT_READ, None)

    def ring(self) -> None:
        """End a `wait` from any thread; nothing after `close`, which the caller's lock must keep apart from this."""
        if self._bell >= 0:
            try:
                os.write(self._bell, b"\0")
            except BlockingIOError:
                pass  # a full pipe rings just as well

    def wait(self, seconds: float | None) -> Iterable[tuple[Line, Worker | None]]:
        """Wait for at most so long and tell who calls; of the fork server, nobody."""
        for key, mask in self._selector.select(seconds):
            if key.data is None:
                os.read(self._heard, 4096)
                continue
            line, worker = key.data
            if line is Line.FRAME and not mask & selectors.EVENT_READ:
                line = Line.ROOM
            yield line, worker

    def listen(self, server: socket.socket) -> None:
        """Wait for the fork server from now on."""
        self._selector.register(server, selectors.EVENT_READ, (Line.SERVER, None))

    def connect(self, worker: Worker) -> None:
        """Wait for a new worker from now on."""
        process = worker.process
        self._selector.register(process.sock, selectors.EVENT_READ, (Line.FRAME, worker))
        self._selector.register(process.output_fd, selectors.EVENT_READ, (Line.OUTPUT, worker))
        if process.pidfd >= 0:
            self._selector.register(process.pidfd, selectors.EVENT_READ, (Line.DEATH, worker))

    def want_room(self, worker: Worker, wanted: bool) -> None:
        """Wait for room in a worker's socket, or no longer."""
        events = _BOTH if wanted else selectors.EVENT_READ
        self._selector.modify(worker.process.sock, events, (Line.FRAME, worker))

    def drop(self, descriptor: object) -> None:
        """Wait no more for one descriptor."""
        self._selector.unregister(descriptor)  # type: ignore[arg-type]  # an int or a socket

    def disconnect(self, worker: Worker) -> None:
        """Wait no more for a worker."""
        for key in list(self._selector.get_map().values()):
            if key.data is not None and key.data[1] is worker:
                self._selector.unregister(key.fileobj)

    def close(self) -> None:
        """Return the descriptors."""
        self._selector.close()
        os.close(self._heard)
        os.close(self._bell)
        self._bell = -1
