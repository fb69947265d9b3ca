"""Which lines of a robots.txt concern us: from bytes, however broken, to the rules of our group (RFC 9309 2.1 and 2.2).

Where the RFC is silent this follows Google's parser (github.com/google/robotstxt) in what it tolerates, with one
exception: a Crawl-delay line ends the list of user agents above it, as a site owner who writes one for every agent
means it.
"""

from __future__ import annotations

import re
from math import inf
from typing import Final, NamedTuple

MAX_WILDCARDS: Final = 5000
"""Every `*` in our rules costs half a microsecond for each URL asked about. Sites have some hundreds; 512 KiB hold
enough to stop the event loop for 80 ms. Beyond this, rules end at their first `*` and nothing is allowed expressly:
that forbids more than the site did, never less."""


class Group(NamedTuple):
    """What one robots.txt says to us."""

    rules: tuple[str, ...]
    """Allow and Disallow lines, in one spelling each, without duplicates."""
    prefixes: tuple[str, ...]
    """A path with query that begins with none of these is matched by no Disallow line; see `_prefixes`."""
    longest: int
    """Length of the longest prefix."""
    crawl_delay: float | None
    """Seconds; finite and not negative."""
    sitemaps: tuple[str, ...]
    """Values of the Sitemap lines, which belong to no group."""


_FIELDS: Final = {
    "user-agent": "agent", "useragent": "agent", "user agent": "agent",
    "allow": "Allow",
    "disallow": "Disallow", "dissallow": "Disallow", "dissalow": "Disallow", "disalow": "Disallow",
    "diasllow": "Disallow", "disallaw": "Disallow",
    "sitemap": "sitemap", "sitemaps": "sitemap", "site-map": "sitemap",
    "crawl-delay": "delay", "crawl delay": "delay",
}  # fmt: skip
"""Spellings met in the wild; Google's parser and Protego know the same."""

_LINE: Final = re.compile(
    rf"^[ \t]*({'|'.join(_FIELDS)})(?:[ \t]*:|[ \t])[ \t]*([^#\n]*)", re.ASCII | re.IGNORECASE | re.MULTILINE
)
_AGENT: Final = re.compile(r"[^\s/;,(]*")  # RFC 9309 has the bare name here, sites write `name/1.0 (comment)`
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~/=?&+,;:@!()-]*")
_LINE_BREAKS: Final = {
    ord(char): "".join(f"%{byte:02X}" for byte in char.encode()) for char in "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
}  # RFC 9309 2.2 ends a line at CR and LF only; str.splitlines, which Protego uses, also at these


def group_for(agent: str, body: bytes) -> Group:
    """Return the lines of all groups that name `agent`, or of all groups for `*` when none does (RFC 9309 2.2.1)."""
    ours: list[tuple[str, str]] = []
    anyones: list[tuple[str, str]] = []
    sitemaps: list[str] = []
    is_named = False
    in_head = False
    listeners: list[list[tuple[str, str]]] = []
    for match in _LINE.finditer(_text(body)):
        field, value = _FIELDS[match[1].lower()], match[2].strip()
        if field == "sitemap":
            sitemaps.append(value)
        elif field == "agent":
            if not in_head:
                in_head, listeners = True, []
            if _names(value, agent):
                is_named = True
                listeners.append(ours)
            elif value == "*" or value[:2].rstrip() == "*":
                listeners.append(anyones)
        else:
            in_head = False
            if value:  # "Disallow:" alone forbids nothing
                for group in listeners:
                    group.append((field, value))
    return _group(ours if is_named else anyones, tuple(filter(None, sitemaps)))


def _text(body: bytes) -> str:
    """Decode as UTF-8 whatever it is (RFC 9309 2.3), unless a byte order mark says UTF-16.

    NUL is dropped, which also makes ASCII of UTF-16 without a mark.
    """
    encoding = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return body.decode(encoding, "replace").replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def _names(value: str, agent: str) -> bool:
    name = _AGENT.match(value.replace("*", ""))
    return name is not None and name[0].lower() == agent.lower()


def _group(lines: list[tuple[str, str]], sitemaps: tuple[str, ...]) -> Group:
    rules = dict.fromkeys(line for line in lines if line[0] != "delay")
    prefixes = _prefixes([value for field, value in rules if field == "Disallow"])
    if sum(value.count("*") for _, value in rules) > MAX_WILDCARDS:
        rules = dict.fromkeys(("Disallow", prefix or "/") for prefix in prefixes)
    delays = [seconds for field, value in lines if field == "delay" and (seconds := _seconds(value)) is not None]
    return Group(
        tuple(f"{field}: {value.translate(_LINE_BREAKS)}" for field, value in rules) if prefixes else (),
        prefixes,
        max(map(len, prefixes), default=0),
        max(delays, default=None),
        sitemaps,
    )


def _prefixes(patterns: list[str]) -> tuple[str, ...]:
    """Return the plain beginnings of `patterns`, without those that begin with another.

    Rules and paths are compared with their percent-encoding made uniform. That leaves a plain character as it is or
    makes one fixed escape of it, the same on both sides. So up to the first escape in either, the raw strings are equal
    exactly where the encoded ones are, and a path that does not begin with the plain part of a rule is not matched by
    the rule.
    """
    kept: list[str] = []
    for prefix in sorted({_plain_part(pattern) for pattern in patterns}):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)


def _plain_part(pattern: str) -> str:
    if pattern.startswith(("http:", "https:")):
        return ""  # a whole URL, by mistake; Protego has its own reading of these
    plain = _PLAIN.match(pattern)
    return plain[0] if plain else ""


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0.0 <= seconds < inf else None
