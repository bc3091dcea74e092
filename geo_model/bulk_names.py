"""Names of photos met so far, however many: on disk beyond a few MB."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator

from geo_model.images import photo_name

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
        self._table.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, rows INTEGER) WITHOUT ROWID")
        self._table.execute("BEGIN")
        self.repeated = 0

    def load(self, keys: Iterator[bytes]) -> None:
        """Take in the names of photos that are done; a name counts as often as it comes."""
        self._table.executemany(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET rows = rows + 1",
            ((key,) for key in keys),
        )

    def is_new(self, name: str) -> bool:
        """Whether this name has not been met; from now on it has.

        The rows of a finished output hold names as they are printed: each such row stands for one photo whose
        name is printed so.
        """
        cursor = self._table.execute("INSERT OR IGNORE INTO seen VALUES (?, 0)", (name_key(name),))
        if cursor.rowcount == 0:
            self.repeated += 1
            return False
        if (printed := photo_name(name)) == name:
            return True
        taken = "UPDATE seen SET rows = rows - 1 WHERE key = ? AND rows > 0"
        return self._table.execute(taken, (name_key(printed),)).rowcount == 0
