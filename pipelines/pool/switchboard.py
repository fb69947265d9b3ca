"""Everything one thread waits for: the sockets, pipes and deaths of its workers, and a bell for other threads."""

from __future__ import annotations

import os
import selectors
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum

from pipelines.pool.crew import Worker


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


_FRAMES = object()


class Switchboard:
    """A selector over the workers' descriptors, which stay the workers' property. Owns the pipe of its bell.

    What workers send is watched by a selector of its own, so that somebody else can do it (see attendance.py).
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._frames: selectors.DefaultSelector | None = selectors.DefaultSelector()
        self._looking = threading.Lock()  # or it might be closed meanwhile, and its number belong to another file
        self.frames_fd = self._frames.fileno()
        """Readable while a worker has sent something."""
        self._heard, self._bell = os.pipe()
        for fd in (self._heard, self._bell):
            os.set_blocking(fd, False)
        self._selector.register(self._heard, selectors.EVENT_READ, None)
        self._selector.register(self.frames_fd, selectors.EVENT_READ, _FRAMES)

    def ring(self) -> None:
        """End a `wait` from any thread; nothing after `close`, which the caller's lock must keep apart from this."""
        if self._bell >= 0:
            try:
                os.write(self._bell, b"\0")
            except BlockingIOError:
                pass  # a full pipe rings just as well

    def wait(self, seconds: float | None) -> Iterable[tuple[Line, Worker | None]]:
        """Wait for at most so long and tell who calls; of the fork server, nobody."""
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                os.read(self._heard, 4096)
            elif key.data is _FRAMES:
                for worker in self.calling():
                    yield Line.FRAME, worker
            else:
                yield key.data

    def calling(self) -> list[Worker]:
        """Return the workers that have sent something. May be called from any thread."""
        with self._looking:
            return [] if self._frames is None else [key.data for key, _ in self._frames.select(0)]

    def watch_frames(self, wanted: bool) -> None:
        """Have `wait` tell of what workers send, or no longer. With the supervisor's lock held, from any thread."""
        if self._frames is None or (self.frames_fd in self._selector.get_map()) == wanted:
            return
        if wanted:
            self._selector.register(self.frames_fd, selectors.EVENT_READ, _FRAMES)
        else:
            self._selector.unregister(self.frames_fd)

    def listen(self, server: socket.socket) -> None:
        """Wait for the fork server from now on."""
        self._selector.register(server, selectors.EVENT_READ, (Line.SERVER, None))

    def connect(self, worker: Worker) -> None:
        """Wait for a new worker from now on."""
        process = worker.process
        assert self._frames is not None
        self._frames.register(process.sock, selectors.EVENT_READ, worker)
        self._selector.register(process.output_fd, selectors.EVENT_READ, (Line.OUTPUT, worker))
        if process.pidfd >= 0:
            self._selector.register(process.pidfd, selectors.EVENT_READ, (Line.DEATH, worker))

    def want_room(self, worker: Worker, wanted: bool) -> None:
        """Wait for room in a worker's socket, or no longer."""
        if (worker.process.sock in self._selector.get_map()) == wanted:
            return
        if wanted:
            self._selector.register(worker.process.sock, selectors.EVENT_WRITE, (Line.ROOM, worker))
        else:
            self._selector.unregister(worker.process.sock)

    def deafen(self, worker: Worker) -> None:
        """Wait no more for what a worker sends. May be called from any thread, and more than once."""
        if self._frames is not None:
            with suppress(KeyError):
                self._frames.unregister(worker.process.sock)

    def drop(self, descriptor: object) -> None:
        """Wait no more for one descriptor."""
        self._selector.unregister(descriptor)  # type: ignore[arg-type]  # an int or a socket

    def disconnect(self, worker: Worker) -> None:
        """Wait no more for a worker."""
        self.deafen(worker)
        for key in list(self._selector.get_map().values()):
            if key.data is not None and key.data is not _FRAMES and key.data[1] is worker:
                self._selector.unregister(key.fileobj)

    def close(self) -> None:
        """Return the descriptors."""
        self._selector.close()
        with self._looking:
            frames, self._frames = self._frames, None
        if frames is not None:
            frames.close()
        os.close(self._heard)
        os.close(self._bell)
        self._bell = -1
