"""Secrets of a file: never written in it, taken from the environment or from files of their own.

`"${TOKEN}"`, `"Bearer ${TOKEN}"`, `{ file = "token.txt" }` and `"file:token.txt"` are the ways to name one. Only the
keys that may hold a secret are looked at (headers, cookies and basic_auth of an origin, and fetch.proxy); anywhere else
`${` is plain text. A resolved secret is wrapped at once, so that no later message can show it.
"""

import re
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from crawler.config.parsed import Finding, KeyPath, Source
from crawler.config.secret import SecretStr
from crawler.config.web import is_secret_name

MAX_FILE_BYTES: Final = 64 * 1024
_VARIABLE: Final = r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}"
_REMEDY: Final = 'write "${NAME}" and set that variable, or { file = "path" }'
_PLACEHOLDER: Final = SecretStr("http://unresolved")
"""Stands in for what could not be resolved; right for each of these keys, so that the trouble is reported once."""


class _Slot(NamedTuple):
    """One value of the file that may be a secret."""

    table: dict[str, Any]
    name: str
    path: KeyPath
    needs_secret: Callable[[str], bool]
    """Tell whether this text, as written, holds a secret in the clear."""


def resolve(raw: Mapping[str, Any], source: Source, environ: Mapping[str, str]) -> list[Finding]:
    """Replace every secret of a parsed file, in place, by a `SecretStr`; return what is wrong with them."""
    findings: list[Finding] = []
    for slot in _slots(raw):
        try:
            _resolve(slot, source, environ)
        except _Unusable as exc:
            findings.append(Finding(slot.path, exc.rule, exc.remedy))
            slot.table[slot.name] = _PLACEHOLDER
    return findings


class _Unusable(Exception):
    def __init__(self, rule: str, remedy: str = "") -> None:
        self.rule, self.remedy = rule, remedy


def _resolve(slot: _Slot, source: Source, environ: Mapping[str, str]) -> None:
    written = slot.table[slot.name]
    if isinstance(written, dict):
        if set(written) != {"file"} or not isinstance(written["file"], str):
            raise _Unusable('expected text or { file = "path" }')
        secret = _read(written["file"], source)
    elif not isinstance(written, str):
        raise _Unusable("expected text in quotes", _REMEDY)
    elif written.startswith("file:"):
        secret = _read(written.removeprefix("file:"), source)
    elif slot.needs_secret(written):
        raise _Unusable("expected a secret from outside, found one in the file", _REMEDY)
    else:
        secret = re.sub(_VARIABLE, lambda match: _variable(match[1], environ), written)
    slot.table[slot.name] = SecretStr(secret)


def _slots(raw: Mapping[str, Any]) -> Iterator[_Slot]:
    origins = raw.get("origin")
    for index, origin in enumerate(origins if isinstance(origins, list) else []):
        if not isinstance(origin, dict):
            continue
        path: KeyPath = ("origin", index)
        if "basic_auth" in origin:
            yield _Slot(origin, "basic_auth", (*path, "basic_auth"), _has_clear_password)
        for name in _table(origin, "cookies"):
            yield _Slot(origin["cookies"], name, (*path, "cookies", name), _has_no_variable)
        for name in _table(origin, "headers"):
            is_secret = _has_no_variable if is_secret_name(name) else _is_never_secret
            yield _Slot(origin["headers"], name, (*path, "headers", name), is_secret)
    fetch = raw.get("fetch")
    if isinstance(fetch, dict) and "proxy" in fetch:
        yield _Slot(fetch, "proxy", ("fetch", "proxy"), _has_clear_proxy_password)


def _table(parent: Mapping[str, Any], name: str) -> list[str]:
    table = parent.get(name)
    return list(table) if isinstance(table, dict) else []


def _has_no_variable(text: str) -> bool:
    return not re.search(_VARIABLE, text)


def _is_never_secret(text: str) -> bool:
    return False


def _has_clear_password(text: str) -> bool:
    _, colon, password = text.partition(":")
    return _has_no_variable(password if colon else text)


def _has_clear_proxy_password(text: str) -> bool:
    user = text.rpartition("@")[0].rpartition("/")[2]
    return ":" in user and _has_clear_password(user)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if not value:
        state = "empty" if value == "" else "not set"
        raise _Unusable(f"environment variable {name} is {state}", f"export {name}=…")
    return value


def _read(name: str, source: Source) -> str:
    path = source.locate(name)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise _Unusable(f"expected a file with the secret; {path} is no regular file")
        if found.st_size > MAX_FILE_BYTES:
            raise _Unusable(f"expected a file of one line with the secret; {path} has {found.st_size} bytes")
        text = path.read_text("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _Unusable(f"expected a file in UTF-8: {path}") from None
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        raise _Unusable(f"the file with the secret cannot be read: {path}: {getattr(exc, 'strerror', exc)}") from None
    if not text:
        raise _Unusable(f"the file with the secret is empty: {path}")
    if found.st_mode & stat.S_IROTH:
        source.warnings.append(f"{path} holds a secret and everybody on this machine can read it; chmod 600 it")
    return text
