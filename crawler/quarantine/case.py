"""One case: the page that broke its workers, what was done to it, how it ended, and in what surroundings.

On disk a case is a folder of two files, `case.json` and `body`, the body as it came off the wire. There is no pickle in
it: a folder that somebody else sent can be looked at without running what is in it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from crawler.frontier.scope import Scope, ScopeRules
from pipelines.page import Page
from pipelines.spec import PipelineSpec
from pipelines.stages.options import StageOptions

CASE, BODY = "case.json", "body"
VERSION = 1
_PRIVATE = frozenset({"set-cookie", "set-cookie2"})
"""Response headers that are left out: a session of ours, and no stage reads them."""
_LIBRARIES = ("crawlmill", "selectolax", "orjson", "ada-url", "brotli", "zstandard")


class CaseError(ValueError):
    """A folder that is no case, or of another version; the text says which and why."""


class Case(NamedTuple):
    """What is kept of a page."""

    page: Page
    options: StageOptions
    rules: ScopeRules
    cause: str
    """`timeout`, `crash` or `memory`."""
    detail: str
    """What was known of the death, with the last words of the worker."""
    stage: str
    """Where it was then, such as `parse` or `shop:price`; empty when nobody knows."""
    page_timeout: float
    """Seconds it had."""
    memory: int | None
    """Resident bytes its worker had; None for no limit."""
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """The same page with the same body is the same case, in whatever run."""
        digest = hashlib.sha256(self.page.url.encode("utf-8", "surrogatepass") + b"\n" + self.page.body)
        return digest.hexdigest()[:12]

    def spec(self) -> PipelineSpec:
        """Return the pipeline as it was, but for the key of the job, which is a secret and plays no part."""
        return PipelineSpec(self.options, Scope(self.rules), fingerprint_key=b"\0" * 16)


def environment() -> dict[str, str]:
    """Return the versions of all that works on a page, and the machine's kind."""
    import platform  # only here: no crawl without a broken worker pays for these
    from importlib import metadata

    found = {"python": sys.version.split()[0], "platform": platform.platform(), "machine": platform.machine()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def save(case: Case, folder: Path, *, durable: bool) -> None:
    """Write a case as `folder`, whole or not at all; one that is there stays as it is. Raises OSError."""
    if folder.exists():
        return
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    part.mkdir(parents=True, exist_ok=True)
    _write(part / BODY, case.page.body, durable)
    _write(part / CASE, _json(case), durable)
    try:
        part.rename(folder)
    except OSError:
        if not folder.exists():  # else another run of the job was first
            raise


def load(folder: Path) -> Case:
    """Return a case. Raises CaseError for a folder that holds none, and OSError."""
    try:
        told: dict[str, Any] = orjson.loads((folder / CASE).read_bytes())
        if told.get("version") != VERSION:
            raise CaseError(f"{folder}: a case of version {told.get('version')!r}, this program reads {VERSION}")
        page, scope = told["page"], told["scope"]
        return Case(
            Page(
                id=0,
                url=page["url"],
                status=page["status"],
                headers=tuple((name, value) for name, value in page["headers"]),
                body=(folder / BODY).read_bytes(),
                fetched_at=page["fetched_at"],
                depth=page["depth"],
                via=page["via"],
                truncated=page["truncated"],
                redirects=tuple(page["redirects"]),
                framing=page["framing"],
            ),
            StageOptions(**{name: _frozen(value) for name, value in told["options"].items()}),
            ScopeRules(**{name: _kind(name, value) for name, value in scope.items()}),
            told["cause"],
            told["detail"],
            told.get("stage", ""),  # neither this one nor the memory is in a case of an early version
            float(told["page_timeout"]),
            told.get("memory"),
            told["environment"],
        )
    except FileNotFoundError:
        raise CaseError(f"{folder}: holds no case (no {CASE} with a {BODY} beside it)") from None
    except (KeyError, TypeError, ValueError) as exc:
        if isinstance(exc, CaseError):
            raise
        raise CaseError(f"{folder / CASE}: cannot be read as a case: {exc}") from exc


def _json(case: Case) -> bytes:
    page = case.page._asdict()
    del page["id"], page["body"], page["timings"]
    page["headers"] = [header for header in case.page.headers if header[0] not in _PRIVATE]
    told = {
        "version": VERSION,
        "cause": case.cause,
        "detail": case.detail,
        "stage": case.stage,
        "page_timeout": case.page_timeout,
        "memory": case.memory,
        "page": page,
        "options": case.options._asdict(),
        "scope": {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in case.rules._asdict().items()
        },
        "environment": case.environment,
    }
    return orjson.dumps(_encodable(told), option=orjson.OPT_INDENT_2)


def _encodable(value: Any) -> Any:
    """Return `value` without lone surrogates, which UTF-8 cannot hold: a worker's last words are any bytes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {name: _encodable(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_encodable(item) for item in value]
    return value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _kind(name: str, value: Any) -> Any:
    default = ScopeRules._field_defaults[name]
    return type(default)(value) if isinstance(default, frozenset | tuple) else value


def _write(path: Path, data: bytes, durable: bool) -> None:
    with path.open("wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
