"""Classes by photo id from JSON."""

from __future__ import annotations

import json

import pytest

from geo_model.errors import TableError
from train.label_mapping import read_label_mapping
from train.photo_ids import PhotoIds

IDS = PhotoIds.of(["45/77/3228511372.jpg", "größe", "c", "d"])


@pytest.fixture
def write(tmp_path):
    def write_file(content):
        path = tmp_path / "mapping.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write_file


def test_classes(write):
    mapping = {
        "c": [-1, None, 3],
        "x": [7, 8, 9],
        "45/77/3228511372.jpg": [981, 1170, 1241],
        "größe": [0, 0, 0],
    }
    classes, others = read_label_mapping(write(mapping), IDS)
    assert classes.tolist() == [[981, 1170, 1241], [0, 0, 0], [-1, -1, 3], [-2, -2, -2]]
    assert others == 1


def test_more_entries_than_are_taken_at_once(write):
    ids = PhotoIds.of(str(number) for number in range(0, 50_000, 2))
    mapping = {str(number): [number, number + 1, number + 2] for number in range(50_000)}
    seen = []
    classes, others = read_label_mapping(write(mapping), ids, seen.append)
    assert classes[:, 0].tolist() == list(range(0, 50_000, 2))
    assert (classes[:, 2] - classes[:, 0] == 2).all()
    assert others == 25_000
    assert len(seen) == 3
    assert 0 < seen[0] <= seen[-1] <= 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "is no JSON object"),
        (b"", "is no JSON object"),
        ({}, "holds no photo"),
        ({"a": [1, 2, 3], "b": [1, 2]}, r"entry 'b': \[1, 2\] is not three class numbers"),
        ({"a": [1, 2, 3.0]}, "is not three class numbers"),
        ({"a": [1, 2, True]}, "is not three class numbers"),
        ({"a": [1, 2, -2]}, "is not three class numbers"),
        ({"a": [1, 2, 2**31]}, "is not three class numbers"),
        ({"a": "1,2,3"}, "is not three class numbers"),
        ({"a": {"b": [1, 2, 3]}}, "is not three class numbers"),
        (b'{"a": [1, 2, 3], "b": [1,', "after entry 1 it is not JSON any more"),
        (b'{"a": [1, 2, 3], "b" [1, 2, 3]}', "after entry 1 it is not JSON any more"),
        (b'{"a": [1, 2, 3]} {', "it is not JSON any more"),
        (b'{"\xff\xfe": [1, 2, 3]}', "it is not JSON any more"),
    ],
)
def test_what_is_wrong_is_one_sentence(write, content, words):
    path = write(content)
    with pytest.raises(TableError, match=words) as caught:
        read_label_mapping(path, IDS)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(TableError, match="cannot be read: no such file"):
        read_label_mapping(tmp_path / "none.json", IDS)
