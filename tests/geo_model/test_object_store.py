"""Photos from, and tables to, s3:// addresses, against an S3 server on 127.0.0.1."""

from __future__ import annotations

import csv
import io

import pytest
from typer.testing import CliRunner

from geo_model.cli import app
from geo_model.object_store import open_object
from geo_model.photo_sources import PhotoSources

pytest.importorskip("moto", reason='needs an S3 server: pip install "moto[server]"')


@pytest.fixture
def store(monkeypatch):
    """A bucket called photos; gives a function that puts an object into it."""
    from moto.server import ThreadedMotoServer
    from pyarrow.fs import S3FileSystem

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for key, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(key, value)
    system = S3FileSystem(endpoint_override=f"{host}:{port}", scheme="http", allow_bucket_creation=True)
    system.create_dir("photos")

    def put(key: str, data: bytes) -> None:
        with system.open_output_stream(f"photos/{key}") as file:
            file.write(data)

    yield put
    server.stop()


def test_photos_come_from_and_the_table_goes_to_a_bucket(
    store, tiny_model_folder, sample_photos, write_tar, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    photo = sample_photos[0].read_bytes()
    store("in/a.jpg", photo)
    store("in/notes.txt", b"no photo")
    store("in/photos.tar", write_tar(tmp_path / "x.tar", {"b.jpg": photo, "c.jpg": b"no photo"}).read_bytes())
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
