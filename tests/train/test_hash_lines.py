"""Photo numbers and hashes, many lines at a time."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest

from train.hash_lines import hash_text, read_lines

ONE, TWO = "0123456789abcdef" * 2, "f" * 31


def found(text, wanted=(7, 3228511372, 999_999_999_999_999_999)):
    ids = np.array(wanted, np.int64)
    lines = read_lines(text if isinstance(text, bytes) else text.encode(), ids)
    found = zip(lines.wanted, lines.hashes, lines.lengths.tolist(), strict=True)
    pairs = [(int(ids[at]), hash_text(row.tobytes(), length)) for at, row, length in found]
    return pairs, lines.count, lines.malformed, lines.first_malformed


def short_md5(number):
    """As YFCC100M writes it: no byte has a leading zero."""
    return "".join(f"{byte:x}" for byte in hashlib.md5(str(number).encode()).digest())


@pytest.mark.parametrize("odd", [False, True], ids=["as they should be", "one malformed"])
def test_against_plain_python(odd):
    source = random.Random(3)
    numbers = [source.randrange(10 ** source.randrange(1, 12)) for _ in range(3000)]
    lines = [f"{number}\t{short_md5(number)}" for number in numbers]
    wanted = sorted({*source.sample(numbers, 300), *(source.randrange(10**11) for _ in range(300))})
    expected = [
        (int(line.split("\t")[0]), line.split("\t")[1])
        for line in lines
        if int(line.split("\t")[0]) in set(wanted)
    ]
    assert {len(code) for _, code in expected} > {29, 30, 31, 32}
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
        f"7\t{ONE[:15]}",
        f"7\t{ONE.upper()}",
        f"a7\t{ONE}",
        f"\t{ONE}",
        f"7\t{ONE[1:]}g",
        f"7\t{ONE}\t1",
        f"-7\t{ONE}",
        f"1{'0' * 18}\t{ONE}",
        f"7\t{ONE[:16]}\t{ONE[:16]}",
        f"7\x00\t{ONE}",
        "ä" * 20,
    ],
)
def test_malformed_lines_are_counted_and_the_others_read(line):
    good = f"3228511372\t{TWO}\n"
    assert found(f"{good}{line}\n{good}") == ([(3228511372, TWO)] * 2, 3, 1, 1)


@pytest.mark.parametrize("length", range(16, 33))
def test_every_length_of_a_hash(length):
    code = (ONE * 2)[32 - length : 32]
    expected = ([(7, code)], 2, 0, None)
    assert found(f"7\t{code}\n8\t{TWO}\n") == expected
    assert found(f"8\t{TWO}\n7\t{code}\n") == expected
    assert found(f"7\t{code}\n?\n") == ([(7, code)], 2, 1, 1)


def test_the_longest_number():
    assert found(f"{'9' * 18}\t{ONE}\n")[0] == [(999_999_999_999_999_999, ONE)]


def test_no_line():
    assert found(b"") == ([], 0, 0, None)
