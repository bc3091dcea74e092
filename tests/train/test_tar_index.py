import json
import os

import numpy as np
import pytest

from geo_model.errors import ConfigError
from train import tar_index
from train.config import Source
from train.photo_index import Reading, index_photos
from train.tar_index import index_tars, read_tar

HERE = {"latitude": 1.5, "longitude": -2.5}


def same(a, b):
    return (
        all(np.array_equal(getattr(a, name), getattr(b, name)) for name in tar_index._NUMBERS)
        and (a.kinds, a.keys.as_list(), a.ids.as_list()) == (b.kinds, b.keys.as_list(), b.ids.as_list())
        and len(a) > 0
    )


def no_reading(monkeypatch):
    def refuse(path):
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(tar_index, "read_tar", refuse)


def test_a_kept_index_is_what_the_tar_holds_and_the_tar_is_not_read_again(
    tmp_path, tiny_data, write_tar, monkeypatch
):
    odd = write_tar(
        tmp_path / "odd.tar",
        {
            "ü/1.jpg": b"x",
            "ü/1.json": {**HERE, "id": "45/77/3228511372.jpg", "kind": "travel", "classes": [3, 2, None]},
            "2.png": b"yy",
            "2.json": HERE,
        },
    )
    paths = [str(odd), str(tiny_data / "train-0.tar")]
    fresh = list(index_tars(paths, tmp_path / "kept"))
    assert fresh[0].keys.as_list() == ["ü/1", "2"]
    assert fresh[0].ids.as_list() == ["45/77/3228511372.jpg", "2"]
    assert fresh[0].classes.tolist() == [[3, 2, -1], [-2, -2, -2]]
    assert fresh[0].sizes.tolist() == [1, 2]
    no_reading(monkeypatch)
    assert all(same(a, b) for a, b in zip(fresh, index_tars(paths, tmp_path / "kept"), strict=True))


def test_a_tar_that_has_changed_or_whose_index_is_damaged_is_read_again(tmp_path, write_tar, monkeypatch):
    path, kept = tmp_path / "a.tar", tmp_path / "kept"
    write_tar(path, {"1.jpg": b"x", "1.json": HERE})
    list(index_tars([str(path)], kept))
    (file,) = kept.iterdir()
    sound = file.read_bytes()

    write_tar(path, {"1.jpg": b"x", "1.json": HERE, "2.jpg": b"x", "2.json": HERE})
    assert [len(index) for index in index_tars([str(path)], kept)] == [2]
    os.utime(path, ns=(0, 12345))
    whole = read_tar(str(path))
    for damage in (sound, sound[: len(sound) // 2], b"", b"\x93NUMPY"):
        file.write_bytes(damage)
        assert all(same(whole, index) for index in index_tars([str(path)], kept))
    middle = bytearray(file.read_bytes())
    middle[middle.index(np.float64(1.5).tobytes())] ^= 0xFF  # a latitude
    file.write_bytes(middle)
    assert all(same(whole, index) for index in index_tars([str(path)], kept))
    assert file.read_bytes() != bytes(middle)
    no_reading(monkeypatch)
    assert all(same(whole, index) for index in index_tars([str(path)], kept))


def test_a_kept_index_with_pickles_is_not_opened(tmp_path, write_tar):
    path = write_tar(tmp_path / "a.tar", {"1.jpg": b"x", "1.json": HERE})
    list(index_tars([str(path)], tmp_path / "kept"))
    (file,) = (tmp_path / "kept").iterdir()

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    with np.load(file) as arrays:
        held = dict(arrays)
    np.savez(file, **{**held, "keys": np.array([Trap()], object)})
    assert [len(index) for index in index_tars([str(path)], tmp_path / "kept")] == [1]
    assert not (tmp_path / "sprung").exists()


def test_nothing_is_lost_where_an_index_cannot_be_kept(tmp_path, write_tar):
    path = write_tar(tmp_path / "a.tar", {"1.jpg": b"x", "1.json": HERE})
    (tmp_path / "file").write_text("no folder")
    assert [len(index) for index in index_tars([str(path)], tmp_path / "file")] == [1]


def test_many_tars_are_read_by_several_processes_with_the_same_outcome(tmp_path, write_tar):
    paths = []
    for number in range(6):
        members = {
            f"{number}-{k}{suffix}": content
            for k in range(number + 1)
            for suffix, content in ((".jpg", b"x" * (k + 1)), (".json", {**HERE, "kind": f"k{number % 2}"}))
        }
        paths.append(str(write_tar(tmp_path / f"{number}.tar", members)))
    seen: list[str] = []
    several = list(index_tars(paths, tmp_path / "kept", processes=2, on_tar=seen.append))
    assert seen == paths
    assert all(same(a, read_tar(path)) for a, path in zip(several, paths, strict=True))
    assert len(list((tmp_path / "kept").iterdir())) == 6

    write_tar(tmp_path / "3.tar", {"1.jpg": b"x"})
    with pytest.raises(ConfigError, match=r"3\.tar, 1: it has no JSON"):
        list(index_tars(paths, None, processes=2))


@pytest.mark.parametrize("classes", ["3", [1, 2], [1, 2, 3.5], [1, 2, True], [1, -2, 3], {"coarse": 1}])
def test_classes_that_are_no_three_numbers_are_refused(tmp_path, write_tar, classes):
    path = write_tar(tmp_path / "a.tar", {"1.jpg": b"x", "1.json": {**HERE, "classes": classes}})
    with pytest.raises(ConfigError, match=r"a\.tar, 1\.json: classes is .*\[coarse, middle, fine\]"):
        read_tar(str(path))


def test_columns_of_several_tars_are_joined(tmp_path, write_tar):
    for name, kind in (("a", "wild"), ("b", ""), ("c", "built")):
        said = {**HERE, "kind": kind} if kind else HERE
        write_tar(
            tmp_path / f"{name}.tar",
            {f"{name}{k}.{s}": c for k in "12" for s, c in (("jpg", b"x"), ("json", said))},
        )
    photos = index_photos(
        [Source(str(tmp_path / "[ab].tar"), kind="street"), Source(str(tmp_path / "c.tar"), weight=3)],
        "data.train",
        {"street": 0.5},
        Reading(with_ids=True),
    )
    assert list(photos.keys) == ["a1", "a2", "b1", "b2", "c1", "c2"] == list(photos.ids)
    assert [photos.kinds[kind] for kind in photos.kind_of] == ["wild"] * 2 + ["street"] * 2 + ["built"] * 2
    assert photos.kinds == ("built", "street", "wild")
    assert photos.weights.tolist() == [1, 1, 0.5, 0.5, 3, 3]
    assert photos.given_classes is None
    assert photos.name(3) == f"{tmp_path}/b.tar, b2"
    assert photos.read(5) == b"x"
    assert json.loads(json.dumps(photos.digest())) == photos.digest()
