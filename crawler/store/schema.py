"""The tables of the state file, and how an older or foreign file is told apart.

- `url` is append-only: a row is inserted once, in the order of discovery, and only its `state` and `attempts` change
  later. Neighbours in the table are finished at about the same time, so those updates touch few pages.
- `seen` is the duplicate filter: one 64-bit fingerprint a row, 14 to 16 bytes each. Keeping it apart from `url` makes
  inserts twice as fast as a unique index on wide rows, because the random keys sit in a small tree.
- `pending` is a partial index: what is finished costs nothing in it. It is the order in which a host is crawled.
- `claim` holds the digests that pages say a file has, by the file's fingerprint.
- `output` holds the committed length of every output file. It moves in the same transaction as the states, which is
  what makes a record exactly-once: bytes beyond the committed length were never reported and are cut at start.
"""

APPLICATION_ID = 0x4352_4D4C  # "CRML", PRAGMA application_id: tells our file from any other SQLite file
USER_VERSION = 1

PENDING, DONE, FAILED, SKIPPED, REDIRECTED, DEFERRED, FILE = range(7)
"""States of a URL. DEFERRED: beyond the depth limit so far; a shorter way to it may still be found. FILE: it has
its line in files.jsonl, whatever that says."""

TABLES = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE host(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, admitted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE url(
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL,
    host INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    via INTEGER,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    redirects TEXT
);
CREATE INDEX pending ON url(host, priority, id) WHERE state = 0;
CREATE TABLE seen(fp INTEGER PRIMARY KEY);
CREATE TABLE deferred(fp INTEGER PRIMARY KEY, url INTEGER NOT NULL);
CREATE TABLE content(digest INTEGER PRIMARY KEY, url INTEGER NOT NULL);
CREATE TABLE robots(origin TEXT PRIMARY KEY, status TEXT NOT NULL, body BLOB NOT NULL, fetched_at REAL NOT NULL)
    WITHOUT ROWID;
CREATE TABLE output(name TEXT PRIMARY KEY, length INTEGER NOT NULL, lines INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE run(
    id INTEGER PRIMARY KEY,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    exit_code INTEGER,
    pages INTEGER NOT NULL DEFAULT 0
);
"""

CLAIM_TABLE = """
CREATE TABLE IF NOT EXISTS claim(fp INTEGER, digest TEXT, url INTEGER, PRIMARY KEY(fp, digest, url)) WITHOUT ROWID;
"""
"""Made late in states from before there were files."""

IDENTITY = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {USER_VERSION};"

SCRATCH = """
CREATE TEMP TABLE incoming(fp INTEGER PRIMARY KEY, seq INTEGER, url TEXT, host TEXT, priority INTEGER, depth INTEGER,
    via INTEGER, redirects TEXT);
CREATE TEMP TABLE refused(fp INTEGER PRIMARY KEY, seq INTEGER, url TEXT, reason TEXT, depth INTEGER, via INTEGER);
"""
