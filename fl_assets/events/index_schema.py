"""The tables of the index's SQLite file, and the migration of earlier releases' files."""

import sqlite3

from fl_assets.infra.errors import LakeError

_DDL = """
create table if not exists files (
    kind text not null, path text not null, size integer not null, mtime_ns integer not null,
        inode integer not null,
    head text not null, head_bytes integer not null, offset integer not null, lines integer not null,
        last_day text,
    format text not null, primary key (kind, path)) without rowid;
create table if not exists scans (
    kind text not null, path text not null, size integer not null, mtime_ns integer not null,
        offset integer not null,
    counts text not null, primary key (kind, path)) without rowid;
create table if not exists days (
    day text primary key, events integer not null, token text not null,
        analysed_events integer not null default 0,
    analysed_token text) without rowid;
"""
_MIGRATIONS = {
    1: """
alter table files add column unread text;
create index if not exists files_by_inode on files (kind, inode);
create table if not exists notes (name text primary key, value text not null) without rowid;
delete from files where format = 'ignored';
""",
    2: """
alter table files add column ctime_ns integer;
alter table files add column spots text;
""",
}
"""By version of the file, the migration to the next. Files that version 1 ignored are tried again."""
_VERSION = 1 + len(_MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Create the tables, or migrate those of an earlier release.

    Raises:
        LakeError: a later release wrote it; nothing was changed.
    """
    found = connection.execute("pragma user_version").fetchone()[0]
    if found > _VERSION:
        raise LakeError(
            f"index.sqlite in the data folder was written by a later release (version {found}, this one "
            f"reads up to {_VERSION}). Use that release, or name another data folder in "
            "FEDERATED_LEARNING_DATA_PATH; nothing was changed."
        )
    if found == _VERSION:
        return
    connection.execute("begin immediate")
    version = connection.execute("pragma user_version").fetchone()[0]
    steps = ([_DDL] if not version else []) + [_MIGRATIONS[old] for old in range(max(version, 1), _VERSION)]
    for statement in ";".join(steps).split(";"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"pragma user_version = {_VERSION}")
    connection.execute("commit")
