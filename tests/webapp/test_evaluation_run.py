"""A run of a model in a thread: stopped, gone on with, and the same figures as `geo_model evaluate`."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import geo_model
from geo_model.errors import TableError
from geo_model.evaluation import evaluate
from geo_model.measurements import ANSWERS
from webapp.evaluation_run import EvaluationRun, PhotosToRun
from webapp.evaluation_session import EvaluationSession

PATIENCE_SECONDS = 300


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return geo_model.load(tiny_model_folder, device="cpu")


@pytest.fixture(scope="module")
def truths(sample_photos):
    entries = json.loads((sample_photos[0].parent / "samples.json").read_text(encoding="utf-8"))
    return {entry["file"]: (entry["latitude"], entry["longitude"]) for entry in entries}


def make_zip(photos: list[Path], more: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for photo in photos:
            archive.write(photo, f"photos/{photo.name}")
        for name, content in (more or {}).items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_a_run_measures_what_evaluate_measures(model, truths, sample_photos):
    photos = PhotosToRun(make_zip(sample_photos, {"notes.txt": b"", "unknown.jpg": b"x"}), "my photos.zip")
    assert [refusal.name for refusal in photos.refused] == ["notes.txt"]
    run = EvaluationRun(model, photos, truths)
    assert (run.state, run.total, run.done) == ("paused", 3, 0)
    assert run.without_truth == ["unknown.jpg"]
    assert run.results() is None
    run.start()
    run.wait(PATIENCE_SECONDS)
    assert (run.state, run.done) == ("done", 3)
    photo_ids, found = run.results()
    assert photo_ids == tuple(f"photos/{photo.name}" for photo in sample_photos)
    report = evaluate(model, [(photo.name, photo) for photo in sample_photos], truths)
    for answer in ANSWERS:
        assert np.allclose(found.distances_km[answer], report.measurements.distances_km[answer])
        assert np.array_equal(found.ranks[answer], report.measurements.ranks[answer])
        assert np.allclose(found.confidences[answer], report.measurements.confidences[answer], atol=1e-5)
    for share, covered in report.measurements.covered.items():
        assert np.array_equal(found.covered[share], covered)


def test_a_run_that_nobody_wants_pauses_and_goes_on_where_it_was(model, truths, sample_photos):
    wanted = [True, False]  # asked after each photo: go on, then stop

    def still_wanted() -> bool:
        return wanted.pop(0) if wanted else True

    run = EvaluationRun(model, PhotosToRun(make_zip(sample_photos), "x.zip"), truths, still_wanted)
    run.start()
    run.wait(PATIENCE_SECONDS)
    assert (run.state, run.done) == ("paused", 2)
    first = run.results()
    run.start()
    run.wait(PATIENCE_SECONDS)
    assert (run.state, run.done) == ("done", 3)
    photo_ids, found = run.results()
    assert photo_ids[:2] == first[0]
    assert np.array_equal(found.points[:2], first[1].points)
    run.start()  # nothing is left
    run.wait(PATIENCE_SECONDS)
    assert len(run.results()[0]) == 3


def test_cancel_ends_a_run(model, truths, sample_photos):
    started: list[EvaluationRun] = []

    def cancel_after_the_first() -> bool:
        started[0].cancel()
        return True

    run = EvaluationRun(model, PhotosToRun(make_zip(sample_photos), "x.zip"), truths, cancel_after_the_first)
    started.append(run)
    run.start()
    run.wait(PATIENCE_SECONDS)
    assert run.state == "paused"
    assert 1 <= run.done < 3


def test_photos_that_cannot_be_read_are_named_and_the_others_measured(model, truths, sample_photos):
    bad = {sample_photos[0].name: b"only words"}
    run = EvaluationRun(model, PhotosToRun(make_zip(sample_photos[1:], bad), "x.zip"), truths)
    run.start()
    run.wait(PATIENCE_SECONDS)
    assert run.state == "done"
    assert run.unreadable.keys() == bad.keys()
    assert "not a photo in a known format" in run.unreadable[sample_photos[0].name]
    assert len(run.results()[0]) == 2


def test_a_photo_of_the_same_file_name_is_left_out(model, truths, sample_photos):
    name = sample_photos[0].name
    photos = PhotosToRun(make_zip(sample_photos, {f"again/{name}": b""}), "x.zip")
    assert EvaluationRun(model, photos, truths).repeated == [f"again/{name}"]


def test_a_folder_and_an_archive_on_the_disk(model, truths, sample_photos, tmp_path):
    path = tmp_path / "photos.zip"
    path.write_bytes(make_zip(sample_photos))
    for source in (path, sample_photos[0].parent):
        photos = PhotosToRun(source, str(source))
        assert EvaluationRun(model, photos, truths).total == 3
        content = photos.read(next(photos.names()).photo_id)
        assert (content.read_bytes() if isinstance(content, Path) else content)[:2] == b"\xff\xd8"
    with pytest.raises(TableError, match="cannot be read: no such file"):
        PhotosToRun(tmp_path / "nothing.zip", "nothing.zip")


def test_an_archive_that_breaks_off_fails_the_run_with_a_sentence(model, truths, sample_photos, tmp_path):
    path = tmp_path / "photos.zip"
    path.write_bytes(make_zip(sample_photos))
    run = EvaluationRun(model, PhotosToRun(path, "photos.zip"), truths)
    path.unlink()
    run.start()
    run.wait(PATIENCE_SECONDS)
    assert run.state == "failed"
    assert run.error == "photos.zip cannot be read: no such file or directory; check the path."
    path.write_bytes(make_zip(sample_photos))
    run.start()
    run.wait(PATIENCE_SECONDS)
    assert (run.state, run.error, run.done) == ("done", None, 3)


def test_a_photo_of_a_folder_that_is_gone_is_a_key_error(sample_photos, tmp_path):
    for photo in sample_photos:
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
    photos = PhotosToRun(tmp_path, "folder")
    (tmp_path / sample_photos[0].name).unlink()
    with pytest.raises(KeyError):
        photos.read(sample_photos[0].name)
    assert photos.read(sample_photos[1].name) == tmp_path / sample_photos[1].name


def test_a_card_closes_only_where_it_was_opened():
    state = EvaluationSession(tables=[])
    state.click("layer-0", "set", 3)
    assert state.chosen == ("set", 3)
    state.click("layer-1", "set", None)  # the choices changed, and with them the layer
    assert state.chosen == ("set", 3)
    state.close_card()
    assert (state.chosen, state.turn) == (None, 1)
    state.click("layer-1", "set", 3)
    state.open_card("set", 5)
    assert (state.chosen, state.turn) == (("set", 5), 2)
    state.click("layer-1", "set", 4)
    state.click("layer-1", "set", None)  # the same line again
    assert state.chosen is None
