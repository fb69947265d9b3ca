"""Opens the state file: creates it, recognises it, and sets how durable a commit is."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from crawler.errors import StateError
from crawler.store import schema

STATE_FILE = "state.sqlite3"


def open_database(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Open or create the state file for one writer; call it in the thread that will use it.

    With `durable` a commit survives power loss; without, it survives the death of the process, and a power loss may
    take back the last commits but never leaves them in part. Raises StateError with the remedy.
    """
    if path.is_dir():
        raise StateError(f"{path}: is a directory; the state file of the crawl belongs here")
    fresh = not path.exists() or path.stat().st_size == 0
    if fresh and any(path.with_name(path.name + tail).exists() for tail in ("-wal", "-journal")):
        raise StateError(
            f"{path}: is missing or empty beside its own journal; restore it, or start in an empty directory"
        )
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
    except sqlite3.Error as exc:
        raise StateError(f"{path}: cannot be opened: {exc}; check the directory and its permissions") from exc
    try:
        _prepare(db, path, fresh=fresh, durable=durable)
    except sqlite3.Error as exc:
        db.close()
        raise StateError(f"{path}: {exc}; restore the file from a copy, or start over in an empty directory") from exc
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path, *, fresh: bool, durable: bool) -> None:
    if fresh:
        db.execute("PRAGMA page_size = 8192")
        os.chmod(path, 0o600)  # noqa: PTH101  # state may tell what a private site holds
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA cache_size = -32000")
    db.execute("PRAGMA wal_autocheckpoint = 2000")
    db.execute("PRAGMA trusted_schema = OFF")
    if not _has_tables(db):
        db.execute("BEGIN EXCLUSIVE")
        for statement in schema.TABLES.split(";"):
            if statement.strip():
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {schema.USER_VERSION}")
        db.execute("COMMIT")
    _recognise(db, path)
    db.executescript(schema.SCRATCH)


def _has_tables(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])


def _recognise(db: sqlite3.Connection, path: Path) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application != schema.APPLICATION_ID:
        raise StateError(f"{path}: is not a state file of crawlmill; choose another job.out")
    if version != schema.USER_VERSION:
        raise StateError(
            f"{path}: has layout {version}, this program writes {schema.USER_VERSION}; "
            "use the version that wrote it, or start over in an empty directory"
        )
