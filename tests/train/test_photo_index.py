import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from geo_model.cells import LEVELS, Hierarchy, Partitioning
from geo_model.errors import ConfigError
from train.config import Data, Source
from train.photo_index import index_photos, read_indices


def index(*tars: Path, **settings):
    return index_photos([Source(str(tar)) for tar in tars], "data.train", **settings)


def make_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


GOOD = json.dumps({"latitude": 1.5, "longitude": -2.5}).encode()


def test_an_index_holds_what_the_tars_hold(tiny_data):
    photos = index(tiny_data / "train-*.tar")
    assert len(photos) == 36
    assert [Path(tar).name for tar in photos.tars] == ["train-0.tar", "train-1.tar"]
    assert photos.kind_counts() == {"built": 24, "wild": 12}
    seen = 0
    for number, path in enumerate(photos.tars):
        with tarfile.open(path) as tar:
            for row in np.flatnonzero(photos.tar_of == number):
                key = photos.keys[row]
                assert photos.read(row) == tar.extractfile(f"{key}.jpg").read()
                truth = json.load(tar.extractfile(f"{key}.json"))
                assert (photos.latitudes[row], photos.longitudes[row]) == (
                    truth["latitude"],
                    truth["longitude"],
                )
                assert photos.kinds[photos.kind_of[row]] == truth["kind"]
                seen += 1
    assert seen == 36
    assert photos.image(0).size == (96, 96)
    assert np.allclose(np.linalg.norm(photos.points(), axis=1), 1)


def test_classes_are_those_of_the_partitionings(tiny_data):
    hierarchy = Hierarchy.build(
        *(Partitioning.read_csv(tiny_data / f"{level.value}.csv") for level in LEVELS)
    )
    photos = index(tiny_data / "val.tar")
    classes = photos.classes(hierarchy)
    assert classes.shape == (9, 3)
    for row in range(9):
        for column, level in enumerate(LEVELS):
            assert classes[row, column] == hierarchy[level].class_of(
                photos.latitudes[row], photos.longitudes[row]
            )


def test_upper_case_suffixes_folders_and_dots_in_names(tmp_path, sample_photos):
    photo = sample_photos[0].read_bytes()
    tar = make_tar(
        tmp_path / "a.tar",
        {"x/1.JPG": photo, "x/1.json": GOOD, "2.seg.jpg": photo, "2.json": GOOD, "2.txt": b"-"},
    )
    photos = index(tar)
    assert list(photos.keys) == ["x/1", "2"]
    assert photos.kinds == ("photo",)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"1.jpg": b"x"}, "1: it has no JSON"),
        ({"1.json": GOOD}, "holds no photo"),
        ({"1.jpg": b"x", "1.json": GOOD, "2.json": GOOD}, "2: it has no photo"),
        ({"1.jpg": b"x", "1.png": b"x", "1.json": GOOD}, "1: this key occurs twice"),
        ({}, "holds no photo"),
        ({"1.jpg": b"x", "1.json": b"{"}, "1.json: it is not JSON"),
        ({"1.jpg": b"x", "1.json": b"[]"}, "1.json: it is not JSON"),
        (
            {"1.jpg": b"x", "1.json": b'{"latitude": 1}'},
            "1.json: it is not JSON with `latitude` and `longitude`",
        ),
        (
            {"1.jpg": b"x", "1.json": b'{"latitude": 116.3, "longitude": 40}'},
            "beyond 90 degrees; are the two swapped",
        ),
        (
            {"1.jpg": b"x", "1.json": b'{"latitude": "1", "longitude": 40}'},
            "latitude is '1', which is no number",
        ),
        (
            {"1.jpg": b"x", "1.json": b'{"latitude": NaN, "longitude": 40}'},
            "latitude is nan, which is no number",
        ),
    ],
)
def test_a_tar_that_cannot_be_trained_on_is_refused_by_name(tmp_path, files, says):
    tar = make_tar(tmp_path / "bad.tar", files)
    with pytest.raises(ConfigError, match=says) as caught:
        index(tar)
    assert "bad.tar" in str(caught.value)


def test_a_damaged_tar_is_refused(tiny_data, tmp_path):
    whole = (tiny_data / "val.tar").read_bytes()
    broken = tmp_path / "broken.tar"
    with tarfile.open(tiny_data / "val.tar") as tar:
        header = tar.getmembers()[4].offset
    for content in (
        whole[: len(whole) // 2],
        b"",
        b"no tar at all",
        whole[:header] + b"\xff" * 512 + whole[header + 512 :],
    ):
        broken.write_bytes(content)
        with pytest.raises(ConfigError, match=r"broken\.tar"):
            index(broken)
    import gzip

    broken.write_bytes(gzip.compress(whole))
    with pytest.raises(ConfigError, match="uncompressed tar"):
        index(broken)


def test_sources_that_do_not_fit_together_are_refused(tiny_data):
    train, val = Source(str(tiny_data / "train-*.tar")), Source(str(tiny_data / "val.tar"))
    with pytest.raises(ConfigError, match=r"data\.train\.1\.tars: no file matches"):
        index_photos([train, Source("nowhere/*.tar")], "data.train")
    with pytest.raises(ConfigError, match="named twice"):
        index_photos([train, train], "data.train")
    with pytest.raises(ConfigError, match="training tar as well"):
        read_indices(Data((train, val), (val,)))
    with pytest.raises(ConfigError, match=r"kind_weights\.wlid: .* kinds are built, wild"):
        read_indices(Data((train,), (val,), {"wlid": 1.0}))
    with pytest.raises(ConfigError, match="draw no photo"):
        read_indices(Data((train,), (val,), {"wild": 0.0, "built": 0.0}))


def test_weights_of_source_and_kind_multiply(tiny_data):
    sources = [Source(str(tiny_data / "train-0.tar"), weight=2), Source(str(tiny_data / "train-1.tar"))]
    photos = index_photos(sources, "data.train", {"wild": 1.5})
    wild = np.array(photos.kinds)[photos.kind_of] == "wild"
    expected = np.where(photos.tar_of == 0, 2.0, 1.0) * np.where(wild, 1.5, 1.0)
    assert np.array_equal(photos.weights, expected)
