"""One special URL of the demo site: its answer and what a crawl should make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from crawler.demo.answer import HTML, Answer, Drip, Kind
from crawler.demo.render import frame


@dataclass(frozen=True, slots=True)
class Case:
    """One special URL."""

    url: str
    """Canonical."""
    kind: Kind
    answer: Answer | None = None
    """None for what is not ours to answer, or is made up by a rule."""
    body: bytes | None = None
    """The content with its codings removed; None where no whole body is to be had."""
    title: str | None = None
    """Title of the page; None where it has none or nothing is promised."""
    note: str = ""
    """What it shows, for the list of cases; without one it is not listed, and reached from another case."""
    target: str | None = None
    """Canonical URL a redirect leads to."""
    first: tuple[Answer, ...] = ()
    """Answers to the first requests, before it recovers."""


class Group(NamedTuple):
    """Cases of one kind."""

    name: str
    cases: Sequence[Case]


def page(
    url: str,
    title: str,
    *,
    note: str = "",
    kind: Kind = Kind.PAGE,
    head: str = "",
    text: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    delay_seconds: float = 0.0,
    chunked: bool = False,
    drip: Drip | None = None,
    first: tuple[Answer, ...] = (),
) -> Case:
    """Return a case that answers 200 with an HTML page. `head` and `text` are markup."""
    body = frame(title, (text or f"<p>{escape(note or title)}</p>").encode() + b"\n", head=head)
    answer = Answer(
        200, (("Content-Type", HTML), *headers), body, delay_seconds=delay_seconds, chunked=chunked, drip=drip
    )
    return Case(url, kind, answer, body, title, note, first=first)


def content(
    url: str,
    body: bytes,
    headers: tuple[tuple[str, str], ...],
    *,
    note: str = "",
    kind: Kind = Kind.PAGE,
    title: str | None = None,
) -> Case:
    """Return a case that answers 200 with `body`, uncoded."""
    whole = None if kind is Kind.FAULT else body
    return Case(url, kind, Answer(200, headers, body), whole, title, note)
