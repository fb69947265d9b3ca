"""Opens the state file: creates it, recognises it, and sets how durable a commit is.

A state file appears with all its tables or not at all: it is made under another name and moved into place. So a file
that is there and cannot be read is damaged, and one that is missing beside records of its own was lost. Both are
refused: to start from nothing there would cut off every record that the outputs hold.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from time import monotonic

from crawler.errors import StateError
from crawler.store import schema
from crawler.store.outputs import holds_records, sync_directory

STATE_FILE = "state.sqlite3"
CHECK_SECONDS = 0.3  # for the look at the whole file at start; larger files show their damage when the crawl gets there
_CHECK_STEPS = 20_000  # SQLite's instructions between two looks at the clock


def open_database(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Open or create the state file for one writer; call it in the thread that will use it.

    With `durable` a commit survives power loss; without, it survives the death of the process, and a power loss may
    take back the last commits but never leaves them in part. Raises StateError with the remedy, and OSError.
    """
    if not path.exists():
        _refuse_lost(path)
        _create(path)
    if not path.is_file():
        raise StateError(f"{path}: is no file; the state file of the crawl belongs here")
    if path.stat().st_size == 0:
        raise StateError(f"{path}: is empty; restore it from a copy, or start over in an empty directory")
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
    except sqlite3.Error as exc:
        raise StateError(f"{path}: cannot be opened: {exc}; check the directory and its permissions") from exc
    try:
        _prepare(db, path, durable=durable)
    except sqlite3.OperationalError as exc:  # the disk, not the file
        db.close()
        raise StateError(f"{path}: {exc}; make room or mend the disk, then run the same command again") from exc
    except sqlite3.Error as exc:
        db.close()
        raise StateError(f"{path}: {exc}; restore the file from a copy, or start over in an empty directory") from exc
    except BaseException:
        db.close()
        raise
    return db


def _refuse_lost(path: Path) -> None:
    found = [path.with_name(path.name + tail) for tail in ("-wal", "-journal")]
    left = [file.name for file in found if file.exists()] + holds_records(path.parent)
    if left:
        raise StateError(
            f"{path}: is missing beside {', '.join(left)}; restore it from a copy, or start over in an empty directory"
        )


def refuse_lost_commits(db: sqlite3.Connection, directory: Path) -> None:
    """Refuse a state that knows of no run beside outputs that do: its journal was taken away. Raises StateError."""
    if db.execute("SELECT 1 FROM run").fetchone() is None and (left := holds_records(directory)):
        text = f"{directory / STATE_FILE}: knows nothing of {', '.join(left)}: its -wal file is lost"
        raise StateError(f"{text}; restore it from a copy, or start over in an empty directory")


def _create(path: Path) -> None:
    """Make the file with its tables under another name, then give it its own."""
    part = path.with_name(f"{path.name}.new")
    for tail in ("", "-wal", "-shm", "-journal"):
        part.with_name(part.name + tail).unlink(missing_ok=True)  # of a run that was killed here
    try:
        db = sqlite3.connect(part, isolation_level=None)
        try:
            part.chmod(0o600)  # state may tell what a private site holds
            db.execute("PRAGMA page_size = 8192")
            db.execute("PRAGMA journal_mode = MEMORY")  # nobody will ever roll this file back
            db.executescript(f"BEGIN; {schema.TABLES} {schema.CLAIM_TABLE} {schema.IDENTITY} COMMIT")
            db.execute("PRAGMA journal_mode = WAL")  # while no other file and no sync is needed for the change
        finally:
            db.close()
    except sqlite3.Error as exc:
        raise StateError(f"{path}: cannot be made: {exc}; check the directory, its permissions and its space") from exc
    part.replace(path)
    sync_directory(path.parent)


def _prepare(db: sqlite3.Connection, path: Path, *, durable: bool) -> None:
    _recognise(db, path)
    _check(db, path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA cache_size = -8000")
    db.execute("PRAGMA wal_autocheckpoint = 2000")
    db.execute("PRAGMA trusted_schema = OFF")
    db.executescript(schema.SCRATCH)


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


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Look for damage, as far as that is possible in a moment: zeroed or foreign pages, rows that no index knows."""
    until = monotonic() + CHECK_SECONDS
    db.set_progress_handler(lambda: monotonic() > until, _CHECK_STEPS)
    try:
        found = [row[0] for row in db.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        db.set_progress_handler(None, 0)
    if found != ["ok"]:
        raise StateError(
            f"{path}: is damaged ({found[0]}); restore it from a copy, or start over in an empty directory"
        )
