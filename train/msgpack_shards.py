"""Photo shards of the earlier tool.

File format, `shard_<k>.msg`: MessagePack maps one after another, each `{"image": JPEG bytes, "id": text}`,
4,096 in a file. There is nothing around or between them, so what follows a damaged place cannot be told apart
any more.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from geo_model.errors import GeoModelError
from geo_model.photo_files import Limits

NO_IMAGE = "no image"
NO_ID = "no id"

_NUMBER = re.compile(r"(\d{1,9})\.msg\Z")
_MOST_ENTRIES = 1024  # of a map or list; a record has two
_READ_BYTES = 1 << 18


@dataclass(frozen=True)
class Shard:
    """A file of photos.

    Attributes:
        path: Where it is.
        number: The `k` of its name.
    """

    path: Path
    number: int


@dataclass(frozen=True)
class Record:
    """A photo of a shard.

    Attributes:
        position: In the shard, counted from 0.
        end: Byte of the file at which the next one begins.
        photo_id: Its id in UTF-8; None if it has none.
        image: What should be a JPEG; None if there is none.
    """

    position: int
    end: int
    photo_id: bytes | None
    image: bytes | None

    @property
    def lack(self) -> str | None:
        """What it lacks, if anything."""
        return NO_IMAGE if self.image is None else NO_ID if self.photo_id is None else None


class BrokenShardError(Exception):
    """A shard cannot be read on; its text says from where."""


def find_shards(pattern: str) -> list[Shard]:
    """The shards in a folder, or those that a glob pattern names, by their numbers.

    Raises:
        GeoModelError: There is none, one has no number, or two have the same.
    """
    if os.path.isdir(pattern):
        names = glob.glob(os.path.join(glob.escape(pattern), "*.msg"))
    else:
        names = [name for name in glob.glob(pattern, recursive=True) if os.path.isfile(name)]
    if not names:
        raise GeoModelError(
            f"no shard is at {pattern}; give a folder of shard_<k>.msg, or a pattern in quotes"
        )
    shards: dict[int, Shard] = {}
    for name in sorted(names):
        match = _NUMBER.search(name)
        if match is None:
            raise GeoModelError(f"{name}: there is no number in its name, as in shard_17.msg; name it so")
        number = int(match[1])
        if number in shards:
            raise GeoModelError(
                f"{shards[number].path} and {name} have the same number; import them into two folders"
            )
        shards[number] = Shard(Path(name), number)
    return [shards[number] for number in sorted(shards)]


def read_shard(path: str | os.PathLike[str]) -> Iterator[Record]:
    """The records of a shard, one at a time.

    Raises:
        BrokenShardError: From some place on it is no sequence of maps, or it ends in the middle of one.
        OSError: It cannot be read.
    """
    import msgpack

    largest = Limits().max_bytes
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        unpacker = msgpack.Unpacker(
            file,
            read_size=_READ_BYTES,
            raw=True,  # earlier versions of the format did not tell text from bytes
            strict_map_key=False,
            max_buffer_size=largest + (1 << 20),
            max_bin_len=largest,
            max_str_len=largest,
            max_array_len=_MOST_ENTRIES,
            max_map_len=_MOST_ENTRIES,
            max_ext_len=_MOST_ENTRIES,
        )
        position = 0
        while (start := unpacker.tell()) < size:
            try:
                values = unpacker.unpack()
            except msgpack.OutOfData:
                raise BrokenShardError(f"the record at byte {start:,} is cut off or damaged") from None
            # Some of these come from the reader itself, some from what it makes of damaged keys and times.
            except (msgpack.UnpackException, ValueError, TypeError, OverflowError, RecursionError):
                raise BrokenShardError(f"it cannot be read from byte {start:,} on") from None
            if not isinstance(values, dict):
                raise BrokenShardError(f"at byte {start:,} there is no map, so it cannot be read on")
            photo_id, image = values.get(b"id"), values.get(b"image")
            yield Record(
                position,
                unpacker.tell(),
                photo_id if isinstance(photo_id, bytes) else None,
                image if isinstance(image, bytes) else None,
            )
            position += 1
