"""All special URLs of one demo site: made once, about a hundred of them whatever the size of the site."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape

from crawler.demo.answer import Answer, Kind, html
from crawler.demo.cases import traps
from crawler.demo.cases.case import Case, Group
from crawler.demo.cases.charsets import charsets
from crawler.demo.cases.codings import codings
from crawler.demo.cases.downloads import downloads
from crawler.demo.cases.faults import faults
from crawler.demo.cases.files import files
from crawler.demo.cases.markup import copies, markup, rules, types
from crawler.demo.cases.redirects import redirects
from crawler.demo.cases.statuses import slow, statuses
from crawler.demo.cases.traps import Limits
from crawler.demo.render import frame

TARGET = "/cases/"
_TITLE = "Special cases"


@dataclass(frozen=True)
class Catalogue:
    """The special URLs, spread over the hosts; /cases/ on the first host links to them."""

    origins: tuple[str, ...]
    key: int
    slow_seconds: float
    flaky: bool
    faults: bool
    downloads: bool = False

    def answer(self, host: int, target: str, earlier: int) -> Answer | None:
        """Return the answer to the request number `earlier + 1` for a special URL, or None when it is none."""
        if host == 0 and target == TARGET:
            return html(self.body)
        case = self._by_url.get(self.origins[host] + target)
        if case is not None and case.answer is not None:
            return case.first[earlier] if earlier < len(case.first) else case.answer
        return traps.answer(target) if host == 0 else None

    def is_counted(self, host: int, target: str) -> bool:
        """Return whether the answer depends on the number of earlier requests."""
        case = self._by_url.get(self.origins[host] + target)
        return case is not None and bool(case.first)

    def cases(self, limits: Limits) -> Iterator[Case]:
        """Yield every special URL; how far the traps go depends on `limits`."""
        yield Case(self.origins[0] + TARGET, Kind.PAGE, html(self.body), self.body, _TITLE)
        for group in self._groups:
            yield from group.cases
        yield from traps.cases(self.origins[0], limits)

    @cached_property
    def body(self) -> bytes:
        """The page that lists the special URLs."""
        parts = ["<p>What else the web has in store. Each link shows one thing.</p>\n"]
        for group in (*self._groups, Group("Traps", tuple(traps.cases(self.origins[0], Limits())))):
            rows = (
                f'<tr><td><a href="{escape(case.url)}">{escape(case.url.split("/", 3)[3])}</a></td>'
                f"<td>{escape(case.note)}</td></tr>\n"
                for case in group.cases
                if case.note
            )
            parts.append(f"<h2>{group.name}</h2>\n<table>\n{''.join(rows)}</table>\n")
        return frame(_TITLE, "".join(parts).encode(), nav=f'<a href="{self.origins[0]}/">Start</a>')

    @cached_property
    def _groups(self) -> tuple[Group, ...]:
        at = [self.origins[place % len(self.origins)] for place in range(4)]
        groups = {
            "Redirects": redirects(at[0], at[1]),
            "robots.txt": rules(self.origins),
            "Links and markup": markup(at[3]),
            "Character encodings": charsets(at[1]),
            "Content codings": codings(at[2]),
            "Files": files(at[3], self.key),
            "Types": types(at[1]),
            "Copies": copies(at[0]),
            "Errors": statuses(at[2], flaky=self.flaky),
            "Slow pages": slow(at[3], self.slow_seconds),
        }
        if self.downloads:
            groups["Downloads"] = downloads(at[3], self.key)
        if self.faults:
            groups["Broken connections"] = faults(at[1])
        return tuple(Group(name, tuple(cases)) for name, cases in groups.items())

    @cached_property
    def _by_url(self) -> dict[str, Case]:
        return {case.url: case for group in self._groups for case in group.cases}
