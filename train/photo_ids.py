"""Millions of photo ids in one block of bytes, with look-up."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 1 << 16


class PhotoIds(Sequence[str]):
    """N texts, immutable, equal to a list of the same texts.

    An id of MP-16 takes 30 bytes here and 80 as a text in a list. Looking ids up (`rows_of`, `repeated`)
    takes another 16 bytes an id from the first time on.

    Args:
        block: All texts in UTF-8, one after another.
        ends: Where each of them ends, bytes, int64 (N,).
    """

    def __init__(self, block: bytes, ends: NDArray[np.int64]) -> None:
        self._block = block
        self._ends = ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> PhotoIds:
        """The ids from texts."""
        block, ends = bytearray(), array("q")
        for text in texts:
            block += text.encode()
            ends.append(len(block))
        return cls(bytes(block), np.array(ends, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self.encoded(row).decode() for row in range(*index.indices(len(self)))]
        row = range(len(self))[index]  # negative ones counted from the end, IndexError beyond either end
        return self.encoded(row).decode()

    def __iter__(self) -> Iterator[str]:
        return (encoded.decode() for encoded in self._all_encoded())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment] # as of a list

    def __repr__(self) -> str:
        return f"PhotoIds({self[:3]!r}{', ...' if len(self) > 3 else ''}, {len(self):,} ids)"

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, what looking up needs left out."""
        return len(self._block) + self._ends.nbytes

    def digest(self) -> bytes:
        """SHA-256 of the texts in their order."""
        return hashlib.sha256(
            hashlib.sha256(self._block).digest() + self._ends.astype("<i8").tobytes()
        ).digest()

    def encoded(self, row: int) -> bytes:
        """The text of one row, counted from 0, in UTF-8."""
        start = int(self._ends[row - 1]) if row else 0
        return self._block[start : int(self._ends[row])]

    def rows_of(self, wanted: Sequence[bytes]) -> NDArray[np.int64]:
        """The row of each id.

        Args:
            wanted: Texts in UTF-8.

        Returns:
            int64 (len(wanted),): the first row that holds the text, -1 where none does.
        """
        hashes, rows = self._sorted
        wanted_hashes = np.fromiter(map(hash, wanted), np.int64, len(wanted))
        first = np.searchsorted(hashes, wanted_hashes)
        found = np.full(len(wanted), -1, np.int64)
        for index, (at, key, text) in enumerate(
            zip(first.tolist(), wanted_hashes.tolist(), wanted, strict=True)
        ):
            while at < len(hashes) and hashes[at] == key:  # texts with one hash are told apart by the texts
                row = int(rows[at])
                if self.encoded(row) == text:
                    found[index] = row
                    break
                at += 1
        return found

    def repeated(self) -> NDArray[np.int64]:
        """Rows whose text stands in an earlier row already.

        Returns:
            int64 (K, 2), each such row, in order, and the first row that holds its text.
        """
        hashes, rows = self._sorted
        same = hashes[1:] == hashes[:-1]
        if not same.any():
            return np.zeros((0, 2), np.int64)
        pairs = array("q")
        group = -1
        first_rows: dict[bytes, int] = {}
        for at in np.flatnonzero(same).tolist():
            if at != group:  # a new run of equal hashes; its rows ascend, for the sort is stable
                first_rows = {self.encoded(int(rows[at])): int(rows[at])}
            row = int(rows[at + 1])
            if (first := first_rows.setdefault(self.encoded(row), row)) != row:
                pairs.extend((row, first))
            group = at + 1
        found = np.frombuffer(pairs, dtype=np.int64) if pairs else np.zeros(0, np.int64)
        return found.reshape(-1, 2)[np.argsort(found[::2], kind="stable")]

    def _all_encoded(self) -> Iterator[bytes]:
        """Every text in UTF-8."""
        start = 0
        for at in range(0, len(self), _AT_ONCE):
            for end in self._ends[at : at + _AT_ONCE].tolist():
                yield self._block[start:end]
                start = end

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The texts' hashes in ascending order, and the row of each; rows of equal hashes ascend."""
        hashes = np.fromiter(map(hash, self._all_encoded()), np.int64, len(self))
        rows = np.argsort(hashes, kind="stable")
        return hashes[rows], rows
