"""One open transaction: takes groups of finished URLs, and commits them together with the lengths of the outputs.

`apply` changes the tables and tells at once what is new, so that new URLs can be fetched before the commit. That is
safe, because a page found through an uncommitted one can only be committed after it: groups are applied in order. If
the process dies, both are pending again.

`commit` writes the outputs, syncs them when the job is durable, and commits states, counters and output lengths in one
transaction. Everything here runs in the store's thread.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson
from msgspec import Struct, field

from crawler.frontier.host import Row
from crawler.frontier.reasons import Reason
from crawler.store import statements as sql
from crawler.store.group import (
    Applied,
    Failure,
    Item,
    Recorded,
    Redirect,
    Retried,
    Robots,
    Seeds,
    Skip,
)
from crawler.store.outputs import ERRORS, PAGES, SKIPPED, Outputs
from crawler.store.schema import DONE, FAILED, REDIRECTED
from crawler.store.schema import SKIPPED as STATE_SKIPPED

NO_LIMIT = 2**31
_TAIL = b'"duplicate_of":null}'


class _Group(Struct, eq=False):
    """What the items of one group come to, ready for one statement each."""

    links: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    states: dict[int, list[int]] = field(default_factory=dict)
    records: list[Recorded] = field(default_factory=list)
    attempts: list[tuple[int, int]] = field(default_factory=list)


class Ledger:
    """The state of one job in its one open transaction. Not thread-safe; owns neither connection nor outputs."""

    def __init__(
        self,
        db: sqlite3.Connection,
        outputs: Outputs,
        *,
        max_depth: int | None = None,
        host_budget: int | None = None,
        keep_lines: bool = False,
    ) -> None:
        """Take over a connection in autocommit mode. `keep_lines` returns finished records for a consumer."""
        self._db = db
        self._outputs = outputs
        self._max_depth = NO_LIMIT if max_depth is None else max_depth
        self._budget = host_budget
        self._keep_lines = keep_lines
        self.counters: Counter[str] = Counter(dict(db.execute("SELECT name, value FROM counter").fetchall()))

    # -- a group

    def apply(self, items: list[Item]) -> Applied:
        """Bring a group into the open transaction and return what is new. Raises sqlite3.Error."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        applied = Applied(items)
        group = _Group()
        for item in items:
            self._take(item, group, applied)
        if group.refused:
            self._refuse(group.refused, applied)
        if group.links:
            self._discover(group.links, applied)
        if group.records:
            self._record(group.records, applied)
        self._settle(group.states)
        if group.attempts:
            self._db.execute(sql.SET_ATTEMPTS, (_json(group.attempts),))
        return applied

    def _take(self, item: Item, group: _Group, applied: Applied) -> None:
        """Put what one item means into the group, whose statements each move all of it at once."""
        match item:
            case Recorded(request, processed, _):
                group.records.append(item)
                group.states.setdefault(DONE, []).append(request.id)
                if processed.outlinks:
                    group.links.append(b"[%d,%d,null,%b]" % (request.id, request.depth + 1, processed.outlinks))
                if processed.refused:
                    group.refused.append(b"[%d,%d,%b]" % (request.id, request.depth + 1, processed.refused))
            case Redirect(request, line, links, no):
                group.states.setdefault(REDIRECTED, []).append(request.id)
                chain = orjson.dumps([*request.redirects, request.url]).decode()
                if links:
                    group.links.append(orjson.dumps([request.id, request.depth, chain, links]))
                if no:
                    group.refused.append(orjson.dumps([request.id, request.depth, no]))
                self._outputs.add(PAGES, line + b"\n")
                if self._keep_lines:
                    applied.lines.append(line)
            case Failure():
                group.states.setdefault(FAILED, []).append(item.request.id)
                self._failure(item)
            case Skip(request, reason):
                group.states.setdefault(STATE_SKIPPED, []).append(request.id)
                self._skip(request.url, reason, request.depth, request.via)
            case Retried(request):
                group.attempts.append((request.id, request.attempt))
                self.counters["retries"] += 1
            case Seeds(links, no):
                group.links.append(orjson.dumps([None, 0, None, links]))
                group.refused.append(orjson.dumps([None, 0, no]))
            case Robots(origin, status, body, fetched_at):
                self._db.execute(sql.PUT_ROBOTS, (origin, status, body, fetched_at))

    def commit(self) -> None:
        """Write and sync the outputs, then commit. Raises OSError, sqlite3.Error: then nothing was reported as done."""
        if not self._db.in_transaction:
            return
        for name, (length, lines) in self._outputs.write().items():
            self._db.execute(sql.PUT_OUTPUT, (name, length, lines))
        self._db.executemany(sql.PUT_COUNTER, self.counters.items())
        self._db.execute("COMMIT")

    def _settle(self, states: dict[int, list[int]]) -> None:
        for state, ids in states.items():
            self._db.execute(sql.SET_STATE, (state, _json(ids)))
            self.counters["pending"] -= len(ids)
        self.counters["done"] += len(states.get(DONE, ()))
        self.counters["redirected"] += len(states.get(REDIRECTED, ()))

    # -- links

    def _refuse(self, refused: list[bytes], applied: Applied) -> None:
        self._db.execute("DELETE FROM refused")
        if not self._db.execute(sql.TAKE_REFUSED, (_array(refused),)).rowcount:
            return
        applied.skipped = orjson.loads(self._value(sql.REFUSED_COUNTS))
        self._outputs.add(SKIPPED, self._value(sql.REFUSED_LINES).encode() + b"\n")
        self._db.execute(sql.SEE_REFUSED)
        self._count_skipped(applied.skipped)
        self.counters["discovered"] += sum(applied.skipped.values())

    def _discover(self, groups: list[bytes], applied: Applied) -> None:
        text = _array(groups)
        limited = self._max_depth < NO_LIMIT
        self._db.execute("DELETE FROM incoming")
        revived = self._revive(text, applied) if limited else []
        taken = self._db.execute(sql.TAKE_LINKS, (text,)).rowcount > 0
        if not (taken or revived):
            return
        last = self._value(sql.LAST_URL)  # not kept from the group before: the budget may have dropped rows since
        opened = len(revived)
        if taken:
            opened += self._insert(last, applied)
        if self._budget is not None:
            opened -= self._keep_budget(last, _json(revived), self._budget, applied)
        self.counters["pending"] += opened
        applied.new += self._rows(sql.NEW_URLS, (last,))
        if revived:
            applied.new += self._rows(sql.REVIVED, (_json(revived),))

    def _insert(self, last: int, applied: Applied) -> int:
        """Make rows of the links taken, which get the ids behind `last`; return how many may be crawled."""
        self._db.execute(sql.ADD_HOSTS)
        added = self._db.execute(sql.ADD_URLS, {"max_depth": self._max_depth}).rowcount
        self._db.execute(sql.ADD_SEEN)
        self.counters["discovered"] += added
        if self._max_depth == NO_LIMIT:
            return added
        beyond = self._db.execute(sql.DEFER, {"last": last, "max_depth": self._max_depth}).rowcount
        applied.deferred += beyond
        self.counters["deferred"] += beyond
        return added - beyond

    def _revive(self, groups: str, applied: Applied) -> list[int]:
        """Let URLs that waited beyond the depth limit in, when a shorter way to them was found; return their ids."""
        found = orjson.loads(self._value(sql.NEARER, {"groups": groups, "max_depth": self._max_depth}))
        nearest: dict[int, list[int]] = {}
        for row in found:
            if row[0] not in nearest or row[1] < nearest[row[0]][1]:
                nearest[row[0]] = row
        if nearest:
            self._db.executemany(sql.REVIVE, nearest.values())
            self._db.execute(sql.FORGET_DEFERRED, (_json(list(nearest)),))
            applied.deferred -= len(nearest)
            self.counters["deferred"] -= len(nearest)
        return list(nearest)

    def _keep_budget(self, last: int, revived: str, budget: int, applied: Applied) -> int:
        over = self._value(sql.OVER_BUDGET, {"last": last, "revived": revived, "budget": budget})
        count = len(orjson.loads(over))
        if count:
            self._outputs.add(SKIPPED, self._value(sql.BUDGET_LINES, (over,)).encode() + b"\n")
            self._db.execute(sql.DROP_URLS, (over,))
            self._count_skipped({Reason.HOST_BUDGET.value: count})
            applied.skipped[Reason.HOST_BUDGET.value] = count
        self._db.execute(sql.COUNT_ADMITTED, {"last": last, "revived": revived})
        return count

    def end_deferred(self) -> int:
        """At the end of a crawl: what still waits beyond the depth limit is skipped for good. Returns how many."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        count, lines = self._db.execute(sql.DEFERRED_LINES).fetchone()
        if count:
            self._outputs.add(SKIPPED, lines.encode() + b"\n")
            self._db.execute(sql.END_DEFERRED)
            self._db.execute("DELETE FROM deferred")
            self._count_skipped({Reason.DEPTH.value: count})
            self.counters["deferred"] -= count
        return int(count)

    # -- lines

    def _record(self, records: list[Recorded], applied: Applied) -> None:
        bodies = [(r.processed.digest, r.request.id) for r in records if r.processed.body_bytes]
        owners: dict[int, str] = {}
        if bodies:
            text = _json(bodies)
            self._db.execute(sql.ADD_CONTENT, (text,))
            owners = dict(orjson.loads(self._value(sql.DUPLICATES, (text,))))
        for record in records:
            line = record.processed.line
            owner = owners.get(record.request.id)
            if owner is not None:
                line = line[: -len(_TAIL)] + b'"duplicate_of":' + orjson.dumps(owner) + b"}"
                self.counters["duplicates"] += 1
            self._outputs.add(PAGES, line + b"\n")
            if self._keep_lines:
                applied.lines.append(line)
            self.counters["body_bytes"] += record.processed.body_bytes
            self.counters["wire_bytes"] += record.wire_bytes

    def _failure(self, item: Failure) -> None:
        request = item.request
        line = {
            "url": request.url,
            "reason": item.reason.value,
            "status": item.status,
            "detail": item.detail,
            "attempts": request.attempt,
            "depth": request.depth,
            "via": request.via,
        }
        self._outputs.add(ERRORS, orjson.dumps(line) + b"\n")
        self.counters["failed"] += 1
        self.counters[f"failed:{item.reason.value}"] += 1

    def _skip(self, url: str, reason: Reason, depth: int, via: str | None) -> None:
        line = orjson.dumps({"url": url, "reason": reason.value, "depth": depth, "via": via})
        self._outputs.add(SKIPPED, line + b"\n")
        self._count_skipped({reason.value: 1})

    def _count_skipped(self, reasons: dict[str, int]) -> None:
        for reason, count in reasons.items():
            self.counters["skipped"] += count
            self.counters[f"skipped:{reason}"] += count

    # -- reading

    def host_rest(self, host: int, priority: int, after: int, limit: int) -> list[Row]:
        """Return the next pending URLs of a host behind `(priority, id)`, in order."""
        return self._rows(sql.HOST_REST, {"host": host, "priority": priority, "id": after, "limit": limit})

    def next_hosts(self, after: int, limit: int) -> list[int]:
        """Return the next ids of hosts above `after` that have pending URLs."""
        return orjson.loads(self._value(sql.NEXT_HOSTS, {"after": after, "limit": limit}))  # type: ignore[no-any-return]  # SQL built it

    def _rows(self, statement: str, values: Iterable[Any] | dict[str, Any]) -> list[Row]:
        return orjson.loads(self._value(statement, values))  # type: ignore[no-any-return]  # rows as statements.py shapes them

    def _value(self, statement: str, values: Iterable[Any] | dict[str, Any] = ()) -> Any:
        return self._db.execute(statement, values).fetchone()[0]  # type: ignore[arg-type]  # stubs want a Sequence


def _json(values: Any) -> str:
    return orjson.dumps(values).decode()


def _array(parts: list[bytes]) -> str:
    return (b"[" + b",".join(parts) + b"]").decode()
