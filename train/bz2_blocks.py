"""Reading bz2 block by block: with all processors, and from any block on.

A bz2 stream is a header (`BZh` and a digit), blocks, and an end with a checksum. Blocks do not depend on each
other. Each begins with a 48-bit marker and its own checksum, at any bit of a byte, and nothing says how long
it is. So the markers are looked for; what lies between two of them is decompressed by itself, as a stream of
one block. The 48 bits occur by chance once in some 30 thousand gigabytes; a block that such a marker cuts in
two fails its checksum, and is tried again together with what follows.

Layout of the format: J. Seward's bzip2; its program bzip2recover cuts files at the same markers.
"""

from __future__ import annotations

import bz2
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

BLOCK_MARKER = 0x314159265359
END_MARKER = 0x177245385090
_MARKER_BITS = 48
_CRC_BITS = 32
_HEADER_BITS = 32
_HEADERS = frozenset(b"BZh%d" % level for level in range(1, 10))
_LONGEST_BYTES = (
    1 << 21
)  # of a compressed block; 900,000 bytes that do not compress take 1.2 million at worst
_MERGES = 2

_CUT_OFF = "it ends in the middle, so a part of it is missing"

Made = TypeVar("Made")


class DamagedError(Exception):
    """The data is no whole bz2; its text says what is wrong and at which byte."""


class _BlockError(Exception):
    """What lies between two markers is no whole block."""


@dataclass(frozen=True)
class Segment:
    """What lies between two markers.

    Attributes:
        start: Of the marker that it begins with, bits from the start of the file.
        bits: Its length; the next marker follows.
        data: The bytes that hold it, the first and the last perhaps in part.
        is_last: Whether no marker follows, but the end of the file.
    """

    start: int
    bits: int
    data: bytes
    is_last: bool

    @property
    def end(self) -> int:
        """Bits from the start of the file."""
        return self.start + self.bits

    @property
    def is_block(self) -> bool:
        """Whether it holds data; otherwise it is the end of a stream and the header of the next one."""
        return self.number(0, _MARKER_BITS) == BLOCK_MARKER

    @property
    def checksum(self) -> int:
        """Of the block, or of all blocks of the stream."""
        return self.number(_MARKER_BITS, _CRC_BITS)

    def number(self, at: int, bits: int) -> int:
        """Some of its bits as a number; fewer where it is shorter.

        Args:
            at: First bit, counted from the segment's start.
            bits: How many.
        """
        bits = max(min(bits, self.bits - at), 0)
        first = self.start % 8 + at
        low = first // 8
        high = (first + bits + 7) // 8
        return int.from_bytes(self.data[low:high], "big") >> (8 * high - first - bits) & ((1 << bits) - 1)

    def joined(self, following: Segment) -> Segment:
        """This one and the one that follows as if there were no marker between them."""
        shared = following.start // 8 - self.start // 8
        return Segment(
            self.start,
            self.bits + following.bits,
            self.data[:shared] + following.data,
            following.is_last,
        )

    def decompressed(self) -> bytes:
        """What the block holds.

        Raises:
            OSError: It is damaged.
            ValueError: It is cut off.
        """
        shift = self.start % 8
        raw = np.frombuffer(self.data, np.uint8)
        if shift:
            shifted = raw << np.uint8(shift)
            shifted[:-1] |= raw[1:] >> np.uint8(8 - shift)
            raw = shifted
        whole, rest = divmod(self.bits, 8)
        end = END_MARKER << _CRC_BITS | self.checksum  # of a stream of one block the checksums are the same
        length = _MARKER_BITS + _CRC_BITS
        if rest:
            end |= int(raw[whole]) >> (8 - rest) << length
            length += rest
        padding = -length % 8
        tail = (end << padding).to_bytes((length + padding) // 8, "big")
        return bz2.decompress(b"BZh9" + raw[:whole].tobytes() + tail)


def split(chunks: Iterable[bytes], start: int = 0) -> Iterator[Segment]:
    """Cut bz2 data at its markers.

    Args:
        chunks: The bytes of the file from byte `start // 8` on, in pieces of any size.
        start: 0, or the start of a segment in bits.

    Raises:
        DamagedError: It does not begin as bz2 does, or no marker follows for longer than a block can be.
    """
    buffer = bytearray()
    base = start // 8  # byte of the file at which the buffer begins
    begun = start if start else None  # of the segment that has begun
    searched = 0  # byte of the buffer up to which markers were looked for
    for chunk in chunks:
        buffer += chunk
        if begun is None:
            if len(buffer) < (_HEADER_BITS + _MARKER_BITS) // 8:
                continue
            _check_header(bytes(buffer[:10]))
            begun = _HEADER_BITS
        for marker in _markers(buffer, searched):
            position = 8 * base + marker
            if position > begun:
                yield _segment(buffer, base, begun, position, is_last=False)
                begun = position
        searched = max(len(buffer) - 6, 0)
        done = begun // 8 - base
        if len(buffer) - done > _LONGEST_BYTES:
            raise DamagedError(f"no block ends for {_LONGEST_BYTES:,} bytes after byte {begun // 8:,}")
        del buffer[:done]
        base += done
        searched -= done
    if begun is None:
        raise DamagedError("it is empty" if not buffer else "it does not begin as a bz2 file does")
    if 8 * (base + len(buffer)) > begun:
        yield _segment(buffer, base, begun, 8 * (base + len(buffer)), is_last=True)


def _check_header(head: bytes) -> None:
    marker = int.from_bytes(head[4:], "big")
    if head[:4] not in _HEADERS or marker not in (BLOCK_MARKER, END_MARKER):
        raise DamagedError("it does not begin as a bz2 file does")


def _segment(buffer: bytearray, base: int, start: int, end: int, *, is_last: bool) -> Segment:
    data = bytes(buffer[start // 8 - base : (end + 7) // 8 - base])
    return Segment(start, end - start, data, is_last)


def _marker_table() -> NDArray[np.bool_]:
    """For each two bytes, as a number, whether a marker has them as its second and third."""
    table = np.zeros(1 << 16, np.bool_)
    for marker in (BLOCK_MARKER, END_MARKER):
        for shift in range(8):
            table[marker << (8 - shift) >> 32 & 0xFFFF] = True
    return table


_SECOND_AND_THIRD = _marker_table()


def _markers(buffer: bytearray, searched: int) -> Iterator[int]:
    """Bits from the start of the buffer of each marker that lies in it whole, ascending.

    Markers that begin before byte `searched` are left out.
    """
    held = np.frombuffer(bytes(buffer[searched:]), np.uint8).astype(np.uint16)
    if len(held) < 7:
        return
    pairs = held[1:-4] << 8 | held[2:-3]
    # Seven bytes from each of these on hold a marker, perhaps.
    for index in np.flatnonzero(_SECOND_AND_THIRD[pairs]).tolist():
        at = searched + index
        window = int.from_bytes(buffer[at : at + 7].ljust(7, b"\0"), "big")
        for shift in range(8):
            if window >> (8 - shift) & ((1 << _MARKER_BITS) - 1) in (BLOCK_MARKER, END_MARKER):
                if shift and at + 7 > len(buffer):
                    continue
                yield 8 * at + shift


@dataclass(frozen=True)
class Block(Generic[Made]):
    """A block that was decompressed.

    Attributes:
        made: What was made of its bytes.
        next_start: Where the next segment begins, bits from the start of the file.
        stream_checksum: Of the stream's blocks so far; goes on with the next segment.
    """

    made: Made
    next_start: int
    stream_checksum: int


def read_blocks(
    chunks: Iterable[bytes],
    work: Callable[[bytes], Made],
    *,
    start: int = 0,
    stream_checksum: int = 0,
    workers: int = 1,
) -> Generator[Block[Made], None, None]:
    """Decompress blocks in threads and yield what `work` makes of them, in the order of the file.

    Args:
        chunks: The bytes of the file from byte `start // 8` on, in pieces of any size; drawn as they are
            needed, so that no more than three segments a worker are in memory.
        work: Called in a thread with the bytes of a block.
        start: 0, or `next_start` of a block that was read before.
        stream_checksum: `stream_checksum` of that block.
        workers: Threads.

    Raises:
        DamagedError: A block or a whole stream does not fit its checksum, or the data ends too early.
    """
    segments = split(chunks, start)
    waiting: deque[tuple[Segment, Future[Made] | None]] = deque()

    def make(segment: Segment) -> Made:
        try:
            data = segment.decompressed()
        except (OSError, ValueError) as error:
            raise _BlockError from error
        return work(data)

    ended = False
    pool = ThreadPoolExecutor(workers, thread_name_prefix="bz2")
    try:
        while True:
            while len(waiting) < 3 * workers and (segment := next(segments, None)) is not None:
                waiting.append((segment, pool.submit(make, segment) if segment.is_block else None))
            if not waiting:
                break
            segment, future = waiting.popleft()
            if future is None:
                _check_end(segment, stream_checksum)
                stream_checksum = 0
                ended = segment.is_last
                continue
            try:
                made = future.result()
            except _BlockError:
                following = (
                    waiting.popleft()[0] if waiting else next(segments, None) for _ in range(_MERGES)
                )
                segment, made = _made_with_following(segment, following, make)
            stream_checksum = _with_block(stream_checksum, segment.checksum)
            ended = False
            yield Block(made, segment.end, stream_checksum)
        if not ended:
            raise DamagedError(_CUT_OFF)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _made_with_following(
    segment: Segment, following: Iterator[Segment | None], make: Callable[[Segment], Made]
) -> tuple[Segment, Made]:
    """A block that may have been cut at what was no marker, together with its other part."""
    start = segment.start
    if segment.is_last:
        raise DamagedError(_CUT_OFF)
    for other in following:
        if other is None:
            break
        segment = segment.joined(other)
        try:
            return segment, make(segment)
        except _BlockError:
            pass
    raise DamagedError(f"the block at byte {start // 8:,} is damaged")


def _check_end(segment: Segment, stream_checksum: int) -> None:
    """Check the end of a stream and what follows it."""
    length = _MARKER_BITS + _CRC_BITS
    if segment.bits < length:
        raise DamagedError(_CUT_OFF)
    if segment.checksum != stream_checksum:
        raise DamagedError(f"the stream that ends at byte {segment.start // 8:,} does not fit its checksum")
    length += -(segment.start + length) % 8
    rest = segment.data[(segment.start % 8 + length) // 8 :]
    if not segment.is_last and rest[:4] not in _HEADERS:
        raise DamagedError(f"the stream that begins at byte {(segment.start + length) // 8:,} is damaged")
    if segment.is_last and rest and b"BZh".startswith(rest[:3]):
        raise DamagedError(_CUT_OFF)  # anything else after the end is ignored, as bzip2 does


def _with_block(stream_checksum: int, checksum: int) -> int:
    """The checksum of a stream with one more block."""
    return (stream_checksum << 1 & 0xFFFFFFFF | stream_checksum >> 31) ^ checksum
