"""The contract of all backends: what each must do, and what each must do because it says so."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator

from pipelines.backends.backend import Backend, Guarantee
from pipelines.testing import backend_calls, backend_ends, backend_stream
from pipelines.testing.backend_orphans import check_no_orphans
from pipelines.testing.rules import Rule, violation

RULES: tuple[Rule, ...] = (*backend_calls.RULES, *backend_stream.RULES, *backend_ends.RULES)


def check_backend(make: Callable[[], Backend]) -> list[str]:
    """Hold a backend against every rule that its guarantees ask for; takes some ten seconds.

    `make` returns a new backend with at least two places, and is called several times; each is closed here. When it
    can be pickled by name, it is also made in a process that is killed.

    Returns the names of the rules that were checked. Raises AssertionError for the first one broken, with the rule,
    the case and the remedy.
    """
    return list(_checked(make))


def _checked(make: Callable[[], Backend]) -> Iterator[str]:
    shared = make()
    try:
        _check_face(shared)
        rules = [rule for rule in RULES if rule.needs <= shared.guarantees]
        for rule in rules:
            if not rule.fresh:
                rule.run(shared)
                yield rule.name
    finally:
        shared.close()
    for rule in rules:
        if rule.fresh:
            backend = make()
            try:
                rule.run(backend)
            finally:
                backend.close()
            yield rule.name
    if Guarantee.NO_ORPHANS in shared.guarantees and _has_name(make):
        check_no_orphans(make)
        yield "no_orphans"


def _check_face(backend: Backend) -> None:
    name, promised = getattr(backend, "name", None), getattr(backend, "guarantees", None)
    if not isinstance(name, str) or not name:
        raise violation("A backend has a name for messages", f"name is {name!r}", "set `name` to a text")
    if not isinstance(promised, frozenset) or not promised <= frozenset(Guarantee):
        case = f"{name}: guarantees is {promised!r}"
        raise violation("A backend says what it guarantees", case, "set `guarantees` to a frozenset of Guarantee")


def _has_name(make: Callable[[], Backend]) -> bool:
    try:
        return pickle.loads(pickle.dumps(make)) is make and make.__module__ != "__main__"  # noqa: S301 - just made
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
