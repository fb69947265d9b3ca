"""One task on its way through the pool, and the future its caller holds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pipelines.errors import TaskNotPicklable
from pipelines.pool.channel import Frame
from pipelines.pool.frames import Chunk, Kind, decode, encode
from pipelines.pool.remote import unpack

Function = Callable[..., Any]

_ADVICE = (
    "a worker is another process: it can be given functions that it can import by name (no lambda, no nested function) "
    "and arguments that pickle (no open file, socket, lock, generator or database connection)"
)


class TaskFuture(Future[Any]):
    """A future that tells the pool when it is cancelled, so that its place in the queue comes back at once."""

    def __init__(self, ident: int, on_cancel: Callable[[int], None]) -> None:
        super().__init__()
        self._ident = ident
        self._on_cancel = on_cancel

    def cancel(self) -> bool:
        """Cancel the task if it has not started; like `Future.cancel`."""
        already = self.cancelled()
        done = super().cancel()
        if done and not already:
            self._on_cancel(self._ident)
        return done


class Task:
    """A pickled call. Its payload is kept until it has certainly started, because until then it may move."""

    __slots__ = ("buffers", "chunks", "deadline", "function", "future", "ident", "is_cancelled", "is_running", "moves")

    def __init__(
        self,
        ident: int,
        function: Function,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        deadline: float | None,
        on_cancel: Callable[[int], None],
    ) -> None:
        self.chunks, self.buffers = _pickled(function, args, kwargs)
        self.ident = ident
        self.function = function
        self.deadline = deadline
        self.is_running = False  # the future says so too and can no longer be cancelled
        self.is_cancelled = False
        self.moves = 0
        self.future = TaskFuture(ident, on_cancel)

    @property
    def name(self) -> str:
        """The function's full name, for messages."""
        return name_of(self.function)

    def claim(self) -> bool:
        """Mark the future as running; False when it was cancelled, of which those who wait for it hear now."""
        if not self.is_running and not self.is_cancelled:
            self.is_running = self.future.set_running_or_notify_cancel()
            self.is_cancelled = not self.is_running
        return self.is_running

    def settle(self, frame: Frame) -> None:
        """Answer the caller with a worker's VALUE or FAILURE; runs the future's callbacks."""
        try:
            answer = decode(frame.body, frame.buffers, copy=frame.is_scratch)
        except Exception as exc:  # noqa: BLE001 - loading runs the user's code
            error = TaskNotPicklable(f"{self.name}: its result cannot be loaded here: {exc}")
            error.__cause__ = exc
            self.fail(error)
            return
        if frame.kind == Kind.FAILURE:
            self.fail(unpack(answer))
            return
        if self.claim():  # else cancelled while it waited, too late to be taken back
            self.future.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Answer the caller with an exception; runs the future's callbacks."""
        if self.claim():
            self.future.set_exception(error)


def name_of(function: Function) -> str:
    """Return a function's full name, as far as it has one."""
    qualname = getattr(function, "__qualname__", None)
    return f"{function.__module__}.{qualname}" if qualname else repr(function)


def _pickled(function: Function, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[list[Chunk], int]:
    if getattr(function, "__module__", None) == "__main__":
        raise TaskNotPicklable(
            f"{name_of(function)}: defined in the script that was started, which workers do not run; "
            "define it in a module and import it"
        )
    try:
        return encode((function, args, kwargs))
    except Exception as exc:
        raise TaskNotPicklable(f"{name_of(function)} cannot be sent to a worker: {exc}; {_ADVICE}") from exc
