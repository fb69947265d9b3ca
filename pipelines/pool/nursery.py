"""Where workers come from: a fork server, if one is wanted and works, else one interpreter each."""

from __future__ import annotations

import logging

from pipelines.pool.forkserver import CAN_FORK, ForkServer, ServerGoneError
from pipelines.pool.plan import Plan
from pipelines.pool.process import Process
from pipelines.pool.relay import Relay
from pipelines.pool.switchboard import Switchboard

_log = logging.getLogger(__name__)


class Nursery:
    """Starts the processes of one pool. For the supervisor's thread; owns the fork server until `close`."""

    def __init__(self, plan: Plan, relay: Relay, board: Switchboard) -> None:
        self._plan = plan
        self._relay = relay
        self._board = board
        self._server: ForkServer | None = None

    def open(self) -> None:
        """Begin to start the fork server, if there is to be one."""
        if not (self._plan.forks and CAN_FORK):
            return
        try:
            self._server = ForkServer(self._plan)
        except OSError:
            return  # the start of a worker will meet the same, and knows what to do then
        self._board.listen(self._server.sock)

    @property
    def is_ready(self) -> bool:
        """Whether processes can be started now."""
        return self._server is None or self._server.is_ready

    def called(self) -> bool:
        """Take note that the fork server became ready, or ended; return that something has changed."""
        try:
            if self._server is not None:
                self._server.heard()
        except ServerGoneError as exc:
            self._give_up(exc)
        return True

    def start(self) -> Process:
        """Return a new process. Raises OSError."""
        if self._server is not None:
            try:
                return Process(self._plan, self._relay, self._server)
            except ServerGoneError as exc:
                self._give_up(exc)
        return Process(self._plan, self._relay)

    def close(self) -> None:
        """End the fork server; all that it forked must have been reaped."""
        if self._server is not None:
            self._board.drop(self._server.sock)
            self._server.close()
            self._server = None

    def _give_up(self, reason: ServerGoneError) -> None:
        _log.debug("%s: %s; workers are started one by one from now on", self._plan.name, reason)
        self.close()
