"""Photos from, and tables to, s3:// addresses, against an S3 server on 127.0.0.1."""

from __future__ import annotations

import csv
import io

import pytest
from typer.testing import CliRunner

from geo_model.bulk_output import BulkOutput
from geo_model.cli import app
from geo_model.errors import GeoModelError
from geo_model.object_store import object_exists, open_object, upload
from geo_model.photo_sources import ObjectFile, PhotoSources
from geo_model.predict import load


def test_photos_come_from_and_the_table_goes_to_a_bucket(
    bucket, tiny_model_folder, sample_photos, write_tar, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    photo = sample_photos[0].read_bytes()
    bucket("in/a.jpg", photo)
    bucket("in/notes.txt", b"no photo")
    bucket(
        "in/photos.tar", write_tar(tmp_path / "x.tar", {"b.jpg": photo, "c.jpg": b"no photo"}).read_bytes()
    )
    assert [name for name, _ in PhotoSources(["s3://photos/in"])] == ["s3://photos/in/a.jpg"]
    words = ["locate", "s3://photos/in", "s3://photos/in/photos.tar", "--out", "s3://photos/out/places.csv"]
    result = CliRunner().invoke(app, [*words, "--model", str(tiny_model_folder)])
    assert result.exit_code == 1, result.output
    with open_object("s3://photos/out/places.csv") as file:
        rows = list(csv.DictReader(io.StringIO(file.read().decode())))
    assert [row["photo"] for row in rows] == ["s3://photos/in/a.jpg", "s3://photos/in/photos.tar/b.jpg"]
    assert rows[0]["token"] == rows[1]["token"]
    with open_object("s3://photos/out/places.failures.csv") as file:
        assert b"s3://photos/in/photos.tar/c.jpg" in file.read()
    assert not list(tmp_path.glob("*.unfinished"))
    again = CliRunner().invoke(app, [*words, "--model", str(tiny_model_folder), "--resume"])
    assert again.exit_code == 1
    assert "is finished; leave out --resume" in again.stderr


def test_keys_are_taken_as_they_are(bucket, sample_photos):
    photo = sample_photos[0].read_bytes()
    names = ["a b.jpg", "50%.jpg", "a%20b.jpg", "what?.jpg", "x#1.jpg", "[1].jpg", "é.jpg"]
    for number, name in enumerate(names):
        bucket(f"odd/{name}", photo + bytes([number]))
    found = dict(PhotoSources(["s3://photos/odd/"]))
    assert set(found) == {f"s3://photos/odd/{name}" for name in names}
    for number, name in enumerate(names):
        assert found[f"s3://photos/odd/{name}"].read(1 << 30) == photo + bytes([number])


def test_an_address_without_photos_and_one_of_another_ending(bucket, sample_photos):
    bucket("text/notes.txt", b"no photo")
    bucket("scan", sample_photos[0].read_bytes())
    ((name, refusal),) = PhotoSources(["s3://photos/text"])
    assert name == "s3://photos/text"
    assert "it holds no photo" in refusal.sentence
    ((name, source),) = PhotoSources(["s3://photos/scan"])  # named itself, it is tried, as a local file is
    assert source.read(1 << 30) == sample_photos[0].read_bytes()


def test_what_is_wrong_with_one_object_stops_no_other(bucket, tiny_model_folder, sample_photos, monkeypatch):
    bucket("mixed/a.jpg", sample_photos[0].read_bytes())
    model = load(tiny_model_folder, device="cpu")
    gone = ObjectFile("s3://photos/mixed/gone.jpg")
    found = list(model.stream([("gone", gone), ("a", ObjectFile("s3://photos/mixed/a.jpg"))]))
    assert [type(result).__name__ for result in found] == ["PhotoFailure", "Prediction"]

    def no_store(address):
        raise GeoModelError(f"{address}: s3:// needs pyarrow")

    monkeypatch.setattr("geo_model.object_store.open_object", no_store)
    (failure,) = model.stream([("b", ObjectFile("s3://photos/mixed/a.jpg"))])
    assert "needs pyarrow" in failure.reason


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "Input/output error")])
def test_an_upload_that_is_stopped_leaves_nothing(bucket, tmp_path, monkeypatch, error):
    class Breaking(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            if self.tell():
                raise error
            return super().read(size)

    local = tmp_path / "places.csv"
    local.write_bytes(bytes(20 << 20))
    monkeypatch.setattr("builtins.open", lambda path, mode: Breaking(local.read_bytes()))
    with pytest.raises((KeyboardInterrupt, GeoModelError)):
        upload(str(local), "s3://photos/out/stopped.csv")
    monkeypatch.undo()
    assert not object_exists("s3://photos/out/stopped.csv")
    upload(str(local), "s3://photos/out/stopped.csv")
    assert object_exists("s3://photos/out/stopped.csv")


def test_runs_to_two_buckets_are_not_mixed(tmp_path, monkeypatch, bucket):
    monkeypatch.chdir(tmp_path)
    settings = {"format": "csv"}
    with BulkOutput("s3://photos/a/places.csv", "failures.csv", settings, "h\n") as run:
        run.add("x", "1\n")
    with pytest.raises(GeoModelError, match=r"its out is s3://photos/a/places\.csv and now it would be"):
        BulkOutput("s3://photos/b/places.csv", "failures.csv", settings, "h\n", resume=True)
