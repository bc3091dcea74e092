"""Names of photos met so far, however many: on disk beyond a few MB."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator

_DIGEST_BYTES = 16


def name_key(name: str) -> bytes:
    """What stands for a photo's name, whatever bytes a file system put into it."""
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=_DIGEST_BYTES).digest()


class SeenNames:
    """Names met so far; on disk beyond a few MB, so that millions take no memory. Any thread may ask."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for statement in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-16000"):
            self._table.execute(f"PRAGMA {statement}")
        self._table.execute("CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")
        self._table.execute("BEGIN")
        self.repeated = 0

    def load(self, keys: Iterator[bytes]) -> None:
        """Take in the names of photos that are done."""
        self._table.executemany("INSERT OR IGNORE INTO seen VALUES (?)", ((key,) for key in keys))

    def is_new(self, name: str) -> bool:
        """Whether this name has not been met; from now on it has."""
        cursor = self._table.execute("INSERT OR IGNORE INTO seen VALUES (?)", (name_key(name),))
        if cursor.rowcount == 0:
            self.repeated += 1
        return cursor.rowcount > 0
