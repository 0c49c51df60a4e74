#!/usr/bin/env python3
"""Makes fixtures/savepoint-spill with the SQLite of Python, which must be older than 3.41 (Debian 12 has
3.40.1): `savepoint_spill.py NEW-DIRECTORY`. A transaction spills, rewrites a spilled page, rolls back to a
savepoint from before the first spill, spills again and commits; the copy is what a crash leaves."""
import os, sqlite3, sys

if sqlite3.sqlite_version_info >= (3, 41):
    sys.exit(f"needs SQLite before 3.41, this is {sqlite3.sqlite_version}")
directory = sys.argv[1]
os.makedirs(directory)
path = os.path.join(directory, "live.db")
c = sqlite3.connect(path, isolation_level=None)
c.execute("PRAGMA page_size=1024"); c.execute("PRAGMA journal_mode=WAL"); c.execute("PRAGMA wal_autocheckpoint=0")
for table in "tu": c.execute(f"CREATE TABLE {table}(id INTEGER PRIMARY KEY, a)")
c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
c.execute("PRAGMA cache_size=5")
for i in range(60):
    for table in "tu": c.execute(f"INSERT INTO {table} VALUES(?, printf('old %d %.*c', ?, 600, 'o'))", (i, i))
c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
c.execute("BEGIN"); c.execute("SAVEPOINT s")
# Of the same length and with other bytes: every page is written again in place.
c.execute("UPDATE u SET a = printf('one %d %.*c', id, 600, '1') WHERE id < 12")
for word in ("one", "two"): c.execute(f"UPDATE t SET a = printf('{word} %d %.*c', id, 600, '{word[0]}')")
c.execute("ROLLBACK TO s")
c.execute("UPDATE t SET a = printf('new %d %.*c', id, 500, 'n') WHERE id < 30")
c.execute("COMMIT")
for suffix in ("", "-wal"):
    with open(path + suffix, "rb") as one, open(os.path.join(directory, "x.db" + suffix), "wb") as other: other.write(one.read())
c.close(); os.remove(path)
