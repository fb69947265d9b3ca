"""Which numbered pages there are, where they live and how they are linked: arithmetic, nothing stored.

Page `n` of `pages` lives on host `n % hosts`. The pages form a tree with six children to a node, so that every page is
reached from page 0 over at most log6(n) + 1 links; further links, chosen by hash, cross it. Pages below
`hosts` are the start pages ("/") of their hosts. A URL carries its number, so a request is answered without a table.

Only the canonical spelling of a URL (WHATWG) is a page; anything else is 404. Links are spelled in many ways that must
come to that one spelling: a crawler that resolves a link wrongly shows it by a 404 that is not expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from crawler.demo.choice import mix
from crawler.demo.text import NOUNS, title

FANOUT = 6
_NUMBER = re.compile(r"([0-9]{1,12})[^0-9]*$")

_Spelling = Callable[[str, str], str]

# From a page on another host. The first five are common; a crawler that gets the others wrong finds every page
# nevertheless, and asks for some that do not exist.
_FAR: tuple[_Spelling, ...] = (
    lambda origin, target: origin + target,
    lambda origin, target: origin[5:] + target,
    lambda origin, target: f"{origin}{target}#top",
    lambda origin, target: origin + target,
    lambda origin, target: f"{origin[5:]}{target}#",
    lambda origin, target: "HTTP" + origin[4:] + target,
    lambda origin, target: f" {origin}{target} ",
    lambda origin, target: f"{origin}/.{target}",
    lambda origin, target: origin + target.replace("%C3%A9", "é"),
    lambda origin, target: f"{origin}/a/b/../..{target}",
    lambda origin, target: f"http:\\\\{origin[7:]}{target}",
)
# From a page on the same host; one more, `../` as often as needed, depends on the page it is on.
_NEAR: tuple[_Spelling, ...] = (
    lambda origin, target: target,
    lambda origin, target: origin + target,
    lambda origin, target: f"{target}#part-2",
    lambda origin, target: origin[5:] + target,
    lambda origin, target: target,
    lambda origin, target: f"\n  {target}\t",
    lambda origin, target: f"/.{target}",
    lambda origin, target: f"/x/%2e%2E{target}",
    lambda origin, target: target.replace("%C3%A9", "é"),
    lambda origin, target: target.replace("/", "\\", 1),
    lambda origin, target: f"/no/../such/..{target}",
)
_PLAIN_SPELLINGS = 5
_LABELS = tuple(noun.capitalize() for noun in NOUNS)


@dataclass(frozen=True)
class Graph:
    """The numbered pages of one demo site."""

    pages: int
    hosts: tuple[str, ...]
    port: int
    key: int

    @cached_property
    def origins(self) -> tuple[str, ...]:
        """Scheme, host and port of each host, as a canonical URL has them."""
        port = "" if self.port == 80 else f":{self.port}"
        return tuple(f"http://{host}{port}" for host in self.hosts)

    def bits(self, number: int) -> int:
        """Return the 64 bits from which everything about a page is chosen."""
        return mix(self.key + number)

    def target(self, number: int) -> str:
        """Return path and query of a page, percent-encoded."""
        if number < len(self.hosts):
            return "/"
        bits = self.bits(number)
        noun, other = NOUNS[bits >> 8 & 63], NOUNS[bits >> 14 & 63]
        match bits & 7:
            case 0:
                return f"/guide/{noun}-{number}.html"
            case 1:
                return f"/wiki/{noun.capitalize()}_{number}"
            case 2:
                return f"/blog/{2010 + (bits >> 20 & 15)}/{noun}-{number}/"
            case 3:
                return f"/item?id={number}"
            case 4:
                return f"/docs/{noun}/{other}/{number}.html"
            case 5:
                return f"/caf%C3%A9/{noun}/{number}"
            case 6:
                return f"/shop/{noun}/?sort=asc&page={number}"
            case _:
                return f"/notes/{noun},({other});v={number}"

    def number(self, host: int, target: str) -> int | None:
        """Return the page that `target` on `host` is, or None."""
        if target == "/":
            return host if host < self.pages else None
        match = _NUMBER.search(target)
        if match is None:
            return None
        number = int(match[1])
        if number >= self.pages or number % len(self.hosts) != host or self.target(number) != target:
            return None
        return number

    def url(self, number: int) -> str:
        """Return the canonical URL of a page."""
        return self.origins[number % len(self.hosts)] + self.target(number)

    def title(self, number: int) -> str:
        """Return the title of a page, unescaped."""
        if number < len(self.hosts):
            return f"Demo web, host {number + 1} of {len(self.hosts)}"
        return f"{title(self.bits(number))} {number}"

    def children(self, number: int) -> range:
        """Return the pages below a page in the tree."""
        first = FANOUT * number + 1
        return range(min(first, self.pages), min(first + FANOUT, self.pages))

    def crossings(self, number: int) -> list[int]:
        """Return 4 to 11 pages anywhere on the site."""
        bits = self.bits(number)
        return [mix(bits + n) % self.pages for n in range(4 + (bits >> 26 & 7))]

    def links(self, number: int) -> list[tuple[str, str]]:
        """Return the links of a page: the value of the href, unescaped, and the text."""
        bits = self.bits(number)
        tree = [(self.spell(number, page, (bits + page) % _PLAIN_SPELLINGS), page) for page in self.children(number)]
        cross = [(self.spell(number, page, (bits >> 30) + page), page) for page in self.crossings(number)]
        return [(href, f"{_LABELS[page & 63]} {page}") for href, page in tree + cross]

    def spell(self, source: int, page: int, style: int) -> str:
        """Return one of many ways to write a link from `source` to `page`."""
        target, hosts = self.target(page), len(self.hosts)
        origin = self.origins[page % hosts]
        if page % hosts != source % hosts:
            return _FAR[style % len(_FAR)](origin, target)
        style %= len(_NEAR) + 1
        if style == len(_NEAR):
            return "../" * max(self.target(source).partition("?")[0].count("/") - 1, 1) + target[1:]
        return _NEAR[style](origin, target)
