"""bz2 in parallel and from any block on, against the bz2 module."""

from __future__ import annotations

import bz2
import random

import pytest

from train import bz2_blocks
from train.bz2_blocks import DamagedError, read_blocks, split


def lines(count, seed=0):
    source = random.Random(seed)
    return b"".join(
        b"%d\t%032x\n" % (source.randrange(10**10), source.getrandbits(128)) for _ in range(count)
    )


DATA = lines(12_000)  # 520 kB: six blocks of the smallest size
FILES = {
    "one stream": bz2.compress(DATA, 1),
    "one block": bz2.compress(DATA, 9),
    "streams": bz2.compress(DATA[:9]) + bz2.compress(DATA[9:400_000], 2) + bz2.compress(DATA[400_000:], 1),
    "empty streams": bz2.compress(b"") * 2 + bz2.compress(DATA, 1) + bz2.compress(b"") + bz2.compress(b""),
    "nothing": bz2.compress(b""),
    "runs": bz2.compress(b"a" * 3_000_000 + DATA[:1000], 1),
    "garbage behind": bz2.compress(DATA, 1) + b"garbage",
}


def pieces(data, size):
    return (data[start : start + size] for start in range(0, len(data), size))


def read(data, size=1 << 20, **options):
    return list(read_blocks(pieces(data, size), bytes, **options))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("size", "workers"), [(977, 1), (65_536, 3), (1 << 20, 2)])
def test_what_the_bz2_module_reads(name, size, workers):
    blocks = read(FILES[name], size, workers=workers)
    assert b"".join(block.made for block in blocks) == bz2.decompress(FILES[name])
    if name == "one stream":
        assert len(blocks) == 6


@pytest.mark.parametrize("name", ["one stream", "streams", "empty streams"])
def test_from_any_block_on(name):
    data = FILES[name]
    whole = read(data)
    for number, block in enumerate(whole):
        rest = read(
            data[block.next_start // 8 :], 5000, start=block.next_start, stream_checksum=block.stream_checksum
        )
        assert rest == whole[number + 1 :]


@pytest.mark.parametrize("false_markers", [1, 2])
def test_a_marker_that_is_there_by_chance(monkeypatch, false_markers):
    """It happens once in 30 thousand gigabytes, so it is made to happen."""
    real = list(bz2_blocks._markers(bytearray(FILES["one stream"]), 0))
    extra = [real[2] + 1001 * number + 5 for number in range(1, 1 + false_markers)]

    def with_extra(buffer, searched):
        return iter(sorted([*real, *extra]) if not searched else [])

    monkeypatch.setattr(bz2_blocks, "_markers", with_extra)
    monkeypatch.setattr(bz2_blocks.Segment, "is_block", property(lambda segment: segment.start != real[-1]))
    blocks = read(FILES["one stream"], workers=2)
    assert b"".join(block.made for block in blocks) == DATA
    assert len(blocks) == 6


def prefix_until_damage(data):
    """What comes before the error, and the error."""
    made = []
    blocks = read_blocks(pieces(data, 50_000), bytes, workers=2)
    with pytest.raises(DamagedError) as caught:
        made.extend(block.made for block in blocks)
    return b"".join(made), str(caught.value)


def test_every_cut_is_noticed():
    small = bz2.compress(DATA[:900])
    for length in range(10, len(small)):
        made, message = prefix_until_damage(small[:length])
        assert message == "it ends in the middle, so a part of it is missing"
        assert made in (b"", DATA[:900])  # the last bytes are only a checksum
    large = FILES["one stream"]
    for length in random.Random(1).sample(range(len(large)), 12):
        made, message = prefix_until_damage(large[:length])
        assert "ends in the middle" in message
        assert DATA.startswith(made)
        assert len(made) >= 100_000 * (length // 60_000 - 1)
    streams = FILES["streams"]
    second = len(bz2.compress(DATA[:9]))
    for length in range(second + 1, second + 14):
        assert "ends in the middle" in prefix_until_damage(streams[:length])[1]


def test_every_damaged_bit_is_noticed():
    data = FILES["streams"]
    begins = {len(bz2.compress(DATA[:9])), len(bz2.compress(DATA[:9]) + bz2.compress(DATA[9:400_000], 2))}
    spare = {8 * (begin + 3) + bit for begin in {0, *begins} for bit in range(8)}  # the digit of the level
    spare |= {8 * end - 1 - bit for end in {*begins, len(data)} for bit in range(8)}  # may be padding
    for bit in random.Random(2).sample(range(80, 8 * len(data)), 40):
        if bit in spare:
            continue
        broken = bytearray(data)
        broken[bit // 8] ^= 128 >> bit % 8
        made, message = prefix_until_damage(bytes(broken))
        assert DATA.startswith(made)
        assert "byte" in message or "ends in the middle" in message


def test_the_message_names_the_byte():
    data = bytearray(FILES["one stream"])
    data[150_000] ^= 1
    made, message = prefix_until_damage(bytes(data))
    at = int(message.removeprefix("the block at byte ").split()[0].replace(",", ""))
    assert at <= 150_000 < at + 60_000
    assert made == DATA[: len(made)]
    assert len(made) > 100_000


def test_a_lost_stream_header_is_noticed():
    first = bz2.compress(DATA[:1000])
    made, message = prefix_until_damage(first + b"BZx9" + bz2.compress(DATA[1000:])[4:])
    assert made == DATA[:1000]
    assert message == f"the stream that begins at byte {len(first):,} is damaged"


def test_a_lost_block_is_noticed():
    segments = list(split([FILES["one stream"]]))
    number, bits = int.from_bytes(b"BZh1", "big"), 32
    for segment in segments[:2] + segments[3:]:
        number, bits = number << segment.bits | segment.number(0, segment.bits), bits + segment.bits
    padding = -bits % 8
    made, message = prefix_until_damage((number << padding).to_bytes((bits + padding) // 8, "big"))
    assert "does not fit its checksum" in message
    assert len(made) == len(DATA) - len(segments[2].decompressed())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"BZh", "does not begin as a bz2 file"),
        (b"photo id\thash\n" * 100, "does not begin as a bz2 file"),
        (b"\x1f\x8b\x08" + bytes(100), "does not begin as a bz2 file"),
        (FILES["one block"][:5000] + bytes(3 << 20), "no block ends for"),
    ],
)
def test_what_is_no_bz2(data, words):
    assert words in prefix_until_damage(data)[1]


def test_a_mistake_of_the_work_itself_comes_through():
    def fail(data):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        list(read_blocks([FILES["one stream"]], fail))
