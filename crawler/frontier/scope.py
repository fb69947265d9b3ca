"""Which URLs belong to the crawl: one picklable callable, asked once for every distinct link.

It decides on the URL alone: length, host, port, shape of the path, patterns. Depth and the host's page budget need to
know the crawl and are the frontier's; whether an address is private is decided by the fetch, by the address it really
connects to. It runs inside the workers beside the parser, so it imports next to nothing (its rules are a NamedTuple:
the methods of a dataclass are compiled anew at every start), and what depends on scheme, host and port only is decided
once per origin and remembered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from crawler.frontier.reasons import Reason
from pipelines.url import CanonicalUrl, host_of

MAX_PATTERN_TEXT: Final = 2048
"""Patterns see this many characters of path and query. `re` backtracks: on a pattern of quadratic cost the cut bounds
one search to some ten milliseconds. It cannot save an exponential one such as `(a+)+$`: so a scope with patterns is
only ever asked in a worker, where a deadline ends it."""

MAX_REMEMBERED_ORIGINS: Final = 20_000
"""A page may link to a million hosts; the memory of verdicts may not grow with them. About 4 MB when full."""

BAD_PORTS: Final = frozenset({
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530,
    531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190,
    5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
})  # fmt: skip
"""https://fetch.spec.whatwg.org/#port-blocking: ports of protocols that an HTTP request could be smuggled into."""

_URL_TOO_LONG, _QUERY_TOO_LONG, _TRAP = Reason.URL_TOO_LONG.value, Reason.QUERY_TOO_LONG.value, Reason.TRAP.value
_HOST, _PORT_BLOCKED = Reason.HOST.value, Reason.PORT_BLOCKED.value
_DENIED, _NOT_ALLOWED = Reason.DENIED.value, Reason.NOT_ALLOWED.value

Admitted = tuple[str, int]
"""Host, and what to add to the priority: negative is sooner."""


class ScopeRules(NamedTuple):
    """What is in and what is out. Host names as in a canonical URL: lower case, punycode, IPv6 in brackets."""

    hosts: frozenset[str] = frozenset()
    """Exactly these hosts; `"*"` admits every host."""
    domains: frozenset[str] = frozenset()
    """These domains and all their subdomains."""
    allow: tuple[str, ...] = ()
    """Regular expressions searched in path?query; when there are any, one must match."""
    deny: tuple[str, ...] = ()
    """Regular expressions searched in path?query; none may match. Stronger than `allow`."""
    max_url_length: int = 8000
    """Characters, the whole URL."""
    max_query_length: int = 2000
    """Characters after the question mark."""
    max_repeated_segments: int = 3
    """How often one and the same path segment may occur, anywhere in the path."""
    max_segments: int = 50
    """How many segments a path may have."""
    raise_: tuple[str, ...] = ()
    """Each of these patterns that matches moves a URL one step forward."""
    lower: tuple[str, ...] = ()
    """Each of these patterns that matches moves a URL one step back."""
    allow_ports: frozenset[int] = frozenset()
    """Ports to be reached although they are on the list of bad ports."""


class Scope:
    """Say whether a URL belongs to the crawl.

    Calling it returns `(host, priority adjustment)` for a URL that does and the value of a `Reason` for one that does
    not. The constructor raises `re.error` for a pattern that is no regular expression. Pickles as its rules.
    """

    __slots__ = ("_allow", "_deny", "_harmless", "_has_patterns", "_lower", "_origins", "_raise", "_rules")

    def __init__(self, rules: ScopeRules) -> None:
        self._rules = rules
        self._deny = _searches(rules.deny)
        self._allow = _searches(rules.allow)
        self._raise = _searches(rules.raise_)
        self._lower = _searches(rules.lower)
        self._has_patterns = bool(rules.deny or rules.allow or rules.raise_ or rules.lower)
        self._harmless = min(rules.max_repeated_segments, rules.max_segments)  # so few segments break neither rule
        self._origins: dict[str, Admitted | str] = {}

    @property
    def rules(self) -> ScopeRules:
        """What it was made from."""
        return self._rules

    @property
    def has_patterns(self) -> bool:
        """Whether it runs regular expressions of the user, which may take any time."""
        return self._has_patterns

    def __reduce__(self) -> tuple[type[Scope], tuple[ScopeRules]]:
        return Scope, (self._rules,)

    def __call__(self, url: CanonicalUrl) -> Admitted | str:
        rules = self._rules
        if len(url) > rules.max_url_length:
            return _URL_TOO_LONG
        slash = url.index("/", 8)  # a canonical URL has one behind the authority, which starts at 7 or 8
        origin = url[:slash]
        verdict = self._origins.get(origin) or self._judge_origin(origin)
        if isinstance(verdict, str):
            return verdict
        mark = url.find("?", slash)
        if mark < 0:
            mark = len(url)
        elif len(url) - mark - 1 > rules.max_query_length:
            return _QUERY_TOO_LONG
        if url.count("/", slash, mark) > self._harmless and self._is_trap(url[slash + 1 : mark].split("/")):
            return _TRAP
        if self._has_patterns:
            return self._match(url[slash : slash + MAX_PATTERN_TEXT], verdict)
        return verdict

    def _judge_origin(self, origin: str) -> Admitted | str:
        if len(self._origins) >= MAX_REMEMBERED_ORIGINS:
            self._origins.clear()
        host = host_of(origin)
        verdict: Admitted | str
        if not self._has_host(host):
            verdict = _HOST
        elif self._has_bad_port(origin):
            verdict = _PORT_BLOCKED
        else:
            verdict = (host, 0)
        self._origins[origin] = verdict
        return verdict

    def _has_host(self, host: str) -> bool:
        rules = self._rules
        if host in rules.hosts or "*" in rules.hosts:
            return True
        suffix = host
        while suffix:
            if suffix in rules.domains:
                return True
            suffix = suffix.partition(".")[2]
        return False

    def _has_bad_port(self, origin: str) -> bool:
        port = origin.rpartition(":")[2]  # without a port this is "//host", or the end of an IPv6 address
        return port.isdigit() and int(port) in BAD_PORTS - self._rules.allow_ports

    def _is_trap(self, segments: list[str]) -> bool:
        if segments[-1] == "":
            del segments[-1]  # what follows the last slash of a directory is no segment
        if len(segments) > self._rules.max_segments:
            return True
        alike = self._rules.max_repeated_segments
        # One that occurs n times leaves n-1 without a partner in the set: cheap to ask, nearly always the end of it.
        return len(segments) - len(set(segments)) >= alike and max(Counter(segments).values()) > alike

    def _match(self, text: str, admitted: Admitted) -> Admitted | str:
        for search in self._deny:
            if search(text):
                return _DENIED
        if self._allow and not any(search(text) for search in self._allow):
            return _NOT_ALLOWED
        adjustment = 0
        for search in self._raise:
            if search(text):
                adjustment -= 1
        for search in self._lower:
            if search(text):
                adjustment += 1
        return (admitted[0], adjustment) if adjustment else admitted


def judge(scope: Scope, urls: Sequence[CanonicalUrl]) -> list[Admitted | str]:
    """Return the verdict on each URL; module-level, so that a worker can do it."""
    return [scope(url) for url in urls]


def _searches(patterns: tuple[str, ...]) -> tuple[Callable[[str], re.Match[str] | None], ...]:
    return tuple(re.compile(pattern).search for pattern in patterns)
