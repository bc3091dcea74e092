"""Millions of ids in one block."""

from __future__ import annotations

import numpy as np
import pytest

from train.photo_ids import PhotoIds

TEXTS = ["45/77/3228511372.jpg", "größe", " ", "a", "", "a" * 300, "x\ny"]


@pytest.fixture
def ids():
    return PhotoIds.of(TEXTS)


def test_it_is_a_sequence_of_texts(ids):
    assert list(ids) == TEXTS
    assert ids == TEXTS
    assert ids != TEXTS[:-1]
    assert ids != [*TEXTS[:-1], "y\nx"]
    assert ids[0] == "45/77/3228511372.jpg"
    assert ids[-1] == "x\ny"
    assert ids[1:6:2] == TEXTS[1:6:2]
    assert "größe" in ids
    assert len(PhotoIds.of([])) == 0
    with pytest.raises(IndexError):
        ids[len(TEXTS)]


def test_rows_of(ids):
    wanted = [text.encode() for text in (*reversed(TEXTS), "none", "45/77/3228511372", "A")]
    assert ids.rows_of(wanted).tolist() == [*reversed(range(len(TEXTS))), -1, -1, -1]
    assert ids.rows_of([b"\xff\xfe"]).tolist() == [-1]
    assert PhotoIds.of([]).rows_of([b"a"]).tolist() == [-1]


def test_repeated_rows_and_the_first_of_each():
    random = np.random.default_rng(0)
    texts = [str(number) for number in random.integers(0, 1500, 2000)]
    first = {}
    expected = [(row, first[text]) for row, text in enumerate(texts) if first.setdefault(text, row) != row]
    ids = PhotoIds.of(texts)
    assert ids.repeated().tolist() == [list(pair) for pair in expected]
    assert ids.rows_of([texts[-1].encode()]).tolist() == [first[texts[-1]]]
    assert len(PhotoIds.of(TEXTS).repeated()) == 0


def test_texts_with_the_same_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr("train.photo_ids.hash", len, raising=False)
    ids = PhotoIds.of(["aa", "b", "cc", "aa", "d", "cc", "ee"])
    assert ids.repeated().tolist() == [[3, 0], [5, 2]]
    assert ids.rows_of([b"ee", b"cc", b"d", b"ff", b"ggg"]).tolist() == [6, 2, 4, -1, -1]
