"""Shards of the earlier tool, whole and damaged."""

from __future__ import annotations

import random

import msgpack
import pytest

from geo_model.errors import GeoModelError
from train.msgpack_shards import BrokenShardError, find_shards, read_shard

PHOTOS = [(f"{n:02x}/77/{n}.jpg", bytes([255, 216, 255, n]) * 100) for n in range(20)]


def packed(values, **options):
    return b"".join(msgpack.packb(value, **options) for value in values)


RECORDS = [{"image": image, "id": photo_id} for photo_id, image in PHOTOS]


@pytest.fixture
def write(tmp_path):
    def write_file(data):
        (tmp_path / "shard_0.msg").write_bytes(data)
        return tmp_path / "shard_0.msg"

    return write_file


@pytest.mark.parametrize("use_bin_type", [True, False], ids=["bytes told from text", "as earlier versions"])
def test_records(write, use_bin_type):
    data = packed(RECORDS, use_bin_type=use_bin_type)
    records = list(read_shard(write(data)))
    assert [(record.photo_id.decode(), record.image) for record in records] == PHOTOS
    assert [record.position for record in records] == list(range(20))
    assert records[-1].end == len(data)
    assert records[3].end == len(packed(RECORDS[:4], use_bin_type=use_bin_type))
    assert list(read_shard(write(b""))) == []


def test_what_a_record_may_lack(write):
    records = read_shard(
        write(
            packed(
                [{"id": "a"}, {"image": b"x"}, {}, {"image": 5, "id": "b"}, {"image": b"x", "id": 7}, {1: 2}]
            )
        )
    )
    assert [record.lack for record in records] == [
        "no image",
        "no id",
        *["no image"] * 2,
        "no id",
        "no image",
    ]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (b"\x07", "at byte {at:,} there is no map, so it cannot be read on"),
        (b"\xc1", "it cannot be read from byte {at:,} on"),
        (b"\xdf\xff\xff\xff\xff", "it cannot be read from byte {at:,} on"),
        (b"\x82\xa5image\xc6\xff\xff\xff\xff", "the record at byte {at:,} is cut off or damaged"),
        (b"\x81\x90\x01", "it cannot be read from byte {at:,} on"),
        (b"\x91" * 100_000, "it cannot be read from byte {at:,} on"),
        (b"\x82\xa5image\xc5\xff\xff", "the record at byte {at:,} is cut off or damaged"),
    ],
)
def test_where_it_cannot_be_read_on(write, damage, words):
    whole = packed(RECORDS[:5])
    records = read_shard(write(whole + damage + (b"" if "cut off" in words else packed(RECORDS[5:]))))
    assert [next(records).photo_id.decode() for _ in range(5)] == [photo_id for photo_id, _ in PHOTOS[:5]]
    with pytest.raises(BrokenShardError) as caught:
        list(records)
    assert str(caught.value) == words.format(at=len(whole))


def test_cut_at_every_byte(write):
    data = packed(RECORDS[:3])
    ends = {len(packed(RECORDS[:count])) for count in range(4)}
    for length in sorted({*range(0, len(data), 11), *range(50), *ends} - {len(data)}):
        records = read_shard(write(data[:length]))
        if length in ends:
            assert len(list(records)) == sorted(ends).index(length)
        else:
            with pytest.raises(BrokenShardError, match=r"the record at byte .* is cut off"):
                list(records)


def test_no_damage_brings_it_down(write):
    data, chance, ends = packed(RECORDS), random.Random(8), []
    for _ in range(200):
        broken = bytearray(data)
        for _ in range(chance.choice([1, 1, 5, 200])):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            ends.append(len(list(read_shard(write(bytes(broken))))))
        except BrokenShardError as error:
            ends.append(str(error))
    assert 20 in ends, "most damage lies in a photo"
    assert all("byte" in end for end in ends if isinstance(end, str))


def test_find_shards(tmp_path):
    for name in ("shard_10.msg", "shard_9.msg", "shard_0.msg", "other.txt"):
        (tmp_path / name).touch()
    (tmp_path / "shard_3.msg").mkdir()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "shard_4.msg").touch()
    (tmp_path / "shard_3.msg").rmdir()
    assert [shard.number for shard in find_shards(str(tmp_path))] == [0, 9, 10]
    assert [shard.number for shard in find_shards(f"{tmp_path}/shard_?.msg")] == [0, 9]
    assert [shard.number for shard in find_shards(f"{tmp_path}/**/*.msg")] == [0, 4, 9, 10]
    (tmp_path / "deeper" / "shard_9.msg").touch()
    with pytest.raises(GeoModelError, match="have the same number; import them into two folders"):
        find_shards(f"{tmp_path}/**/*.msg")
    (tmp_path / "last.msg").touch()
    with pytest.raises(GeoModelError, match=r"last\.msg: there is no number in its name"):
        find_shards(str(tmp_path))
    with pytest.raises(GeoModelError, match="no shard is at"):
        find_shards(str(tmp_path / "none*.msg"))
