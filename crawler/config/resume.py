"""What may not change before a crawl is resumed: which URLs belong to it, and which of them are the same page.

Everything else (speed, limits, politeness, output) may differ from run to run.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

MAX_NAMED = 3
"""Elements of a long list that a difference names; a seeds file may have a million lines."""

_KEYS: dict[str, tuple[str, ...] | None] = {
    "job": ("seeds",),
    "scope": None,  # all of it
    "url": None,
    "parse": ("follow", "nofollow"),
}


SECTIONS = tuple(_KEYS)
"""The sections that `scope_dump` looks at."""


def scope_dump(config: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the sections and keys of a dumped config that decide about URLs."""
    return {
        section: {key: value for key, value in config[section].items() if names is None or key in names}
        for section, names in _KEYS.items()
    }


def digest(dumped: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a dump, in hex. The order of a list does not count."""
    import json  # aiohttp loads it anyway, but later, while the workers start

    text = json.dumps(_unordered(dumped), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _unordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _unordered(item) for key, item in value.items()}
    return sorted(value) if isinstance(value, list) else value


def scope_changes(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return one line for each key that differs between two `scope_dump()`s, e.g. `scope.max_depth: 3 → 5`."""
    lines = []
    for section in dict.fromkeys((*old, *new)):
        before, after = old.get(section, {}), new.get(section, {})
        for key in dict.fromkeys((*before, *after)):
            change = _change(before.get(key), after.get(key))
            if change:
                lines.append(f"{section}.{key}: {change}")
    return lines


def _change(old: Any, new: Any) -> str:
    if isinstance(old, list) and isinstance(new, list):
        return ", ".join((*_named("removed", old, new), *_named("added", new, old)))
    return "" if old == new else f"{_word(old)} → {_word(new)}"


def _named(verb: str, these: list[Any], others: list[Any]) -> Iterator[str]:
    known = set(others)
    missing = [item for item in these if item not in known]
    if missing:
        more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
        yield f"{verb} {', '.join(map(_word, missing[:MAX_NAMED]))}{more}"


def _word(value: Any) -> str:
    import json

    return "none" if value is None else json.dumps(value)
