"""Evaluation: hand-worked figures, the same for arrays and for photos, and an account of every photo."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import torch

import geo_model
from geo_model import Level
from geo_model.cells import LEVELS
from geo_model.errors import TableError
from geo_model.evaluation import evaluate, summarise_arrays
from geo_model.measurements import ANSWERS
from geo_model.model_folder import read_model_folder
from geo_model.photo_collection import PhotoCollection, SourcePhoto
from geo_model.report_files import report_csv, report_record
from geo_model.sphere import great_circle_km

PARIS, SYDNEY, SOUTH_POLE = (48.8566, 2.3522), (-33.8688, 151.2093), (-89.5, 0.0)


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return geo_model.load(tiny_model_folder, device="cpu")


@pytest.fixture(scope="module")
def hierarchy(tiny_model_folder):
    return read_model_folder(tiny_model_folder).hierarchy


def one_hot(size, *classes):
    return np.eye(size, dtype=np.float32)[list(classes)]


def centre(hierarchy, fine_class):
    return hierarchy.fine.latitudes[fine_class], hierarchy.fine.longitudes[fine_class]


def test_hand_worked_arrays(hierarchy):
    """Three photos: exactly right and covered, wrong and not covered, and one whose truth no cell holds."""
    paris, sydney = hierarchy.fine.class_of(*PARIS), hierarchy.fine.class_of(*SYDNEY)
    fine = (paris, sydney, sydney)
    levels = [
        one_hot(size, *hierarchy.ancestors[list(fine), column]) for column, size in enumerate(hierarchy.sizes)
    ]
    product = np.zeros((3, len(hierarchy.fine)), dtype=np.float32)
    product[:, sydney] = 0.6
    product[:, paris] = 0.4
    product[2] = one_hot(len(hierarchy.fine), -1)[0]  # no class is -1, and this is not the truth's cell
    truth = [centre(hierarchy, paris), PARIS, SOUTH_POLE]
    points = [centre(hierarchy, c) for c in fine]
    report = summarise_arrays(levels, product, points, truth, hierarchy)

    assert [summary.name for summary in report.distances] == ["coarse", "middle", "fine", "hierarchy"]
    expected = [0.0, *(float(great_circle_km(*points[row], *truth[row])) for row in (1, 2))]
    np.testing.assert_allclose(report.measurements.distances_km["hierarchy"], expected)
    np.testing.assert_allclose(report.measurements.distances_km["fine"], expected)
    assert [accuracy.hits for accuracy in report.answer.accuracies] == [1, 1, 1, 1, 1]
    assert report.answer.median_km == pytest.approx(sorted(expected)[1])
    coarse = hierarchy.coarse
    of_paris = int(hierarchy.ancestors[paris, 0])
    assert report.measurements.distances_km["coarse"][0] == pytest.approx(
        float(great_circle_km(coarse.latitudes[of_paris], coarse.longitudes[of_paris], *truth[0]))
    )

    half, most = report.coverages
    assert (half.region, half.hits, half.total) == (0.5, 0, 3)
    assert (most.region, most.hits, most.total) == (0.9, 2, 3)
    assert most.low < 2 / 3 < most.high
    areas = hierarchy.fine.areas_km2
    assert half.median_area_km2 == pytest.approx(np.median(areas[[sydney, sydney, -1]]))
    assert most.median_area_km2 == pytest.approx(areas[sydney] + areas[paris])
    assert report.outside_cells == 1
    assert report.measurements.outside.tolist() == [False, False, True]


def test_tensors_are_arrays_too(hierarchy):
    sizes = hierarchy.sizes
    levels = [torch.softmax(torch.randn(4, size), dim=-1) for size in sizes]
    product = torch.softmax(torch.randn(4, sizes[2]), dim=-1)
    points = truth = [PARIS] * 4
    tensors = summarise_arrays(levels, product, points, truth, hierarchy)
    arrays = summarise_arrays([x.numpy() for x in levels], product.numpy(), points, truth, hierarchy)
    assert tensors.distances == arrays.distances
    assert tensors.coverages == arrays.coverages
    assert tensors.answer.accuracies[0].share == 1.0


def test_no_array_is_an_error(hierarchy):
    empty = [np.zeros((0, size), dtype=np.float32) for size in hierarchy.sizes]
    with pytest.raises(ValueError, match="coarse"):
        summarise_arrays(empty, empty[2], np.zeros((0, 2)), np.zeros((0, 2)), hierarchy)


def test_photos_are_measured_as_their_arrays_are(model, sample_photos):
    truths = dict(zip([path.name for path in sample_photos], [PARIS, SYDNEY, SOUTH_POLE], strict=True))
    photos = [(path.name, path) for path in sample_photos]
    report = evaluate(model, photos, truths, batch_size=2)
    predictions = model.predict(path for _, path in photos)
    arrays = summarise_arrays(
        [np.stack([p.levels[level] for p in predictions]) for level in LEVELS],
        np.stack([p.product for p in predictions]),
        [p.point() for p in predictions],
        list(truths.values()),
        model.hierarchy,
    )
    for answer in ANSWERS:
        np.testing.assert_allclose(
            report.measurements.distances_km[answer], arrays.measurements.distances_km[answer], atol=1e-6
        )
    assert report.coverages == arrays.coverages
    for row, prediction in enumerate(predictions):
        for level in Level:
            assert report.measurements.distances_km[level.value][row] == pytest.approx(
                float(great_circle_km(*prediction.point(level), *report.measurements.truth[row]))
            )
        for share in (0.5, 0.9):
            region = prediction.region(share)
            truth_class = model.hierarchy.fine.class_of(*report.measurements.truth[row])
            assert report.measurements.covered[share][row] == (truth_class in region.classes.tolist())
            assert report.measurements.areas_km2[share][row] == pytest.approx(region.area_km2)


def test_more_photos_than_are_measured_together(model, sample_photos):
    photos = [(f"{number}", sample_photos[number % 3]) for number in range(67)]
    done = []
    report = evaluate(model, photos, {str(n): PARIS for n in range(67)}, progress=lambda: done.append(1))
    assert report.count == len(done) == 67
    assert report.photo_ids == tuple(str(number) for number in range(67))
    distances = report.measurements.distances_km["hierarchy"]
    np.testing.assert_allclose(distances, np.tile(distances[:3], 23)[:67], atol=1e-6)


@pytest.fixture
def mixed(write_tar, tmp_path, sample_photos):
    """A tar in which things are amiss, the truth table that goes with it, and what must come of it."""
    photo = sample_photos[0].read_bytes()
    tar = write_tar(
        tmp_path / "mixed.tar",
        {
            "good.jpg": photo,
            "good.json": {"latitude": 1, "longitude": 2, "kind": "street"},
            "sub/table.jpg": photo,
            "other/table.jpg": photo,
            "unknown.jpg": photo,
            "broken.jpg": b"no photo",
            "broken.json": {"latitude": 1, "longitude": 2},
            "travel.jpg": photo,
            "travel.json": {"latitude": 3, "longitude": 4, "kind": "travel"},
        },
    )
    return PhotoCollection(tar), {"table.jpg": PARIS, "travel.jpg": SYDNEY, "nobody.jpg": PARIS}


def test_every_photo_and_every_truth_is_accounted_for(model, mixed):
    collection, truths = mixed
    done = []
    report = evaluate(model, collection, truths, progress=lambda: done.append(1))
    assert len(done) == len(collection) == 6
    assert report.photo_ids == ("good.jpg", "sub/table.jpg", "travel.jpg")
    assert report.measurements.truth.tolist() == [
        [1.0, 2.0],
        list(PARIS),
        list(SYDNEY),
    ]  # the table goes first
    assert report.kinds == ("street", None, "travel")
    assert report.without_truth == ("unknown.jpg",)
    assert report.without_photo == ("nobody.jpg",)
    assert report.repeated == ("other/table.jpg",)
    assert [photo_id for photo_id, _ in report.unreadable] == ["broken.jpg"]
    assert "broken.jpg: " in report.unreadable[0][1]
    assert {kind: part.count for kind, part in report.by_kind.items()} == {
        "not said": 1,
        "street": 1,
        "travel": 1,
    }
    assert report.by_kind["travel"].answer.median_km == report.measurements.distances_km["hierarchy"][2]


def test_the_table_of_photos_has_a_row_for_each(model, mixed):
    collection, truths = mixed
    report = evaluate(model, collection, truths)
    rows = list(csv.DictReader(io.StringIO("".join(report_csv(report)))))
    errors = {row["photo"]: row["error"] for row in rows}
    assert {photo for photo, error in errors.items() if not error} == {
        "good.jpg",
        "sub/table.jpg",
        "travel.jpg",
    }
    assert "no truth" in errors["unknown.jpg"]
    assert "no photo" in errors["nobody.jpg"]
    assert "broken.jpg: " in errors["broken.jpg"]
    assert "another photo" in errors["other/table.jpg"]
    first = rows[0]
    assert (first["kind"], first["truth_latitude"], first["truth_longitude"]) == ("street", "1.0", "2.0")
    for key in ("coarse", "middle", "fine"):
        assert float(first[f"{key}_km"]) == pytest.approx(report.measurements.distances_km[key][0], abs=0.001)
    assert float(first["distance_km"]) == pytest.approx(
        float(great_circle_km(float(first["latitude"]), float(first["longitude"]), 1, 2)), abs=0.01
    )
    assert first["in_region_90"] == str(int(report.measurements.covered[0.9][0]))
    assert float(first["region_50_km2"]) == pytest.approx(report.measurements.areas_km2[0.5][0], abs=0.001)


def test_the_record_is_plain_json(model, mixed):
    collection, truths = mixed
    report = evaluate(model, collection, truths)
    record = json.loads(json.dumps(report_record(report), allow_nan=False))
    assert record["photos"] == 3
    assert record["answers"]["hierarchy"]["median_km"] == report.answer.median_km
    assert [entry["km"] for entry in record["answers"]["fine"]["accuracy"]] == [1, 25, 200, 750, 2500]
    assert [entry["region"] for entry in record["coverage"]] == [0.5, 0.9]
    assert record["by_kind"]["street"]["photos"] == 1
    assert record["without_photo"] == ["nobody.jpg"]


@pytest.mark.parametrize(
    ("photos", "truths", "words"),
    [
        ([], {}, "no photo to evaluate"),
        ([("a.jpg", b"")], {}, "no truth is known for any of the 1 photos"),
        ([("a.jpg", b"")], {"a": PARIS}, r"first id is 'a' while the first photo is 'a\.jpg'"),
        ([("a.jpg", b""), ("b.jpg", b"")], {"a.jpg": PARIS}, r"none of the 1 photos with truth.*a\.jpg: "),
    ],
)
def test_nothing_to_measure_is_an_error_that_says_why(model, photos, truths, words):
    with pytest.raises(TableError, match=words):
        evaluate(model, photos, truths)


def test_photos_without_truth_are_not_read(model, sample_photos):
    class Unreadable:
        def read(self, *_):
            raise AssertionError("this photo must not be read")

    photos = [("with", sample_photos[0]), ("without", Unreadable())]
    report = evaluate(model, photos, {"with": PARIS})
    assert (report.count, report.without_truth) == (1, ("without",))


def test_a_photo_s_own_truth_may_repeat(model, sample_photos):
    photo = SourcePhoto("same.jpg", sample_photos[0], PARIS)
    assert evaluate(model, [photo, photo]).count == 2
