"""What robots.txt permits (RFC 9309): from the answer to its request to a verdict per URL.

What an answer means and how long it holds is said here; which lines concern us, in `robots_group`; whether a path
matches a rule, by Protego. Protego is asked only where it could say no: a URL that begins like no Disallow line is
allowed without it. That is nearly every URL, decided at a tenth of the cost, and most crawls never import it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from crawler.frontier.reasons import Reason
from crawler.frontier.robots_group import Group, group_for

if TYPE_CHECKING:
    from protego import Protego

MAX_ROBOTS_BYTES: Final = 512 * 1024  # RFC 9309 2.5: at least 500 KiB must be parsed
ROBOTS_TTL: Final = 24 * 3600.0  # RFC 9309 2.4: not longer than 24 hours
FAILURE_DELAYS: Final = (60.0, 300.0, 900.0)
"""Seconds until a robots.txt that could not be had is asked for again; after the last one the origin is given up."""


class State(Enum):
    """What the answer to robots.txt amounts to."""

    RULES = "rules"
    """2xx: there is a file, it decides."""
    ALLOW_ALL = "allow_all"
    """4xx, or too many redirects: "unavailable", everything is allowed (RFC 9309 2.3.1.2, 2.3.1.3)."""
    DISALLOW_ALL = "disallow_all"
    """5xx, 429, or no answer: "unreachable", nothing is allowed (RFC 9309 2.3.1.4)."""


class RobotsRow(NamedTuple):
    """An answer as the store keeps it."""

    state: str
    body: bytes
    fetched_at: float
    """Unix time."""


class RobotsRules:
    """The verdict of one origin's robots.txt. Made by `answer` or `from_row`; reads the file at the first question."""

    __slots__ = ("_agent", "_body", "_group", "_protego", "expires", "fetched_at", "is_final", "state")

    def __init__(
        self, state: State, body: bytes, fetched_at: float, *, agent: str, expires: float, is_final: bool = False
    ) -> None:
        self.state = state
        self.fetched_at = fetched_at
        """Unix time."""
        self.expires = expires
        """Unix time from which it has to be fetched again."""
        self.is_final = is_final
        """Nothing is allowed and no further try is due: give up the origin's URLs as `robots_unavailable`."""
        self._agent = agent
        self._body = body
        self._group: Group | None = None
        self._protego: Protego | None = None

    @property
    def reason(self) -> Reason:
        """Why a URL that is not allowed is not."""
        return Reason.ROBOTS_UNAVAILABLE if self.state is State.DISALLOW_ALL else Reason.ROBOTS

    def allows(self, url: str) -> bool:
        """Return whether the canonical `url` of this origin may be fetched."""
        if self.state is not State.RULES:
            return self.state is State.ALLOW_ALL
        group = self._group or self._read()
        prefixes = group.prefixes
        if not prefixes:
            return True
        target = url[url.index("/", 8) :]
        if not target.startswith(prefixes):
            # An escape inside the part compared may stand for a character of a rule: then only Protego knows.
            escape = target.find("%")
            if escape < 0 or escape >= group.longest:
                return True
        return (self._protego or self._compile(group)).can_fetch(url, "*")

    @property
    def crawl_delay(self) -> float | None:
        """Seconds between requests that our group asks for, finite and not negative, not clamped; None without any."""
        return (self._group or self._read()).crawl_delay

    @property
    def sitemaps(self) -> tuple[str, ...]:
        """Values of the Sitemap lines as written, in order."""
        return (self._group or self._read()).sitemaps

    def is_fresh(self, now: float) -> bool:
        """Return whether it still holds at `now` (Unix time). A clock set back by more than a day ends it too."""
        return self.fetched_at - ROBOTS_TTL <= now < self.expires

    def to_row(self) -> RobotsRow:
        """Return what the store has to keep."""
        return RobotsRow(self.state.value, self._body, self.fetched_at)

    @classmethod
    def from_row(cls, row: RobotsRow, *, agent: str, ttl: float = ROBOTS_TTL) -> RobotsRules:
        """Rebuild what `to_row` gave; `agent` is our product token. ValueError when `row.state` is none of ours.

        A failure does not outlive its first delay: a new run may try again.
        """
        state = State(row.state)
        lifetime = min(ttl, FAILURE_DELAYS[0]) if state is State.DISALLOW_ALL else ttl
        return cls(state, row.body, row.fetched_at, agent=agent, expires=row.fetched_at + lifetime)

    def _read(self) -> Group:
        self._group = group_for(self._agent, self._body)
        return self._group

    def _compile(self, group: Group) -> Protego:
        from protego import Protego  # here: it brings logging and urllib along, and most crawls never come to this line

        self._protego = Protego.parse("\n".join(("User-agent: *", *group.rules)))
        return self._protego


def answer(
    result: int | Reason,
    body: bytes = b"",
    *,
    agent: str,
    now: float,
    ttl: float = ROBOTS_TTL,
    failures: int = 1,
    failure_delays: Sequence[float] = FAILURE_DELAYS,
) -> RobotsRules:
    """Return the rules that follow from the final answer to robots.txt.

    `result` is the status of the response, after up to five redirects, or the reason why there is none; `body` its
    content, with the content coding removed. `agent` is our product token, `now` Unix time, `ttl` how many seconds an
    answer holds. `failures` counts the tries in a row, this one included, that brought none: it lengthens the time to
    the next, and when `failure_delays` are used up the refusal is final.
    """
    assert failures >= 1
    state = _state(result)
    if state is State.DISALLOW_ALL:
        is_final = failures > len(failure_delays)
        wait = ttl if is_final else failure_delays[failures - 1]
        return RobotsRules(state, b"", now, agent=agent, expires=now + wait, is_final=is_final)
    body = _cut(body) if state is State.RULES else b""
    return RobotsRules(state, body, now, agent=agent, expires=now + ttl)


_UNAVAILABLE: Final = frozenset({Reason.HTTP_4XX, Reason.AUTH, Reason.REDIRECT_LIMIT, Reason.REDIRECT_INVALID})


def _state(result: int | Reason) -> State:
    if isinstance(result, Reason):
        return State.ALLOW_ALL if result in _UNAVAILABLE else State.DISALLOW_ALL
    if 200 <= result <= 299:
        return State.RULES
    # 429 says "less", not "there is none": read as unreachable, as Google does
    # (https://developers.google.com/search/docs/crawling-indexing/robots/robots_txt#http-status-codes).
    return State.ALLOW_ALL if 400 <= result <= 499 and result != 429 else State.DISALLOW_ALL


def _cut(body: bytes) -> bytes:
    if len(body) <= MAX_ROBOTS_BYTES:
        return body
    head = body[:MAX_ROBOTS_BYTES]
    return head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1]


def product_token(user_agent: str) -> str:
    """Return the name robots.txt, X-Robots-Tag and robots metas know us by (RFC 9309 2.2.1).

    It is `crawlmill` in `crawlmill/1.0 (+https://…)` and in `Mozilla/5.0 (compatible; crawlmill/1.0; …)` alike.
    """
    compatible = re.search(r"\(compatible;\s*([^/;)\s]+)", user_agent)
    if compatible:
        return compatible[1]
    return re.split(r"[/(]", user_agent, maxsplit=1)[0].strip()  # a version or a comment may follow (RFC 9110 10.1.5)
