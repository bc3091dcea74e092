"""Photos from, and tables to, s3:// addresses, against an S3 server on 127.0.0.1."""

from __future__ import annotations

import csv
import io

from typer.testing import CliRunner

from geo_model.cli import app
from geo_model.object_store import open_object
from geo_model.photo_sources import PhotoSources


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
