"""One task on its way through the pool, and the future its caller holds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from time import monotonic
from typing import Any, TypeVar

from pipelines.errors import TaskNotPicklable
from pipelines.pool.admission import Ticket
from pipelines.pool.channel import Frame
from pipelines.pool.frames import Chunk, Kind, decode, encode, size_of
from pipelines.pool.limits import Limits
from pipelines.pool.names import homeless, name_of
from pipelines.pool.outcome import Outcome, Record, Status
from pipelines.pool.remote import unpack

T = TypeVar("T")
Function = Callable[..., Any]
OnCancel = Callable[[int, bool, bool], None]
"""Is told the task's number, whether to kill the worker that runs it, and whether it hears of this task again."""

_ADVICE = (
    "a worker is another process: it can be given functions that it can import by name (no lambda, no nested function) "
    "and arguments that pickle (no open file, socket, lock, generator or database connection)"
)


class TaskFuture(Future[T]):
    """A future that tells the pool when it is cancelled, can stop a task that runs, and knows what the task cost.

    The base class counts it as pending until it is done, so that its public methods alone can cancel it while it runs.
    """

    def __init__(self, ident: int, record: Record, on_cancel: OnCancel) -> None:
        super().__init__()
        self.record = record
        self.has_started = False
        self.is_unwanted = False  # cancelled, or about to be
        self._ident = ident
        self._on_cancel = on_cancel
        self._is_untold = True  # of its cancellation

    def running(self) -> bool:
        """Whether a worker has been told to run it."""
        return self.has_started and not self.done()

    def cancel(self) -> bool:
        """Cancel the task if it has not started; like `Future.cancel`."""
        if self.has_started:
            return self.cancelled()
        return self._end(kill=False)

    def stop(self) -> None:
        """Cancel the task; when it runs, kill its worker. Does nothing to one that is done."""
        self._end(kill=True)

    @property
    def outcome(self) -> Outcome[T]:
        """What became of the task, as a value. Raises InvalidStateError before it is done."""
        if not self.done():
            raise InvalidStateError("the task is not done")
        if self.cancelled():
            self.record.status, self.record.cause = Status.CANCELLED, ""  # a late answer may have written here
            return self.record.outcome(None, CancelledError())
        error = self.exception()
        return self.record.outcome(self.result() if error is None else None, error)

    def _end(self, *, kill: bool) -> bool:
        if not self.done():
            self.record.ended = monotonic()
        self.is_unwanted = True  # before the state changes, so that no worker is given it in between
        if not super().cancel():
            return False
        # Taking a key out of a dict is atomic: of all threads that cancel at once, one gets True.
        is_first = self.__dict__.pop("_is_untold", False)
        if is_first:
            self.set_running_or_notify_cancel()  # those who `wait` for it hear of it
        if is_first or kill:
            self._on_cancel(self._ident, kill, not is_first)
        return True


class Task:
    """A pickled call. Its payload is kept until it has certainly started, because until then it may move."""

    __slots__ = ("buffers", "chunks", "function", "future", "ident", "limits", "moves", "record", "size", "ticket")

    def __init__(
        self,
        ident: int,
        function: Function,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        limits: Limits,
        on_cancel: OnCancel,
        asked: float = 0.0,
    ) -> None:
        """`asked`: monotonic seconds of the call, if that had to wait. Raises TaskNotPicklable."""
        began = monotonic()
        self.chunks, self.buffers = pickled(function, args, kwargs)
        self.size = size_of(self.chunks)
        self.ident = ident
        self.function = function
        self.limits = limits
        self.moves = 0
        self.ticket: Ticket | None = None
        self.record = Record(asked or began, began, monotonic())
        self.future: TaskFuture[Any] = TaskFuture(ident, self.record, on_cancel)

    @property
    def name(self) -> str:
        """The function's full name, for messages."""
        return name_of(self.function)

    def claim(self) -> bool:
        """Mark the future as running; False when it was cancelled."""
        self.future.has_started = not self.future.is_unwanted
        return self.future.has_started

    def settle(self, frame: Frame) -> None:
        """Answer the caller with a worker's VALUE, FAILURE or EXHAUSTED; runs the future's callbacks."""
        record = self.record
        record.ran, record.peak_rss = frame.run_s, frame.peak_rss
        if self.ticket is not None:
            self.ticket.arrived(len(frame.body))
        try:
            answer = decode(frame.body, frame.buffers, copy=frame.is_scratch)
        except Exception as exc:  # noqa: BLE001 - loading runs the user's code
            error = TaskNotPicklable(f"{self.name}: its result cannot be loaded here: {exc}")
            error.__cause__ = exc
            self.fail(error, Status.ERROR)
            return
        if frame.kind == Kind.VALUE:
            record.status = Status.OK
            record.ended = monotonic()
            try:
                self.future.set_result(answer)
            except InvalidStateError:
                record.status = Status.CANCELLED  # too late to be taken back: it ran, and nobody wants it
        elif frame.kind == Kind.EXHAUSTED:
            self.fail(unpack(answer), Status.OOM, "MemoryError")
        else:
            self.fail(unpack(answer), Status.ERROR)

    def fail(self, error: BaseException, status: Status, cause: str = "") -> None:
        """Answer the caller with an exception; runs the future's callbacks."""
        record = self.record
        record.status, record.cause = status, cause
        record.ended = monotonic()
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            record.status, record.cause = Status.CANCELLED, ""


def pickled(
    function: Function, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
) -> tuple[list[Chunk], int]:
    """Return a call as the body of a frame, with the number of its buffers. Raises TaskNotPicklable."""
    if refusal := homeless(function):
        raise TaskNotPicklable(refusal)
    try:
        return encode((function, args, kwargs or {}))
    except Exception as exc:
        raise TaskNotPicklable(f"{name_of(function)} cannot be sent to a worker: {exc}; {_ADVICE}") from exc
