"""Many calls in one trip to a worker: how a stream's items and results travel, and what the worker does with them.

Every item and every result is pickled by itself. So its size is known, one that does not pickle or load costs only
itself, and results wait as bytes until somebody wants them. Costs the worker nothing to import.
"""

from __future__ import annotations

from collections.abc import Callable
from pickle import dumps, loads
from time import perf_counter
from typing import Any, NamedTuple

from pipelines.errors import TaskNotPicklable
from pipelines.pool.remote import Failure, pack

RAW_BYTES = 64 << 10
"""`bytes` of this size and more travel as they are: pickle copies smaller ones into its frames anyway (PEP 574)."""

Packed = bytes | tuple[bytes]
"""A pickle, or large `bytes` as they are."""
Answer = Packed | Failure


class Answers(NamedTuple):
    """What comes back; fewer answers than items when the trip was cut short."""

    seconds: float
    answers: list[Answer]


def packed(value: object) -> Packed:
    """Return a value in the form it travels in; raises whatever pickling raises."""
    if type(value) is bytes and len(value) >= RAW_BYTES:
        return (value,)
    return dumps(value, 5)


def unpacked(form: Packed) -> Any:
    """Return the value; raises whatever loading raises."""
    return form[0] if isinstance(form, tuple) else loads(form)  # noqa: S301 - from our own process


def size_of(answer: Answer) -> int:
    """Return the bytes an answer holds, its Python objects left out."""
    if isinstance(answer, bytes):
        return len(answer)
    if isinstance(answer, Failure):
        return len(answer.pickled or b"") + len(answer.summary) + len(answer.traceback)
    return len(answer[0])


def run_items(function: bytes, items: list[Packed], seconds: float, max_bytes: int) -> Answers:
    """Call a pickled function with one item after the other.

    Stops early, but never before the first, when `seconds` have passed or the results hold more than `max_bytes`:
    whoever sent the items sends the rest again. Raises TaskNotPicklable when the function cannot be loaded.
    """
    try:
        call: Callable[[Any], Any] = loads(function)  # noqa: S301 - from our own process
    except Exception as exc:
        raise TaskNotPicklable(
            f"the function of a stream cannot be loaded in the worker: {exc}; "
            "workers do not run the script that started them: define it in a module and import it"
        ) from exc
    answers: list[Answer] = []
    held = 0
    started = now = perf_counter()
    until = started + seconds
    for item in items:
        answer = _run(call, item)
        answers.append(answer)
        held += size_of(answer)
        now = perf_counter()
        if now >= until or held >= max_bytes:
            break
    return Answers(now - started, answers)


def _run(call: Callable[[Any], Any], item: Packed) -> Answer:
    """Run one item; the documented boundary at which anything it raises becomes an answer."""
    try:
        argument = unpacked(item)
    except Exception as exc:  # noqa: BLE001 - loading runs the user's code
        return _refused("the item cannot be loaded in the worker", exc)
    try:
        value = call(argument)
    except KeyboardInterrupt:  # where the caller's own process is the worker, Ctrl-C is the caller's
        raise
    except BaseException as exc:  # noqa: BLE001 - also SystemExit: an item does not end its worker
        return pack(exc)
    try:
        return packed(value)
    except Exception as exc:  # noqa: BLE001 - pickling runs the user's code
        return _refused(f"the result, a {type(value).__name__}, cannot be sent back", exc)


def _refused(what: str, cause: Exception) -> Failure:
    error = TaskNotPicklable(f"{what}: {cause}")
    error.__cause__ = cause
    return pack(error)
