"""What a store must be, as plain dictionaries; and values to feed it with."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from crawler.frontier.reasons import Reason
from crawler.frontier.request import Request
from crawler.store.group import Failure, FileEnded, Item, Recorded, Redirect, Retried, Seeds, Skip
from pipelines.page import Processed
from pipelines.url import CanonicalUrl

Link = tuple[int, str, str, int]
"""As it leaves a worker: fingerprint, url, host, priority adjustment."""


def url_of(number: int, hosts: int = 2) -> str:
    """Return URL number `number`; they take turns on the hosts."""
    return f"http://h{number % hosts}.test/{number}"


def link(number: int, priority: int = 0, hosts: int = 2) -> Link:
    """Return the link to URL number `number`."""
    return (fingerprint(number), url_of(number, hosts), f"h{number % hosts}.test", priority)


def fingerprint(number: int) -> int:
    """Return a fingerprint that may have any sign and size."""
    return int.from_bytes(hashlib.sha256(b"%d" % number).digest()[:8], "big", signed=True)


def processed(
    request: Request,
    links: list[Link],
    refused: list[tuple[int, str, str]],
    body: int,
    claims: Sequence[tuple[int, str]] = (),
) -> Processed:
    """Return what a worker makes of a page with this body; 0 is an empty one."""
    line = orjson.dumps({"url": request.url, "depth": request.depth, "duplicate_of": None})
    return Processed(
        id=request.id,
        line=line,
        digest=fingerprint(body),
        outlinks=orjson.dumps(links) if links else b"",
        refused=orjson.dumps(refused) if refused else b"",
        body_bytes=body,
        claims=orjson.dumps(claims) if claims else b"",
    )


@dataclass
class Row:
    """A URL."""

    fingerprint: int
    url: str
    host: str
    depth: int
    priority: int
    via: str | None
    state: str
    attempts: int = 0
    redirects: tuple[str, ...] = ()

    def request(self, row_id: int) -> Request:
        """Return the request the frontier would make of it."""
        return Request(
            row_id, CanonicalUrl(self.url), self.host, self.depth, self.priority, self.via, self.redirects,
            self.attempts + 1,
        )  # fmt: skip


@dataclass
class Model:
    """Everything a store knows. `deepcopy` is its commit."""

    max_depth: int | None = None
    budget: int | None = None
    rows: dict[int, Row] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    admitted: Counter[str] = field(default_factory=Counter)
    owners: dict[int, int] = field(default_factory=dict)
    pages: list[tuple[str, str | None]] = field(default_factory=list)
    """URL and, for a duplicate, the URL that had the body first."""
    errors: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    files: list[tuple[str, str]] = field(default_factory=list)
    claims: set[tuple[int, str, str]] = field(default_factory=set)
    """Fingerprint of the file, digest, URL of the page that says so."""
    counters: Counter[str] = field(default_factory=Counter)

    def apply(self, items: list[Item]) -> None:
        """Do what the ledger must do with a group."""
        found: list[tuple[int | None, int, tuple[str, ...], Link]] = []
        refused: list[tuple[int, str, str]] = []
        records: list[tuple[int, int]] = []
        for item in items:
            match item:
                case Recorded(request, result):
                    links = orjson.loads(result.outlinks or b"[]")
                    found += [(request.id, request.depth + 1, (), tuple(each)) for each in links]
                    refused += map(tuple, orjson.loads(result.refused or b"[]"))
                    for print_, digest in orjson.loads(result.claims or b"[]"):
                        self.claims.add((print_, digest, request.url))
                    records.append((request.id, result.digest if result.body_bytes else 0))
                case Redirect(request, _, links, no):
                    chain = (*request.redirects, request.url)
                    found += [(request.id, request.depth, chain, each) for each in links]
                    refused += no
                    self._end(request, "redirected")
                    self.pages.append((request.url, None))
                case FileEnded(request, _, status):
                    self._end(request, "files")
                    self.files.append((request.url, status))
                case Failure(request, reason):
                    self._end(request, "failed")
                    self.errors.append((request.url, reason.value))
                case Skip(request, reason):
                    self._end(request, "skipped")
                    self.skipped.append((request.url, reason.value))
                case Retried(request):
                    self.rows[request.id].attempts = request.attempt
                case Seeds(links, no):
                    found += [(None, 0, (), each) for each in links]
                    refused += no
        for print_, url, reason_text in refused:
            if print_ not in self.seen:
                self.seen.add(print_)
                self.skipped.append((url, reason_text))
                self.counters["discovered"] += 1
                self.counters["skipped"] += 1
        self._discover(found)
        for row_id, digest in records:
            self._record(row_id, digest)

    def _discover(self, found: list[tuple[int | None, int, tuple[str, ...], Link]]) -> None:
        nearest: dict[int, int] = {}
        for place, (_, depth, _, (print_, *_)) in enumerate(found):
            if print_ not in nearest or depth < found[nearest[print_]][1]:
                nearest[print_] = place
        waiting = {row.fingerprint: row_id for row_id, row in self.rows.items() if row.state == "deferred"}
        opened = []
        for place in sorted(nearest.values()):
            via_id, depth, chain, (print_, url, host, priority) = found[place]
            via = None if via_id is None else self.rows[via_id].url
            row = Row(print_, url, host, depth, depth + priority, via, "pending", 0, chain)
            beyond = self.max_depth is not None and depth > self.max_depth
            if print_ in waiting and not beyond:
                row_id = waiting[print_]
                self.counters["deferred"] -= 1
            elif print_ in self.seen:
                continue
            else:
                row_id = max(self.rows, default=0) + 1
                self.seen.add(print_)
                self.counters["discovered"] += 1
            self.rows[row_id] = row
            if beyond:
                row.state = "deferred"
                self.counters["deferred"] += 1
            else:
                opened.append(row_id)
        for row_id in sorted(opened):
            row = self.rows[row_id]
            if self.budget is not None and self.admitted[row.host] >= self.budget:
                self.skipped.append((row.url, "host_budget"))
                self.counters["skipped"] += 1
                del self.rows[row_id]
            else:
                self.admitted[row.host] += 1
                self.counters["pending"] += 1

    def _record(self, row_id: int, digest: int) -> None:
        owner = self.owners.setdefault(digest, row_id) if digest else row_id
        self._end_id(row_id, "done")
        self.pages.append((self.rows[row_id].url, None if owner == row_id else self.rows[owner].url))

    def _end(self, request: Request, state: str) -> None:
        self._end_id(request.id, state)

    def _end_id(self, row_id: int, state: str) -> None:
        self.rows[row_id].state = state
        self.counters["pending"] -= 1
        self.counters[state] += 1

    def end_deferred(self) -> None:
        """Do what the ledger must do at the end of a crawl."""
        for row in self.rows.values():
            if row.state == "deferred":
                row.state = "skipped"
                self.skipped.append((row.url, Reason.DEPTH.value))
                self.counters["deferred"] -= 1
                self.counters["skipped"] += 1

    def pending(self) -> list[int]:
        """Return the ids of what may be crawled, in order of discovery."""
        return sorted(row_id for row_id, row in self.rows.items() if row.state == "pending")

    def as_row(self, row_id: int, host_id: int) -> list[Any]:
        """Return a pending URL as the store tells it."""
        row = self.rows[row_id]
        redirects = orjson.dumps(row.redirects).decode() if row.redirects else None
        return [host_id, row.priority, row_id, row.url, row.depth, row.via, row.attempts, redirects, row.host]
