"""Exceptions that cross from a worker to its parent: always something comes back, with the worker's traceback.

Three ways, tried in this order in the worker, because a pickle that works may still not load:

1. the exception pickles and loads as itself;
2. its class travels and its state is put back without calling `__init__` (classes whose `__init__` takes other
   arguments than it hands to `Exception` pickle, and then fail to load);
3. a `RemoteError` tells its type and text.

Exceptions that mean something to the parent's own interpreter (`SystemExit`, `KeyboardInterrupt`, `CancelledError`,
`StopIteration`, …) always take the third way: raised again from a future they would stop or hang an event loop.
"""

from __future__ import annotations

from pickle import dumps, loads
from typing import Any, NamedTuple

from pipelines.errors import RemoteError

__all__ = ["Failure", "RemoteError", "RemoteTraceback", "pack", "unpack"]


class RemoteTraceback(Exception):
    """The traceback in the worker, as the `__cause__` of the exception that came back."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class Failure(NamedTuple):
    """What a FAILURE frame carries."""

    pickled: bytes | None
    summary: str
    traceback: str


def pack(error: BaseException, max_bytes: int = 0) -> Failure:
    """Return `error` in a form that is certain to pickle and to load, of about `max_bytes` if that is not 0."""
    import traceback  # 8 ms that a worker start need not pay

    try:
        text = "".join(traceback.format_exception(error))
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may raise anything; the failure must still travel
        text = f"(the traceback could not be formatted: {type(broken).__name__})"
    pickled, trouble = _pickled(error)
    if max_bytes and len(text) + len(pickled or b"") > max_bytes:
        pickled, trouble = None, f"it is larger than the {max_bytes:,} bytes that a result may have"
        text = text[-max_bytes // 4 :]  # the end names the place, and a character is four bytes at most
    if trouble:
        text += f"(it came as text: {trouble})\n"
    return Failure(pickled, _summary(error), text)


def unpack(failure: Failure) -> BaseException:
    """Return the exception to be raised in the parent."""
    error: BaseException | None = None
    if failure.pickled is not None:
        try:
            error = _load(failure.pickled)
        except Exception as exc:  # noqa: BLE001 - a class that only the worker can import, or a hostile __setstate__
            error = RemoteError(f"{failure.summary} (and it does not load here: {exc!r})")
    if error is None:
        error = RemoteError(failure.summary)
    error.__cause__ = RemoteTraceback(failure.traceback)
    return error


def _summary(error: BaseException) -> str:
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    try:
        return f"{kind}: {error}"[:2000]
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        return kind


def _pickled(error: BaseException) -> tuple[bytes | None, str]:
    """Return the first form that travels; None with what is in the way when none does."""
    if not isinstance(error, Exception) or isinstance(error, StopIteration | StopAsyncIteration):
        return None, "here it would be taken for one of this process"
    trouble = "it loads as another exception than it was"
    for form in (error, (type(error), error.args, error.__dict__)):
        try:
            data = dumps(form, 5)
            loaded = _load(data)
            if type(loaded) is type(error) and loaded.args == error.args:
                return data, ""
        except Exception as exc:  # noqa: BLE001 - pickling runs the user's code; the next form is tried instead
            trouble = _summary(exc)
    return None, trouble


def _load(data: bytes) -> BaseException:
    form: Any = loads(data)  # noqa: S301 - from our own process
    if isinstance(form, BaseException):
        return form
    cls, args, state = form
    error: BaseException = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error
