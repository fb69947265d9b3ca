"""The store as the event loop sees it: put finished URLs in, hear what is new, hear what is durable.

All SQLite and file work runs in one thread of its own. What the loop puts within one of its turns travels as one group;
groups are applied in the order they were put, and committed together when `commit_interval` has passed or enough bytes
wait. A group that is being synced does not hold up the loop, it only lets the next group grow.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from msgspec import Struct, field

from crawler.errors import StateError
from crawler.frontier.host import Row
from crawler.store.database import STATE_FILE, open_database, refuse_lost_commits
from crawler.store.group import Applied, Committed, Item, Recorded
from crawler.store.ledger import Ledger
from crawler.store.outputs import NAMES, Outputs
from crawler.store.runs import begin_run, end_run, robots_row

T = TypeVar("T")

PORTION_BYTES = 128 << 10  # of links: about 1,500 new URLs, two milliseconds of the loop
COMMIT_BYTES = 8 << 20  # of output waiting; a commit this large is no longer dominated by its sync


class StoreOptions(NamedTuple):
    """How a job keeps its state."""

    durable: bool = True
    """Sync outputs and state before anything counts as done. Without, a power cut may leave a state that is refused."""
    commit_interval: float = 0.2
    """Seconds that finished pages may wait for their commit."""
    zstd: bool = False
    max_depth: int | None = None
    host_budget: int | None = None
    keep_lines: bool = False


class Opened(NamedTuple):
    """What was found at the start."""

    counters: Mapping[str, int]
    meta: dict[str, str]
    resumed: bool
    """There was a run before this one, however it ended."""


class Listener(NamedTuple):
    """What the engine wants to hear; always called in the event loop."""

    applied: Callable[[Applied], None]
    committed: Callable[[list[Committed]], None]
    """In the order in which they were applied."""
    failed: Callable[[Exception], None]
    """Nothing can be kept any more; called once, with a StateError unless it is a bug."""


class _Inbox(Struct, eq=False):
    condition: threading.Condition = field(default_factory=threading.Condition)
    items: list[Item] = field(default_factory=list)
    calls: deque[Callable[[], None]] = field(default_factory=deque)
    closing: bool = False


class Store:
    """Durable state of one job. Open it with `await Store.open(...)`, end it with `await store.close(code)`."""

    def __init__(self, directory: Path, options: StoreOptions, listener: Listener) -> None:
        self._directory = directory
        self._options = options
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._inbox = _Inbox()
        self._turn: list[Item] = []
        self._ledger: Ledger
        self._outputs: Outputs
        self._db: sqlite3.Connection
        self._run_id = 0
        self._uncommitted: list[Committed] = []
        self._due = 0.0
        self._error: Exception | None = None
        self._closed = asyncio.Event()
        self._thread = threading.Thread(target=self._main, name="crawlmill-store", daemon=True)

    @classmethod
    async def open(
        cls, directory: Path, options: StoreOptions, listener: Listener, meta: Mapping[str, str]
    ) -> tuple[Store, Opened]:
        """Open or create the state, cut the outputs to what was committed, and begin a run.

        `meta` is written on the first run only. Raises StateError, as every call that follows does.
        """
        store = cls(directory, options, listener)
        store._thread.start()
        try:
            opened = await store._call(lambda: store._start(meta))
        except BaseException:  # also when cancelled: nobody has the store yet who could end its thread
            await store.abandon()
            raise
        return store, opened

    # -- in the event loop

    def put(self, item: Item) -> None:
        """Hand over one finished URL. It is durable when the listener's `committed` names it."""
        if not self._turn:
            self._loop.call_soon(self._hand_over)
        self._turn.append(item)

    def _hand_over(self) -> None:
        turn, self._turn = self._turn, []
        with self._inbox.condition:
            self._inbox.items.extend(turn)
            self._inbox.condition.notify()

    def host_rest(self, host: int, priority: int, after: int, limit: int, reply: Callable[[list[Row]], None]) -> None:
        """Ask for pending URLs of one host behind `(priority, id)`, in order.

        `reply` is called in the event loop, in order with the listener's `applied`: an answer is never older or newer
        than what was heard before it. A future would break that order, since whoever awaits it wakes a turn later.
        """
        self._ask(lambda: self._ledger.host_rest(host, priority, after, limit), reply)

    def next_hosts(self, after: int, limit: int, reply: Callable[[list[int]], None]) -> None:
        """Ask for ids of hosts above `after` that have pending URLs; `reply` as in `host_rest`."""
        self._ask(lambda: self._ledger.next_hosts(after, limit), reply)

    async def robots(self, origin: str) -> tuple[str, bytes, float] | None:
        """Return `(status, body, fetched_at)` of the robots.txt last kept for an origin."""
        return await self._call(lambda: robots_row(self._db, origin))

    async def set_meta(self, key: str, value: str) -> None:
        """Keep a word about the job, with the next commit."""
        await self._call(lambda: self._set_meta(key, value))

    async def end_deferred(self) -> int:
        """Turn what the depth limit still holds back into skipped URLs; return how many."""
        return await self._call(lambda: self._ledger.end_deferred())

    async def flush(self) -> None:
        """Return when everything put so far is committed. Raises StateError."""
        if self._turn:
            self._hand_over()
        await self._call(self._commit)

    @property
    def live_counters(self) -> Counter[str]:
        """The counters, applied groups included; read only, and they change while you look."""
        return self._ledger.counters

    def output_paths(self) -> dict[str, Path]:
        """Return where each output is, by name."""
        return {name: self._outputs.path(name) for name in NAMES}

    async def close(self, exit_code: int) -> None:
        """Commit what was put and note how the run ended; `abandon` still has to follow. Raises StateError."""
        await self.flush()
        await self._call(lambda: self._end(exit_code))

    async def abandon(self) -> None:
        """Close everything and end the thread; what was put and not committed stays pending. Idempotent."""
        with self._inbox.condition:
            self._inbox.closing = True
            self._inbox.condition.notify()
        try:
            await self._closed.wait()
        finally:
            self._thread.join()  # it is at its last act; a caller in a hurry waits for the sync under way, no longer

    def _ask(self, function: Callable[[], T], reply: Callable[[T], None]) -> None:
        def run() -> None:
            if self._error is not None:
                return  # the run is ending, nobody waits for this
            try:
                result = function()
            except Exception as exc:  # noqa: BLE001  # ends the run, as any trouble with the state
                self._fail(exc)
            else:
                self._loop.call_soon_threadsafe(reply, result)

        self._enqueue(run)

    async def _call(self, function: Callable[[], T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            try:
                if self._error is not None:
                    raise self._error
                result = function()
            except Exception as exc:  # noqa: BLE001  # travels to the caller
                self._loop.call_soon_threadsafe(_reject, future, self._fail(exc))
            else:
                self._loop.call_soon_threadsafe(_resolve, future, result)

        self._enqueue(run)
        return await future

    def _enqueue(self, call: Callable[[], None]) -> None:
        with self._inbox.condition:
            self._inbox.calls.append(call)
            self._inbox.condition.notify()

    # -- in the thread

    def _main(self) -> None:
        inbox = self._inbox
        while True:
            with inbox.condition:
                while not (inbox.items or inbox.calls or inbox.closing):
                    if not inbox.condition.wait(self._patience()):
                        break
                items, inbox.items = inbox.items, []
                calls = list(inbox.calls)
                inbox.calls.clear()
                closing = inbox.closing
            self._work(items)
            for call in calls:
                call()
            if closing:
                self._close()
                self._loop.call_soon_threadsafe(self._closed.set)
                return

    def _patience(self) -> float | None:
        return max(0.0, self._due - time.monotonic()) if self._uncommitted else None

    def _work(self, items: list[Item]) -> None:
        if self._error is not None:
            return
        try:
            for group in _portions(items):
                applied = self._ledger.apply(group)
                if not self._uncommitted:
                    self._due = time.monotonic() + self._options.commit_interval
                self._uncommitted.append(applied.waiting())
                self._loop.call_soon_threadsafe(self._listener.applied, applied)
                self._commit_if_due()  # what gathered during a slow commit may take longer than the next one's time
            self._commit_if_due()
        except Exception as exc:  # noqa: BLE001  # the listener ends the run with it
            self._fail(exc)

    def _commit_if_due(self) -> None:
        if self._uncommitted and (time.monotonic() >= self._due or self._outputs.pending_bytes >= COMMIT_BYTES):
            self._commit()

    def _commit(self) -> None:
        self._ledger.commit()
        groups, self._uncommitted = self._uncommitted, []
        if groups:
            self._loop.call_soon_threadsafe(self._listener.committed, groups)

    def _fail(self, exc: Exception) -> Exception:
        """After a failed write or sync nothing may be believed: commit never again, and tell the loop, once."""
        if self._error is None:
            self._error = self._as_state_error(exc)
            self._loop.call_soon_threadsafe(self._listener.failed, self._error)
        return self._error

    def _as_state_error(self, exc: Exception) -> Exception:
        if not isinstance(exc, OSError | sqlite3.Error):
            return exc  # a StateError already, or a bug
        place = getattr(exc, "filename", None) or self._directory
        cause = getattr(exc, "strerror", None) or exc
        text = f"{place}: cannot keep state or outputs: {cause}"
        error = StateError(f"{text}; make room or mend the disk, then run the same command again")
        error.__cause__ = exc
        return error

    def _start(self, meta: Mapping[str, str]) -> Opened:
        self._db = open_database(self._directory / STATE_FILE, durable=self._options.durable)
        return self._recover(meta)

    def _recover(self, meta: Mapping[str, str]) -> Opened:
        db, options = self._db, self._options
        committed = {name: (length, lines) for name, length, lines in db.execute("SELECT * FROM output")}
        if not committed:
            refuse_lost_commits(db, self._directory)
        self._run_id = begin_run(db, meta)
        self._outputs = Outputs(self._directory, committed, zstd=options.zstd, sync=True)
        self._ledger = Ledger(
            db,
            self._outputs,
            max_depth=options.max_depth,
            host_budget=options.host_budget,
            keep_lines=options.keep_lines,
        )
        stored = dict(db.execute("SELECT key, value FROM meta").fetchall())
        return Opened(dict(self._ledger.counters), stored, self._run_id > 1)

    def _set_meta(self, key: str, value: str) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES (?, ?)", (key, value))

    def _end(self, exit_code: int) -> None:
        end_run(self._db, self._run_id, exit_code)

    def _close(self) -> None:
        if hasattr(self, "_outputs"):
            self._outputs.close()
        if hasattr(self, "_db"):
            self._db.close()  # an open transaction rolls back: nothing of it was reported


def _portions(items: list[Item]) -> Iterator[list[Item]]:
    """Split what came in one turn so that no portion brings too many new URLs for one turn of the event loop."""
    portion: list[Item] = []
    size = 0
    for item in items:
        portion.append(item)
        size += len(item.processed.outlinks) if isinstance(item, Recorded) else 0
        if size > PORTION_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _resolve(future: asyncio.Future[T], result: T) -> None:
    if not future.done():  # else the caller was cancelled meanwhile
        future.set_result(result)


def _reject(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
