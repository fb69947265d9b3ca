"""What a rule is, and how a violation is told: the rule, the case that shows it, what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

from pipelines.backends.backend import Backend, Guarantee

SECONDS = 30.0
"""No rule waits longer for one answer."""


class Broken(Exception):
    """A rule is not kept; the text is the case."""


def violation(rule: str, case: str, remedy: str) -> AssertionError:
    """Return the error that names all three."""
    return AssertionError(f"rule: {rule}\n  case: {case}\n  remedy: {remedy}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule for backends."""

    name: str
    text: str
    remedy: str
    needs: frozenset[Guarantee]
    """Only who promises these must keep it."""
    fresh: bool
    """It closes the backend or breaks what does not keep it: not to be shared with other rules."""
    check: Callable[[Backend], None]

    def run(self, backend: Backend) -> None:
        """Raise AssertionError when `backend` breaks the rule."""
        try:
            self.check(backend)
        except Broken as broken:
            raise violation(self.text, f"{backend.name}: {broken}", self.remedy) from broken
        except Exception as error:
            case = f"{backend.name}: raised {type(error).__name__}: {error}"
            raise violation(self.text, case, self.remedy) from error


def rule(remedy: str, *needs: Guarantee, fresh: bool = False) -> Callable[[Callable[[Backend], None]], Rule]:
    """Make a rule of a function, whose docstring is its text."""

    def made(check: Callable[[Backend], None]) -> Rule:
        text = " ".join((check.__doc__ or "").split()).removesuffix(".")
        return Rule(check.__name__, text, remedy, frozenset(needs), fresh, check)

    return made


def expect(holds: bool, case: str) -> None:
    """Raise Broken with the case when it does not hold."""
    if not holds:
        raise Broken(case)


def answer(future: Future[Any]) -> Any:
    """Return the result. Raises Broken when there is none in time, and what the task raised."""
    wait(future)
    return future.result(0)


def error_of(future: Future[Any]) -> BaseException | None:
    """Return what the task raised, a cancellation included."""
    wait(future)
    try:
        return future.exception(0)
    except CancelledError as cancelled:
        return cancelled


def wait(future: Future[Any]) -> None:
    """Return when the future is done. Raises Broken when it takes too long."""
    try:
        future.exception(SECONDS)
    except CancelledError:
        return  # done, too
    except TimeoutError:
        if not future.done():
            raise Broken(f"no answer within {SECONDS:.0f} s") from None
