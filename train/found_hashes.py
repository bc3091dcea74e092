"""Hashes that were found, and how they go into a journal and come back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.hash_lines import HASH_BYTES, HashLines, hash_text


class FoundHashes:
    """Hashes of wanted photos, and how far the hash file was read; 25 bytes a wanted photo.

    Args:
        wanted: Photo numbers, ascending, each once, int64 (N,).

    Attributes:
        wanted: As given.
        hashes: Digits, two in a byte, uint8 (N, 16).
        lengths: Digits of each hash, uint8 (N,); 0 where none was found.
        lines: Lines of the hash file that were read.
        malformed: Those that held no number and hash.
        first_malformed: The first of them, counted from 1; None if there is none.
    """

    def __init__(self, wanted: NDArray[np.int64]) -> None:
        self.wanted = wanted
        self.hashes = np.zeros((len(wanted), HASH_BYTES), np.uint8)
        self.lengths = np.zeros(len(wanted), np.uint8)
        self.found_count = 0
        self.lines = 0
        self.malformed = 0
        self.first_malformed: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes."""
        return self.wanted.nbytes + self.hashes.nbytes + self.lengths.nbytes

    @property
    def is_complete(self) -> bool:
        """Whether every wanted photo was found."""
        return self.found_count == len(self.wanted)

    def add(self, read: HashLines) -> NDArray[np.int64]:
        """Take in lines that follow those before.

        Returns:
            Positions of the photos found for the first time, int64 (M,).
        """
        if read.first_malformed is not None and self.first_malformed is None:
            self.first_malformed = self.lines + read.first_malformed + 1
        self.lines += read.count
        self.malformed += read.malformed
        positions, first = np.unique(read.wanted, return_index=True)
        is_new = self.lengths[positions] == 0
        self._set(positions[is_new], read.hashes[first[is_new]], read.lengths[first[is_new]])
        return positions[is_new]

    def state(self) -> dict[str, Any]:
        """The counts, as plain values."""
        return {
            "lines": self.lines,
            "malformed": self.malformed,
            "first_malformed": self.first_malformed,
        }

    def rows(self, positions: NDArray[np.int64]) -> bytes:
        """Photos and their hashes for a journal."""
        parts = (positions.astype("<i8"), self.hashes[positions], self.lengths[positions])
        return b"".join(part.tobytes() for part in parts)

    def restore(self, state: dict[str, Any], rows: bytes) -> None:
        """Take in an entry of a journal."""
        count = len(rows) // (8 + HASH_BYTES + 1)
        positions = np.frombuffer(rows, "<i8", count).astype(np.int64)
        rest = np.frombuffer(rows, np.uint8, offset=8 * count)
        hashes, lengths = rest[: HASH_BYTES * count], rest[HASH_BYTES * count :]
        self._set(positions, hashes.reshape(count, HASH_BYTES), lengths)
        self.lines, self.malformed = state["lines"], state["malformed"]
        self.first_malformed = state["first_malformed"]

    def texts(self, positions: NDArray[np.int64]) -> list[str]:
        """The hashes of photos that were found."""
        packed, lengths = self.hashes[positions], self.lengths[positions].tolist()
        return [hash_text(row.tobytes(), length) for row, length in zip(packed, lengths, strict=True)]

    def _set(
        self, positions: NDArray[np.int64], hashes: NDArray[np.uint8], lengths: NDArray[np.uint8]
    ) -> None:
        self.hashes[positions] = hashes
        self.lengths[positions] = lengths
        self.found_count += len(positions)
