"""What became of one task: its value or error, the cause in a few words, and what it cost."""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar, cast

T = TypeVar("T")


class Status(StrEnum):
    """How a task ended."""

    OK = "ok"
    ERROR = "error"
    """It raised, or its result does not pickle."""
    TIMEOUT = "timeout"
    """It ran past its deadline; its worker was killed."""
    OOM = "oom"
    """It took too much memory: MemoryError, the pool's limit, or the kernel's OOM killer."""
    CRASH = "crash"
    """It ended its worker: a signal, a segmentation fault, `os._exit`."""
    CANCELLED = "cancelled"
    """Nobody wants its result any more, or the pool was closed first."""


class Outcome(NamedTuple, Generic[T]):
    """A task that is over. The times are seconds, the sizes bytes."""

    status: Status
    value: T | None = None
    error: BaseException | None = None
    """What `unwrap` raises; None exactly when the status is ok."""
    cause: str = ""
    """`SIGSEGV`, `exit code 3`, `deadline of 1 s`, `RSS 812 MiB above 512 MiB`; empty where the error says it all."""
    attempts: int = 0
    """How often it was given to a worker: more than once if one died before it began."""
    worker: int | None = None
    """Process id of the last worker that had it."""
    queued_s: float = 0.0
    """From the call until a worker was free for it, admission included."""
    transfer_s: float = 0.0
    """Pickling, moving and loading, both ways."""
    run_s: float = 0.0
    """In the function; as the parent saw it when the worker died."""
    peak_rss: int = 0
    """Largest resident size of the worker during the task; 0 when nobody could tell.

    Of a worker that died of itself the kernel keeps nothing: then it is the largest size that was seen, if the task had
    a memory limit, and 0 if it had none.
    """

    def unwrap(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return cast("T", self.value)


class Record:
    """The figures of one task while they come in. Shared by the task and the future of its caller."""

    __slots__ = (
        "asked",
        "attempts",
        "cause",
        "ended",
        "packed",
        "peak_rss",
        "ran",
        "sent",
        "status",
        "waited",
        "worker",
    )

    def __init__(self, asked: float, began: float, packed: float) -> None:
        """`asked`, `began`, `packed`: monotonic seconds of the call, and of its pickling."""
        self.asked = asked
        self.waited = began - asked
        self.packed = packed
        self.sent = self.ended = self.ran = 0.0
        self.attempts = self.peak_rss = 0
        self.worker: int | None = None
        self.status = Status.CANCELLED
        self.cause = ""

    def outcome(self, value: T | None, error: BaseException | None) -> Outcome[T]:
        """Return the figures with what the future holds."""
        queued = self.waited + (self.sent or self.ended or self.packed) - self.packed
        ran = self.ran
        if self.sent and not ran and self.status not in (Status.OK, Status.ERROR):
            ran = max(0.0, self.ended - self.sent)  # the worker could not tell
        return Outcome(
            self.status,
            value,
            error,
            self.cause,
            self.attempts,
            self.worker,
            queued_s=queued,
            transfer_s=max(0.0, self.ended - self.asked - queued - ran) if self.ended else 0.0,
            run_s=ran,
            peak_rss=self.peak_rss,
        )
