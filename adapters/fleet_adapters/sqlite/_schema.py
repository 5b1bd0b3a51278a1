"""The file: how it is opened, what is in it, and which files are refused.

Text columns are BLOBs (see `_mapping`). Positions of the log are rowids: they rise by one with
each event, and never repeat because the newest row is never pruned.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from fleet_adapters.sqlite._errors import code, is_busy, translated
from fleet_core.errors import StoreError

VERSION = 3
APPLICATION = 0x464C4545  # "FLEE"
_OPEN_WAIT_S = 10.0

# Those that a migration makes too.
_CURRENT = """
CREATE INDEX decision_current ON decision(plan_id, task_id, recorded_ms, superseded_by)
    WHERE superseded_by IS NULL"""
_SUPERSEDED = """
CREATE INDEX decision_superseded ON decision(superseded_by) WHERE superseded_by IS NOT NULL"""
_APPROVED = "CREATE INDEX plan_approved ON plan(story, approved_ms, plan_id)"
_TOLD = """
CREATE TABLE told(
    decision INTEGER PRIMARY KEY REFERENCES decision(id),
    by BLOB NOT NULL,
    decision_id BLOB NOT NULL,
    task_id BLOB NOT NULL,
    standing TEXT NOT NULL,
    title BLOB NOT NULL,
    rationale BLOB NOT NULL,
    text BLOB NOT NULL
)"""
_TABLES = """
CREATE TABLE log(
    position INTEGER PRIMARY KEY,
    event_id BLOB NOT NULL UNIQUE,
    stream INTEGER NOT NULL,
    kept_ms INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    traceparent BLOB NOT NULL,
    subject BLOB NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE stream(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    pruned INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE durable(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name BLOB NOT NULL UNIQUE,
    cursor INTEGER NOT NULL,
    unfinished BLOB NOT NULL
);
CREATE TABLE document(
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    value BLOB NOT NULL
);
CREATE INDEX document_until ON document(until_ms) WHERE until_ms > 0;
CREATE TABLE blob(
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    kept_ms INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX blob_kept ON blob(kept_ms);
CREATE TABLE story(
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,
    revision INTEGER NOT NULL
);
CREATE TABLE plan(
    id INTEGER PRIMARY KEY,
    plan_id BLOB NOT NULL UNIQUE,
    story INTEGER NOT NULL REFERENCES story(id),
    approved_ms INTEGER NOT NULL,
    title BLOB NOT NULL,
    description BLOB NOT NULL,
    tasks INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE task(
    plan INTEGER NOT NULL REFERENCES plan(id),
    task_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    role BLOB NOT NULL,
    title BLOB NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (plan, task_id)
) WITHOUT ROWID;
CREATE TABLE depends_on(
    plan INTEGER NOT NULL REFERENCES plan(id),
    task_id BLOB NOT NULL,
    dependency BLOB NOT NULL,
    PRIMARY KEY (plan, task_id, dependency)
) WITHOUT ROWID;
CREATE TABLE decision(
    id INTEGER PRIMARY KEY,
    decision_id BLOB NOT NULL UNIQUE,
    story INTEGER NOT NULL REFERENCES story(id),
    plan_id BLOB NOT NULL,
    task_id BLOB NOT NULL,
    role BLOB NOT NULL,
    recorded_ms INTEGER NOT NULL,
    superseded_by INTEGER REFERENCES decision(id),
    document BLOB NOT NULL
);
CREATE INDEX decision_timeline
    ON decision(story, recorded_ms, decision_id, plan_id, superseded_by)
    WHERE superseded_by IS NULL;
CREATE INDEX decision_role
    ON decision(story, role, recorded_ms, decision_id, plan_id, superseded_by)
    WHERE superseded_by IS NULL;
CREATE TABLE affects(
    story INTEGER NOT NULL,
    task_id BLOB NOT NULL,
    recorded_ms INTEGER NOT NULL,
    decision_id BLOB NOT NULL,
    plan_id BLOB NOT NULL,
    decision INTEGER NOT NULL REFERENCES decision(id),
    PRIMARY KEY (story, task_id, recorded_ms, decision_id)
) WITHOUT ROWID;
CREATE INDEX affects_decision ON affects(decision);
CREATE INDEX decision_story ON decision(story, id);
CREATE INDEX plan_story ON plan(story, id);
"""
_MIGRATIONS = {
    1: (
        "CREATE INDEX decision_story ON decision(story, id)",
        "CREATE INDEX plan_story ON plan(story, id)",
    ),
    2: (
        "ALTER TABLE plan ADD COLUMN tasks INTEGER NOT NULL DEFAULT 0",
        "UPDATE plan SET tasks = (SELECT count(*) FROM task WHERE task.plan = plan.id)",
        "DROP INDEX decision_current",
        _CURRENT,
        _SUPERSEDED,
        _APPROVED,
        _TOLD,
    ),
}
"""By the version that they lead away from; each is made in one transaction."""


def connect(path: Path, wait_s: float = 0.0) -> sqlite3.Connection:
    """A connection with this program's settings, which waits for a lock at most so long.

    Commits go to the write-ahead log without an fsync, which a kill of the process cannot lose;
    the log is moved into the file by `_checkpoint`, never by a commit.
    """
    connection = sqlite3.connect(
        path, timeout=wait_s, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("PRAGMA cache_size=-8000")
    except BaseException:
        connection.close()
        raise
    return connection


def open_file(path: Path) -> sqlite3.Connection:
    """A connection to the file, made where it does not exist; blocks, so not for the event loop.

    Raises:
        StoreError: it is not an SQLite file, another program's, of another schema version, or
            cannot be written.
        Unavailable: another process holds it.
    """
    deadline = time.monotonic() + _OPEN_WAIT_S
    while True:
        connection: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = connect(path)
            _prepare(connection, path)
        except (sqlite3.Error, StoreError, OSError) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, StoreError):
                raise
            if isinstance(error, OSError):
                raise StoreError(f"{path}: {error.strerror}", "set another path") from error
            if not is_busy(error) or time.monotonic() > deadline:
                raise translated(error, path) from error
            time.sleep(0.01)
        else:
            return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and application != APPLICATION:
        raise StoreError(f"{path} is another program's SQLite file", "set another path")
    if tables and not 1 <= version <= VERSION:
        raise StoreError(
            f"{path} has schema version {version}, this program reads {VERSION}",
            "move the file away, or use the version of fleet that wrote it",
        )
    if tables:
        # What only a write would find out later is better known at the start.
        connection.execute("DELETE FROM durable WHERE 0")
        if version < VERSION:
            _in_transaction(connection, path, _migrate)
        return
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(
            f"{path}: its file system cannot hold a write-ahead log", "set a path on a local disk"
        )
    _in_transaction(connection, path, _make)


def _make(connection: sqlite3.Connection) -> None:
    """The tables, unless another process was faster."""
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        return
    for statement in (*_TABLES.split(";\n"), _CURRENT, _SUPERSEDED, _APPROVED, _TOLD):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION}")
    connection.execute(f"PRAGMA user_version={VERSION}")


def _migrate(connection: sqlite3.Connection) -> None:
    """From the version that is there now to this program's."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for reached in range(version, VERSION):
        for statement in _MIGRATIONS[reached]:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={VERSION}")


def _in_transaction(
    connection: sqlite3.Connection, path: Path, work: Callable[[sqlite3.Connection], None]
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        work(connection)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if code(error) == sqlite3.SQLITE_FULL:
            raise translated(error, path) from error
        raise
