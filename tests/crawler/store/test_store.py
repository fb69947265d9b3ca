"""The store as the event loop sees it: order of what it says, group commits, and an end that leaves nothing."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from crawler.frontier.host import Row
from crawler.frontier.reasons import Reason
from crawler.store.group import Failure, FileEnded, Recorded, Retried, Robots, Seeds
from tests.support.store_listener import Heard, OpenStore
from tests.support.store_model import link


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "crawlmill-store"]


async def test_what_is_put_is_applied_at_once_and_committed_later(open_store: OpenStore) -> None:
    heard = await open_store()
    (one,) = await heard.seed(1)
    item = heard.put_page(one, link(3))
    await heard.until(lambda: len(heard.applied) == 2)
    assert heard.applied[-1].new[0][3] == link(3)[1]
    assert item not in heard.committed
    await heard.store.flush()
    assert item in heard.committed
    assert [line["url"] for line in heard.lines()] == [one.url]


async def test_a_commit_comes_by_itself_when_its_time_has_come(open_store: OpenStore) -> None:
    heard = await open_store(commit_interval=0.02)
    heard.store.put(Seeds([link(1)], []))
    await heard.until(lambda: bool(heard.committed))


async def test_much_output_is_committed_before_its_time(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.store.store.COMMIT_BYTES", 50)
    heard = await open_store()
    (one,) = await heard.seed(1)
    heard.committed.clear()
    heard.store.put(Failure(one, Reason.DNS, "a detail that is longer than that"))
    await heard.until(lambda: bool(heard.committed))


async def test_what_gathered_meanwhile_is_committed_portion_by_portion(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow commit lets thousands of pages gather; they must not all wait for the last of them."""
    monkeypatch.setattr("crawler.store.store.PORTION_BYTES", 0)
    commits: list[int] = []
    heard = await open_store(commit_interval=0.0)
    requests = await heard.seed(*range(8))
    commit = heard.store._ledger.commit

    def counted() -> None:
        commits.append(len(heard.store._uncommitted))
        commit()

    monkeypatch.setattr(heard.store._ledger, "commit", counted)
    for request in requests:  # all in one turn of the loop
        heard.put_page(request, link(100 + request.id))
    await heard.store.flush()
    assert commits[:8] == [1] * 8


async def test_an_answer_is_never_newer_or_older_than_what_was_heard(open_store: OpenStore) -> None:
    """The frontier counts on it: a URL in flight is not handed to it again, and none falls between two answers."""
    heard = await open_store()
    requests = await heard.seed(*range(0, 40, 2))
    known = {request.id for request in requests}
    answers: list[tuple[set[int], set[int]]] = []

    def reply(rows: list[Row]) -> None:
        heard_of = {row[2] for applied in heard.applied for row in applied.new}
        ended = {item.request.id for applied in heard.applied for item in applied.items if isinstance(item, Recorded)}
        answers.append(({row[2] for row in rows}, heard_of - ended))

    for number, request in enumerate(requests):
        heard.put_page(request, link(100 + 2 * number))
        heard.store.host_rest(1, -(2**62), 0, 1000, reply)
        if number % 3 == 0:
            await asyncio.sleep(0)
    await heard.store.flush()
    assert len(answers) == len(requests)
    for told, expected in answers:
        assert told == expected
    assert answers[-1][0].isdisjoint(known)


async def test_a_new_run_finds_what_the_last_one_committed(open_store: OpenStore) -> None:
    first = await open_store()
    assert not first.opened.resumed
    one, two, three = await first.seed(1, 2, 3)
    first.put_page(one)
    first.store.put(Retried(two))
    first.store.put(Robots("http://h1.test", "rules", b"User-agent: *", 5.0))
    await first.store.close(0)
    first.put_page(two)
    await first.store.abandon()
    second = await open_store()
    assert second.opened.resumed
    assert second.opened.counters["done"] == 1
    assert second.opened.counters["pending"] == 2
    assert second.opened.meta["scope"] == "s"
    assert await second.store.robots("http://h1.test") == ("rules", b"User-agent: *", 5.0)
    assert await second.store.robots("http://h2.test") is None
    rows: list[Row] = []
    for host in (1, 2):
        second.store.host_rest(host, -(2**62), 0, 10, rows.extend)
    await second.store.flush()
    assert sorted((row[3], row[6]) for row in rows) == [(two.url, 1), (three.url, 0)]


async def test_the_words_about_a_job_are_those_of_its_first_run(tmp_path: Path, open_store: OpenStore) -> None:
    await (await open_store()).store.abandon()
    heard = await open_store()
    await heard.store.set_meta("scope", "other")
    await heard.store.close(0)
    await heard.store.abandon()
    assert (await open_store()).opened.meta == {"fingerprint_key": "00", "scope": "other"}


async def test_abandoning_is_idempotent_and_ends_the_thread(open_store: OpenStore) -> None:
    heard = await open_store()
    await heard.store.abandon()
    await heard.store.abandon()
    assert threads() == []


@pytest.mark.parametrize("turns", range(6))
async def test_an_open_that_is_cancelled_leaves_no_thread(tmp_path: Path, turns: int) -> None:
    task = asyncio.create_task(Heard.open(tmp_path))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        heard = await task
    except asyncio.CancelledError:
        pass
    else:
        await heard.store.abandon()
    assert threads() == []


async def test_files_have_an_output_only_where_there_can_be_files(open_store: OpenStore, tmp_path: Path) -> None:
    without = await open_store()
    assert set(without.store.output_paths()) == {"pages", "errors", "skipped"}
    assert not (tmp_path / "files.jsonl").exists()
    await without.store.abandon()
    heard = await open_store(has_files=True, keep_lines=True)
    (one,) = await heard.seed(1)
    heard.store.put(FileEnded(one, b'{"url":"x","status":"failed"}', "failed", True, 70, 0))
    await heard.store.flush()
    assert heard.lines("files") == [{"url": "x", "status": "failed"}]
    counters = heard.store.live_counters
    assert (counters["files"], counters["files:failed"], counters["files_missed"], counters["wire_bytes"]) == (
        1,
        1,
        1,
        70,
    )
    await heard.store.abandon()
    later = await open_store()
    assert later.lines("files"), "what is committed is looked after, whatever the config says now"
    with (tmp_path / "files.jsonl").open("ab") as file:
        file.write(b"half")
    await later.store.abandon()
    assert (await open_store()).lines("files") == [{"url": "x", "status": "failed"}]


async def test_a_state_from_before_there_were_files_learns_about_them(open_store: OpenStore, tmp_path: Path) -> None:
    old = await open_store()
    await old.store.abandon()
    with sqlite3.connect(tmp_path / "state.sqlite3") as db:
        db.execute("DROP TABLE claim")
    db.close()
    assert await (await open_store(has_files=True)).store.claims([1, 2]) == []
