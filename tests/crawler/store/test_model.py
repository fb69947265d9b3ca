"""Groups, commits and crashes in any order: the store is what the plain model of it says, and never anything else."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crawler.frontier.reasons import Reason
from crawler.store.database import STATE_FILE, open_database
from crawler.store.group import Failure, FileEnded, Item, Recorded, Redirect, Retried, Seeds, Skip
from crawler.store.ledger import Ledger
from crawler.store.outputs import Outputs
from tests.support.store_model import Model, fingerprint, link, processed, url_of

STATES = ("pending", "done", "failed", "skipped", "redirected", "deferred", "files")
numbers = st.integers(0, 40)
links = st.lists(st.builds(link, numbers, st.integers(-1, 1)), max_size=8)
refusals = st.lists(
    st.builds(lambda n: (fingerprint(-1 - n), url_of(n) + "?no", Reason.DENIED.value), numbers), max_size=3
)
claims = st.lists(st.tuples(st.builds(fingerprint, numbers), st.sampled_from(["sha256:00", "md5:11"])), max_size=3)
KINDS = ("record", "record", "record", "redirect", "file", "fail", "skip", "retry")


class StoreMachine(RuleBasedStateMachine):
    """A ledger beside its model. A crash brings back what both were at the last commit."""

    @initialize(
        max_depth=st.none() | st.integers(0, 3), budget=st.none() | st.integers(1, 6), zstd=st.booleans(), seeds=links
    )
    def begin(self, max_depth: int | None, budget: int | None, zstd: bool, seeds: list[Any]) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.options = {"max_depth": max_depth, "host_budget": budget}
        self.zstd = zstd
        self.model = Model(max_depth, budget)
        self.committed = deepcopy(self.model)
        self.open()
        self.apply([Seeds(seeds, [])])

    def open(self) -> None:
        self.db = open_database(self.folder / STATE_FILE, durable=False)
        lengths = {name: (length, lines) for name, length, lines in self.db.execute("SELECT * FROM output")}
        self.outputs = Outputs(self.folder, lengths, zstd=self.zstd, sync=False)
        self.ledger = Ledger(self.db, self.outputs, keep_lines=True, **self.options)

    def apply(self, items: list[Item]) -> None:
        before = self.model.counters["deferred"]
        was_pending = set(self.model.pending())
        applied = self.ledger.apply(items)
        self.model.apply(items)
        assert applied.deferred == self.model.counters["deferred"] - before
        assert sorted(row[2] for row in applied.new) == sorted(set(self.model.pending()) - was_pending)
        for row in applied.new:
            assert row == self.model.as_row(row[2], row[0])
        ends = [item for item in items if isinstance(item, Recorded | Redirect | FileEnded)]
        assert len(applied.lines) == len(ends)

    @rule(seeds=links, refused=refusals)
    def seed(self, seeds: list[Any], refused: list[Any]) -> None:
        self.apply([Seeds(seeds, refused)])

    @rule(data=st.data())
    def group(self, data: st.DataObject) -> None:
        pending = self.model.pending()
        some = data.draw(st.lists(st.sampled_from(pending), unique=True, max_size=6)) if pending else []
        if items := [self.item(row_id, data) for row_id in some]:
            self.apply(items)

    def item(self, row_id: int, data: st.DataObject) -> Item:
        request = self.model.rows[row_id].request(row_id)
        match data.draw(st.sampled_from(KINDS)):
            case "record":
                body = data.draw(st.integers(0, 3))
                found = processed(request, data.draw(links), data.draw(refusals), body, data.draw(claims))
                return Recorded(request, found, 100)
            case "redirect":
                line = orjson.dumps({"url": request.url, "duplicate_of": None})
                return Redirect(request, line, data.draw(links)[:1], data.draw(refusals)[:1])
            case "file":
                status = data.draw(st.sampled_from(["verified", "failed"]))
                line = orjson.dumps({"url": request.url, "status": status})
                return FileEnded(request, line, status, status == "failed", 100, 90)
            case "fail":
                return Failure(request, Reason.HTTP_5XX, "broken", 500)
            case "skip":
                return Skip(request, Reason.ROBOTS)
            case _:
                return Retried(request)

    @rule()
    def commit(self) -> None:
        self.ledger.commit()
        self.committed = deepcopy(self.model)

    @rule()
    def end_deferred(self) -> None:
        self.ledger.end_deferred()
        self.model.end_deferred()

    @rule(wrote=st.booleans(), tail=st.binary(max_size=20))
    def crash(self, wrote: bool, tail: bytes) -> None:
        """Die without a commit, before or after the outputs were written, perhaps half-way through a line."""
        if wrote:
            self.outputs.write()
        self.outputs.close()
        self.db.close()
        for path in self.folder.glob("*.jsonl*"):
            with path.open("ab") as file:
                file.write(tail)
        self.model = deepcopy(self.committed)
        self.open()

    @precondition(lambda self: hasattr(self, "ledger"))
    @invariant()
    def counters_add_up(self) -> None:
        counters = self.ledger.counters
        for name in (*STATES, "discovered"):
            assert counters[name] == self.model.counters[name], name
        assert counters["discovered"] == sum(counters[name] for name in STATES)

    @precondition(lambda self: hasattr(self, "ledger"))
    @invariant()
    def tables_are_the_model(self) -> None:
        rows = self.db.execute(
            "SELECT u.id, u.url, h.name, u.depth, u.priority, v.url, u.state, u.attempts, u.redirects FROM url u "
            "JOIN host h ON h.id = u.host LEFT JOIN url v ON v.id = u.via"
        ).fetchall()
        assert len(rows) == len(self.model.rows)
        for row_id, url, host, depth, priority, via, state, attempts, redirects in rows:
            row = self.model.rows[row_id]
            assert (url, host, STATES[state]) == (row.url, row.host, row.state)
            assert (depth, priority, via, attempts) == (row.depth, row.priority, row.via, row.attempts)
            assert tuple(orjson.loads(redirects or "[]")) == row.redirects
        assert {fp for (fp,) in self.db.execute("SELECT fp FROM seen")} == self.model.seen
        admitted = Counter(dict(self.db.execute("SELECT name, admitted FROM host")))
        assert self.model.budget is None or +admitted == +self.model.admitted

    @precondition(lambda self: hasattr(self, "ledger"))
    @invariant()
    def claims_are_the_model(self) -> None:
        for print_ in {found[0] for found in self.model.claims}:
            expected = [(digest, page) for fp, digest, page in self.model.claims if fp == print_]
            assert Counter(self.ledger.claims([print_])) == Counter(expected)
        assert self.ledger.claims([fingerprint(-7)]) == []

    @precondition(lambda self: hasattr(self, "ledger"))
    @invariant()
    def queues_are_the_model(self) -> None:
        """What the frontier reads back: every pending URL of each host, in order, and every host that has one."""
        hosts = dict(self.db.execute("SELECT id, name FROM host").fetchall())
        pending = [self.model.rows[row_id].host for row_id in self.model.pending()]
        assert [hosts[host] for host in self.ledger.next_hosts(0, 100)] == [
            name for _, name in sorted(hosts.items()) if name in pending
        ]
        for host_id, name in hosts.items():
            expected = [self.model.as_row(i, host_id) for i in self.model.pending() if self.model.rows[i].host == name]
            assert self.ledger.host_rest(host_id, -(2**62), 0, 1000) == sorted(expected, key=lambda r: (r[1], r[2]))

    @precondition(lambda self: hasattr(self, "ledger"))
    @invariant()
    def outputs_are_the_committed_model(self) -> None:
        lengths = {name: length for name, length, _ in self._committed("SELECT * FROM output")}
        model = self.committed
        pages = [(line["url"], line.get("duplicate_of")) for line in self.lines("pages", lengths)]
        assert Counter(pages) == Counter(model.pages)
        for name, expected in (("errors", model.errors), ("skipped", model.skipped)):
            found = [(line["url"], line["reason"]) for line in self.lines(name, lengths)]
            assert Counter(found) == Counter(expected), name
        files = [(line["url"], line["status"]) for line in self.lines("files", lengths)]
        assert Counter(files) == Counter(model.files)

    def _committed(self, statement: str) -> list[Any]:
        """Read as another process would: only what was committed."""
        other = sqlite3.connect(self.folder / STATE_FILE)
        try:
            return other.execute(statement).fetchall()
        finally:
            other.close()

    def lines(self, name: str, lengths: dict[str, int]) -> list[Any]:
        data = self.outputs.paths()[name].read_bytes()[: lengths.get(name, 0)]
        if self.zstd and data:
            data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
        assert data == b"" or data.endswith(b"\n")
        return [orjson.loads(line) for line in data.splitlines()]

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.outputs.close()
            self.db.close()
            shutil.rmtree(self.folder)


EXAMPLES = int(os.environ.get("CRAWLMILL_EXAMPLES", "60"))


@pytest.mark.parametrize("steps", [12, 40])
def test_the_store_is_what_its_model_says(steps: int) -> None:
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(max_examples=EXAMPLES * 12 // steps, stateful_step_count=steps, deadline=None),
    )
