"""The history of runs, the words about the job, and what was kept of robots.txt."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime


def begin_run(db: sqlite3.Connection, meta: Mapping[str, str]) -> int:
    """Note the start of a run and return its number, from 1. `meta` is kept where the job has no such word yet."""
    db.execute("BEGIN IMMEDIATE")
    db.executemany("INSERT OR IGNORE INTO meta(key, value) VALUES (?, ?)", meta.items())
    run_id = db.execute("INSERT INTO run(started_at) VALUES (?)", (_now(),)).lastrowid
    db.execute("COMMIT")
    assert run_id is not None
    return run_id


def end_run(db: sqlite3.Connection, run_id: int, exit_code: int) -> None:
    """Note how a run ended."""
    db.execute("UPDATE run SET ended_at = ?, exit_code = ? WHERE id = ?", (_now(), exit_code, run_id))


def robots_row(db: sqlite3.Connection, origin: str) -> tuple[str, bytes, float] | None:
    """Return what was kept of an origin's robots.txt."""
    row: tuple[str, bytes, float] | None = db.execute(
        "SELECT status, body, fetched_at FROM robots WHERE origin = ?", (origin,)
    ).fetchone()
    return row


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
