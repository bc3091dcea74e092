"""Lines `photo id<TAB>hash` of YFCC100M, many at a time.

File format: a line a photo, its id in digits, a tab, and the hash; LF or CRLF. The hash is an MD5, each of
its 16 bytes in hexadecimal without a leading zero, so it has 16 to 32 digits (two of three have fewer than
32). Which byte a digit belongs to cannot be told any more; photos are stored under the text as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 16
_LONGEST_HASH = 2 * HASH_BYTES  # digits
_SHORTEST_HASH = HASH_BYTES
_LONGEST_ID = 18  # digits; more do not fit into an int64 for sure
_LINE = re.compile(rb"\s*0*(\d{1,18})\t([0-9a-f]{16,32})\s*")

_ALPHABET = b"0123456789abcdef\t\n"
_NIBBLES = np.zeros(256, np.uint8)
_NIBBLES[list(b"0123456789abcdef")] = range(16)


@dataclass(frozen=True, eq=False)
class HashLines:
    """What lines held.

    Attributes:
        count: How many lines there were.
        wanted: For each wanted id that was among them its position in the array of wanted ids, int64 (M,).
        hashes: The digits of each hash, two in a byte, zeros behind the last, uint8 (M, 16).
        lengths: How many digits each hash has, uint8 (M,).
        malformed: How many lines held no id and hash.
        first_malformed: The first of them, counted from 0; None if there is none.
    """

    count: int
    wanted: NDArray[np.int64]
    hashes: NDArray[np.uint8]
    lengths: NDArray[np.uint8]
    malformed: int
    first_malformed: int | None


def hash_text(packed: bytes, length: int) -> str:
    """A hash as text.

    Args:
        packed: Its digits, two in a byte.
        length: How many of them count.
    """
    return packed.hex()[:length]


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
    tabs = np.flatnonzero(letters == ord("\t"))
    ids = _ids(text, letters, ends, tabs)
    if ids is None:
        return _read_one_by_one(text, wanted)
    at, hits = _look_up(ids, wanted)
    lengths = (ends - tabs - 1)[hits]
    places = np.arange(_LONGEST_HASH)
    digits = _NIBBLES[letters[np.minimum((tabs[hits] + 1)[:, None] + places, len(letters) - 1)]]
    digits[places >= lengths[:, None]] = 0
    return HashLines(len(ends), at, digits[:, ::2] << 4 | digits[:, 1::2], lengths.astype(np.uint8), 0, None)


def _ids(
    text: bytes, letters: NDArray[np.uint8], ends: NDArray[np.int64], tabs: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """The id of each line; None unless every line is as it should be."""
    if not len(ends) or len(tabs) != len(ends) or text.translate(None, _ALPHABET):
        return None
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    id_lengths, hash_lengths = tabs - starts, ends - tabs - 1
    if not (
        id_lengths.min() >= 1
        and id_lengths.max() <= _LONGEST_ID
        and hash_lengths.min() >= _SHORTEST_HASH
        and hash_lengths.max() <= _LONGEST_HASH
    ):
        return None
    # Digits from the last one on, the units of all ids first.
    ids = np.zeros(len(ends), np.int64)
    for place in range(int(id_lengths.max())):
        longer = id_lengths > place
        digits = letters[np.where(longer, tabs - 1 - place, starts)].astype(np.int64) - ord("0")
        if digits.max() > 9:  # a letter of the hash's alphabet
            return None
        ids += np.where(longer, digits, 0) * 10**place
    return ids


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
    texts = [good[hit][2] for hit in hits.tolist()]
    hashes = b"".join(bytes.fromhex(text.decode().ljust(_LONGEST_HASH, "0")) for text in texts)
    return HashLines(
        len(lines),
        at,
        np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES),
        np.array([len(text) for text in texts], np.uint8),
        len(malformed),
        malformed[0] if malformed else None,
    )
