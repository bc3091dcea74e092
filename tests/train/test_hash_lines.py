"""Photo numbers and hashes, many lines at a time."""

from __future__ import annotations

import random

import numpy as np
import pytest

from train.hash_lines import read_lines

ONE, TWO = "0123456789abcdef" * 2, "f" * 32


def found(text, wanted=(7, 3228511372, 999_999_999_999_999_999)):
    ids = np.array(wanted, np.int64)
    lines = read_lines(text if isinstance(text, bytes) else text.encode(), ids)
    pairs = [(int(ids[at]), row.tobytes().hex()) for at, row in zip(lines.wanted, lines.hashes, strict=True)]
    return pairs, lines.count, lines.malformed, lines.first_malformed


@pytest.mark.parametrize("odd", [False, True], ids=["as they should be", "one malformed"])
def test_against_plain_python(odd):
    source = random.Random(3)
    numbers = [source.randrange(10 ** source.randrange(1, 12)) for _ in range(3000)]
    lines = [f"{number}\t{source.getrandbits(128):032x}" for number in numbers]
    wanted = sorted({*source.sample(numbers, 300), *(source.randrange(10**11) for _ in range(300))})
    expected = [
        (int(line.split("\t")[0]), line.split("\t")[1])
        for line in lines
        if int(line.split("\t")[0]) in set(wanted)
    ]
    if odd:
        lines.insert(1234, "number\thash")
    pairs, *counts = found("\n".join(lines) + "\n", wanted)
    assert pairs == expected
    assert counts == ([3001, 1, 1234] if odd else [3000, 0, None])


@pytest.mark.parametrize(
    "text",
    [
        f"7\t{ONE}\n8\t{TWO}\n",
        f"7\t{ONE}\n8\t{TWO}",
        f"7\t{ONE}\r\n8\t{TWO}\r\n",
        f"007\t{ONE}\n8\t{TWO}\n",
        f"7\t{ONE.upper()}\n8\t{TWO}\n",
    ],
)
def test_ways_of_writing_it(text):
    assert found(text) == ([(7, ONE)], 2, 0, None)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "7",
        f"7 {ONE}",
        f"7\t{ONE}0",
        f"7\t{ONE[1:]}",
        f"a7\t{ONE}",
        f"\t{ONE}",
        f"7\t{ONE[1:]}g",
        f"7\t{ONE}\t1",
        f"-7\t{ONE}",
        f"1{'0' * 18}\t{ONE}",
        f"7\t{ONE[:15]}\t{ONE[:16]}",
        f"7\x00\t{ONE}",
        "ä" * 20,
    ],
)
def test_malformed_lines_are_counted_and_the_others_read(line):
    good = f"3228511372\t{TWO}\n"
    assert found(f"{good}{line}\n{good}") == ([(3228511372, TWO)] * 2, 3, 1, 1)


def test_the_longest_number():
    assert found(f"{'9' * 18}\t{ONE}\n")[0] == [(999_999_999_999_999_999, ONE)]


def test_no_line():
    assert found(b"") == ([], 0, 0, None)
