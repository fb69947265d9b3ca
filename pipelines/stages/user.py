"""The user's own stages: `module:function`, a function, or a class, made ready in the process that will run them.

A stage is called with one Document, at once and without waiting, a hundred times a second. What cannot work so is
refused when the pipeline is built, not when the first page comes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType

from pipelines.errors import StageError
from pipelines.page import Document

Stage = Callable[[Document], "Document | None"]
"""A step of the pipeline: changes the document it is given, or returns another one."""

_FORM = "expected a callable that takes one Document: `def stage(doc)`, or a class with `def __call__(self, doc)`"


_prepared: dict[str, list[Stage | StageError]] = {}


def prepare_stages(names: Iterable[str]) -> None:
    """Import and construct stages for the pipeline that will name them; what is wrong with one is told there."""
    for name in names:
        ready: Stage | StageError
        try:
            ready = _load(name)
        except StageError as error:
            ready = error
        _prepared.setdefault(name, []).append(ready)


def load_stage(name: str) -> Stage:
    """Return the stage that `name` ("package.module:function") names; StageError says what is wrong with it."""
    if waiting := _prepared.get(name):
        ready = waiting.pop()
        if isinstance(ready, StageError):
            raise ready
        return ready
    return _load(name)


def _load(name: str) -> Stage:
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise StageError(
            f'stage {name!r}: expected "package.module:function"; write the module as in an import, a colon, and the '
            "name of the function"
        )
    module = _module(name, module_name)
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise StageError(f"stage {name!r}: module {module_name} has no {attribute!r}; {_hint(module, attribute)}")
        found = getattr(found, part)
    return as_stage(found, name)


def as_stage(found: object, name: str = "") -> Stage:
    """Return `found` as a stage: itself, what it names, or an instance of it; StageError says what is wrong with it."""
    if isinstance(found, str):
        return load_stage(found)
    name = name or name_of(found)
    stage = _made(found, name) if isinstance(found, type) else found
    if not callable(stage):
        raise StageError(f"stage {name!r}: is a {type(stage).__name__}, {_FORM}")
    _refuse_waiting(stage, name)
    _refuse_parameters(stage, name)
    return stage


def name_of(stage: object) -> str:
    """Return what a person calls a stage: the name of the function, or of the class."""
    return getattr(stage, "__qualname__", None) or type(stage).__qualname__


def label_of(stage: Stage) -> str:
    """Return how a stage is named where several may have the same name: `parse`, `shop:price`."""
    module = getattr(stage, "__module__", None) or ""
    name = name_of(stage)
    return name.lower() if module.startswith("pipelines.stages.") else f"{module}:{name}"


def _module(name: str, module_name: str) -> ModuleType:
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(f"{missing}."):
            remedy = "install it, or put the folder that holds it on PYTHONPATH; workers import it by this name"
        else:
            remedy = f"it imports {missing}, which is not installed here"
        raise StageError(f"stage {name!r}: cannot import {module_name}: {error}; {remedy}") from error
    except (Exception, SystemExit) as error:  # importing runs the user's code, which may raise anything
        what = f"{type(error).__name__}: {error}"
        remedy = "workers import it, so what the module does beyond defining things belongs under `__main__`"
        raise StageError(f"stage {name!r}: cannot import {module_name}: {what}; {remedy}") from error


def _hint(module: ModuleType, attribute: str) -> str:
    from difflib import get_close_matches  # only for a mistake

    names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    close = get_close_matches(attribute, names, 1)
    return f"did you mean {close[0]!r}?" if close else "define it at the top level of the module"


def _made(cls: type, name: str) -> object:
    """Construct a class: once for each pipeline of a worker."""
    try:
        inspect.signature(cls).bind()
    except ValueError:
        pass  # written in C, without a signature: the call will tell
    except TypeError as error:
        raise StageError(
            f"stage {name!r}: class {cls.__qualname__} is constructed without arguments, but: {error}; give its "
            "parameters defaults, or name a function"
        ) from error
    try:
        return cls()
    except Exception as error:  # the user's constructor may raise anything
        what = f"{type(error).__name__}: {error}"
        text = f"stage {name!r}: {cls.__qualname__}() raised {what}; it has to work in each worker"
        raise StageError(text) from error


def _refuse_waiting(stage: Stage, name: str) -> None:
    calls = (stage, getattr(stage, "__call__", None))  # noqa: B004 - the method itself, to look into it
    if any(inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call) for call in calls):
        raise StageError(
            f"stage {name!r}: is async, expected a plain function: a worker has no event loop; compute in the stage, "
            "and await where the records arrive"
        )
    if any(inspect.isgeneratorfunction(call) for call in calls):
        raise StageError(f"stage {name!r}: is a generator, whose body would never run; return instead of `yield`")


def _refuse_parameters(stage: Stage, name: str) -> None:
    try:
        signature = inspect.signature(stage)
    except (TypeError, ValueError):
        return  # written in C, without a signature: the first page will tell
    try:
        signature.bind(None)
    except TypeError as error:
        raise StageError(
            f"stage {name!r}: has the parameters {signature}, expected to be called with one Document: {error}; give "
            "the others defaults, or bind them with functools.partial"
        ) from error
