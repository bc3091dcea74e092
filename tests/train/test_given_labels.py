import csv

import numpy as np
import pytest

from geo_model.cells import LEVELS, Hierarchy, Partitioning
from geo_model.errors import ConfigError
from train.assign import write_assigned
from train.config import Source, read_config
from train.given_labels import check_said_classes, check_tables
from train.photo_index import Reading, index_photos
from train.setup import prepare
from train.tables import read_coordinates


@pytest.fixture(scope="module")
def hierarchy(tiny_data):
    return Hierarchy.build(*(Partitioning.read_csv(tiny_data / f"{level.value}.csv") for level in LEVELS))


@pytest.fixture
def labelled(tmp_path, tiny_data, write_tar, hierarchy):
    """Writes a tar of two photos with the classes that they have, or others, and gives its index."""

    def make(first=None, second=None):
        members = {}
        for name, (latitude, longitude), classes in (
            ("a", (40.0, 116.3), first),
            ("b", (28.5, -80.6), second),
        ):
            said = {"latitude": latitude, "longitude": longitude, "id": f"45/{name}.jpg"}
            if classes is not None:
                own = [int(hierarchy[level].classes_of([latitude], [longitude])[0]) for level in LEVELS]
                said["classes"] = [own[k] if wanted == "own" else wanted for k, wanted in enumerate(classes)]
            members |= {f"{name}.jpg": b"x", f"{name}.json": said}
        tar = write_tar(tmp_path / "labelled.tar", members)
        return index_photos([Source(str(tar))], "data.train", None, Reading(with_ids=True))

    return make


def test_classes_in_json_files_must_be_those_of_the_partitionings(labelled, hierarchy):
    own = ["own"] * 3
    for photos in (labelled(), labelled(own, own), labelled(own, None)):
        check_said_classes(photos, photos.classes(hierarchy), hierarchy)
    photos = labelled(own, ["own", "own", 7])
    true = photos.classes(hierarchy)[1, 2]
    with pytest.raises(ConfigError) as caught:
        check_said_classes(photos, photos.classes(hierarchy), hierarchy)
    assert str(caught.value).startswith(
        f"partitionings.fine: {photos.tars[0]}, b: its JSON gives it class 7, the partitioning of 384 cells "
        f"class {true}; 1 of 2 photos have other labels"
    )
    photos = labelled(["own", 5000, "own"], own)
    with pytest.raises(
        ConfigError, match=r"partitionings\.middle: .*, a: .* class 5000, .* of 96 cells class"
    ):
        check_said_classes(photos, photos.classes(hierarchy), hierarchy)
    photos = labelled([None, "own", "own"], own)
    with pytest.raises(
        ConfigError, match=r"partitionings\.coarse: .* gives it no class, .* of 24 cells class"
    ):
        check_said_classes(photos, photos.classes(hierarchy), hierarchy)


def test_a_table_of_labels_must_hold_every_photo_with_its_classes(labelled, hierarchy, tmp_path):
    photos = labelled()
    classes = photos.classes(hierarchy)
    source = tmp_path / "photos.csv"
    source.write_text("IMG_ID,LAT,LON\nother.jpg,1,2\n45/b.jpg,28.5,-80.6\n45/a.jpg,40.0,116.3\n")
    coordinates = read_coordinates(source)
    path = tmp_path / "assigned.csv"
    write_assigned(path, coordinates, np.stack([classes[0] * 0, classes[1], classes[0]]))
    check_tables((str(path),), [(photos, classes)], hierarchy)

    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    for change, says in (
        (lambda r: r.pop(), r"data\.labels: .* has no row for 1 of 2 photos; the first is 45/a\.jpg"),
        (lambda r: r[2].__setitem__(3, "3"), r"partitionings\.coarse: .*, a: .*wrong\.csv gives it class 3"),
        (lambda r: r[1].__setitem__(5, ""), r"partitionings\.fine: .*, b: .*wrong\.csv gives it no class"),
        (lambda r: r[1].__setitem__(5, "x"), r"data\.labels: .*wrong\.csv, line 3: .* three classes"),
        (lambda r: r[1].pop(), r"data\.labels: .*wrong\.csv, line 3"),
    ):
        changed = [list(row) for row in rows]
        change(changed)
        with open(tmp_path / "wrong.csv", "w", newline="") as file:
            csv.writer(file).writerows([header, *changed])
        with pytest.raises(ConfigError, match=says):
            check_tables((str(tmp_path / "wrong.csv"),), [(photos, classes)], hierarchy)
    with pytest.raises(ConfigError, match="has no column coarse"):
        check_tables((str(source),), [(photos, classes)], hierarchy)
    with pytest.raises(ConfigError, match=r"data\.labels: .*cannot be read \(no such file"):
        check_tables((str(tmp_path / "none.csv"),), [(photos, classes)], hierarchy)


def test_wrong_labels_and_missing_tars_are_found_before_the_first_step(write_config, tmp_path, write_tar):
    said = {"latitude": 40.0, "longitude": 116.3, "classes": [1, 2, 3]}
    write_tar(tmp_path / "wrong.tar", {"1.jpg": b"x", "1.json": said})
    config = write_config()
    with pytest.raises(ConfigError, match=r"wrong\.tar, 1: its JSON gives it class"):
        prepare(read_config(config, [f"data.val.0.tars={tmp_path / 'wrong.tar'}"]))
    train = read_config(config).data.train[0].tars
    with pytest.raises(
        ConfigError, match=r"data\.train\.0\.tars: 1 of the 3 names of .* are missing: .*-2\.tar"
    ):
        prepare(read_config(config, [f"data.train.0.tars={train.replace('*', '{0..2}')}"]))


def test_a_table_of_labels_is_checked_before_the_first_step(write_config, tmp_path):
    config = write_config()
    setup = prepare(read_config(config))
    rows = [
        f"{key},{latitude},{longitude},{','.join(map(str, classes))}\n"
        for photos, of_photos in ((setup.train, setup.train_classes), (setup.val, setup.val_classes))
        for key, latitude, longitude, classes in zip(
            photos.keys, photos.latitudes, photos.longitudes, of_photos.tolist(), strict=True
        )
    ]
    path = tmp_path / "assigned.csv"
    path.write_text("IMG_ID,LAT,LON,coarse,middle,fine\n" + "".join(rows))
    prepare(read_config(config, [f"data.labels={path}"]))
    two = [tmp_path / "train.csv", tmp_path / "val.csv"]
    for part, of_part in zip(two, (rows[: len(setup.train)], rows[len(setup.train) :]), strict=True):
        part.write_text("IMG_ID,LAT,LON,coarse,middle,fine\n" + "".join(of_part))
    prepare(read_config(config, [f"data.labels=[{two[0]}, {two[1]}]"]))
    with pytest.raises(ConfigError, match=r"data\.labels: .*none\.csv cannot be read"):
        prepare(read_config(config, [f"data.labels=[{two[0]}, {tmp_path / 'none.csv'}]"]))
    missing = setup.val.keys[-1]
    left = [row for row in rows if not row.startswith(f"{missing},")]  # keys repeat over the tests' tars
    path.write_text("IMG_ID,LAT,LON,coarse,middle,fine\n" + "".join(left))
    with pytest.raises(ConfigError, match=rf"data\.labels: .* has no row for .* {missing}"):
        prepare(read_config(config, [f"data.labels={path}"]))
