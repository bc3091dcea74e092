"""Lines `photo id<TAB>hash` of YFCC100M, many at a time.

File format: a line a photo, its id in digits, a tab, and the hash, 32 hexadecimal digits; LF or CRLF.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 16
_HEX_LENGTH = 2 * HASH_BYTES
_LINE = re.compile(rb"\s*0*(\d{1,18})\t([0-9A-Fa-f]{32})\s*")
_LONGEST_ID = 18  # digits; more do not fit into an int64 for sure

_ALPHABET = b"0123456789abcdef\t\n"
_NIBBLES = np.zeros(256, np.uint8)
_NIBBLES[list(b"0123456789abcdef")] = range(16)


@dataclass(frozen=True, eq=False)
class HashLines:
    """What lines held.

    Attributes:
        count: How many lines there were.
        wanted: For each wanted id that was among them its position in the array of wanted ids, int64 (M,).
        hashes: The hash of each, uint8 (M, 16).
        malformed: How many lines held no id and hash.
        first_malformed: The first of them, counted from 0; None if there is none.
    """

    count: int
    wanted: NDArray[np.int64]
    hashes: NDArray[np.uint8]
    malformed: int
    first_malformed: int | None


def read_lines(text: bytes, wanted: NDArray[np.int64]) -> HashLines:
    """Look for photo ids in lines.

    Args:
        text: Whole lines; the last one may lack its end.
        wanted: Ascending photo ids, each once, int64 (N,), at least one.
    """
    if text and not text.endswith(b"\n"):
        text += b"\n"
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    letters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    parsed = _parse(text, letters, ends)
    if parsed is None:
        return _read_one_by_one(text, wanted)
    ids, hash_starts = parsed
    at, hits = _look_up(ids, wanted)
    digits = _NIBBLES[letters[hash_starts[hits, None] + np.arange(_HEX_LENGTH)]]
    return HashLines(len(ends), at, digits[:, ::2] << 4 | digits[:, 1::2], 0, None)


def _parse(
    text: bytes, letters: NDArray[np.uint8], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Ids of lines and where their hashes begin; None unless every line is as it should be."""
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    lengths = ends - starts - _HEX_LENGTH - 1
    tabs = ends - _HEX_LENGTH - 1
    if not (
        len(ends)
        and lengths.min() >= 1
        and lengths.max() <= _LONGEST_ID
        and (letters[tabs] == ord("\t")).all()
        and text.count(b"\t") == len(tabs)
        and not text.translate(None, _ALPHABET)
    ):
        return None
    # Digits from the last one on, the units of all ids first.
    ids = np.zeros(len(ends), np.int64)
    for place in range(int(lengths.max())):
        longer = lengths > place
        digits = letters[np.where(longer, tabs - 1 - place, starts)].astype(np.int64) - ord("0")
        if digits.max() > 9:  # a letter of the hash's alphabet
            return None
        ids += np.where(longer, digits, 0) * 10**place
    return ids, tabs + 1


def _look_up(
    ids: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in `wanted` of the ids that are there, and the positions in `ids` of these, ascending."""
    order = np.argsort(ids)  # three times as fast as looking up ids at random all over a long array
    ascending = ids[order]
    at = np.minimum(np.searchsorted(wanted, ascending), len(wanted) - 1)
    hits = np.flatnonzero(wanted[at] == ascending)
    hits = hits[np.argsort(order[hits])]
    return at[hits], order[hits]


def _read_one_by_one(text: bytes, wanted: NDArray[np.int64]) -> HashLines:
    """As `read_lines`, for lines of which some are not as they should be."""
    lines = text.split(b"\n")[:-1]
    matches = [_LINE.fullmatch(line) for line in lines]
    malformed = [index for index, match in enumerate(matches) if match is None]
    good = [match for match in matches if match is not None]
    at, hits = _look_up(np.array([int(match[1]) for match in good], np.int64), wanted)
    hashes = b"".join(bytes.fromhex(good[hit][2].decode()) for hit in hits.tolist())
    return HashLines(
        len(lines),
        at,
        np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES),
        len(malformed),
        malformed[0] if malformed else None,
    )
