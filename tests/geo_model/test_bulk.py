"""Bulk runs: every source, every format, kills, resuming, failures; a few hundred photos once each."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from geo_model.archive_members import members
from geo_model.bulk_formats import write_parquet
from geo_model.bulk_output import BulkOutput
from geo_model.bulk_places import failures_beside, unfinished_folder
from geo_model.cli import app
from geo_model.errors import GeoModelError, PhotoError
from geo_model.photo_sources import PhotoSources, Unreadable, open_source

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def small_photo(sample_photos):
    """One of the sample photos, small."""
    from PIL import Image

    image = Image.open(sample_photos[0]).convert("RGB")
    image.thumbnail((128, 128))
    image.save(content := io.BytesIO(), "JPEG")
    return content.getvalue()


@pytest.fixture
def locate(tiny_model_folder, monkeypatch):
    def invoke(*arguments):
        words = ["locate", *map(str, arguments), "--model", str(tiny_model_folder)]
        result = CliRunner().invoke(app, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


def names(photos):
    return [name for name, _ in photos]


def content(source):
    return Path(source).read_bytes() if isinstance(source, str) else source.read(1 << 30)


def photos_of(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(path)["photo"].to_pylist()
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8") as file:
            return [row["photo"] for row in csv.DictReader(file)]
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["properties"]["photo"] for line in lines]


def test_the_same_photos_from_every_kind_of_source(small_photo, write_tar, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = {"a.jpg": small_photo, "a.json": {"latitude": 1}, "sub/b.jpg": b"other", "notes.txt": b"x"}
    write_tar(tmp_path / "plain.tar", inside)
    write_tar(tmp_path / "packed.tar.gz", inside, "w:gz")
    for name, method in (("stored.zip", zipfile.ZIP_STORED), ("deflated.zip", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(name, "w", method) as archive:
            for member, data in inside.items():
                archive.writestr(member, data if isinstance(data, bytes) else "{}")
    for name in ("plain.tar", "packed.tar.gz", "stored.zip", "deflated.zip"):
        found = list(PhotoSources([name]))
        assert names(found) == [f"{name}/a.jpg", f"{name}/sub/b.jpg"]
        assert [content(source) for _, source in found] == [small_photo, b"other"]
    Path("folder/sub").mkdir(parents=True)
    Path("folder/a.jpg").write_bytes(small_photo)
    Path("folder/sub/b.jpg").write_bytes(b"other")
    Path("list.txt").write_text("folder/a.jpg\r\n\nmissing.jpg\nplain.tar\n")
    assert names(PhotoSources(["folder"])) == ["folder/a.jpg", "folder/sub/b.jpg"]
    assert names(PhotoSources(["folder/**/*.jpg"])) == ["folder/a.jpg", "folder/sub/b.jpg"]
    assert names(PhotoSources(["*.tar"])) == ["plain.tar/a.jpg", "plain.tar/sub/b.jpg"]
    listed = PhotoSources(["list.txt"])
    assert names(listed) == ["folder/a.jpg", "missing.jpg", "plain.tar/a.jpg", "plain.tar/sub/b.jpg"]
    assert listed.count(lambda: False) == 4
    assert PhotoSources(["packed.tar.gz"]).count(lambda: False) is None


def test_what_is_wrong_in_an_archive_is_said_and_the_rest_goes_on(small_photo, write_tar, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("locked.jpg", small_photo)
        archive.writestr("inner.tar", b"")
        archive.writestr("bomb.jpg", bytes(50_000_000))
        archive.writestr("../good.jpg", small_photo)
        archive.writestr("bent.jpg", small_photo, zipfile.ZIP_STORED)
        archive.writestr("lzma.jpg", small_photo, zipfile.ZIP_LZMA)
    data = bytearray((tmp_path / "x.zip").read_bytes())
    entry = data.index(b"PK\1\2")
    data[entry + 8] |= 1  # locked.jpg is encrypted
    data[data.rindex(small_photo) + 30] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(data)
    found = {Path(name).name: source for name, source in PhotoSources([str(tmp_path / "x.zip")])}
    assert isinstance(found["inner.tar"], Unreadable)
    assert "archive inside an archive" in found["inner.tar"].sentence
    assert found["good.jpg"].read(1 << 30) == small_photo
    assert len(found["bomb.jpg"].read(1000)) == 1000
    for name, word in (("locked", "encrypted"), ("bent", "checksum"), ("lzma", "method 14")):
        with pytest.raises(ValueError, match=word):
            found[f"{name}.jpg"].read(1 << 30)

    tar = write_tar(tmp_path / "cut.tar", {"a.jpg": small_photo, "b.jpg": bytes(9000)})
    tar.write_bytes(tar.read_bytes()[:9000])
    (first, source), *_, (last, refusal) = PhotoSources([str(tar)])
    assert (first, last) == (f"{tar}/a.jpg", str(tar))
    assert source.read(1 << 30) == small_photo
    assert "cut short" in refusal.sentence
    (tmp_path / "no.zip").write_bytes(b"PK\3\4 and no more")
    assert "the zip cannot be read" in next(iter(PhotoSources([str(tmp_path / "no.zip")])))[1].sentence


def test_a_long_zip_of_64_bits_is_read_in_constant_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "long.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(66_000):  # more than the 65,535 that the old end record can count
            archive.writestr(f"{number}.jpg", b"x")
    tracemalloc.start()
    count = sum(1 for _ in members(str(path), lambda name: True, open_source, 10))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 66_000
    assert peak < 2_000_000


@pytest.mark.parametrize("ending", ["csv", "parquet", "geojsonl"])
def test_a_run_killed_and_gone_on_with_has_every_photo_once(
    tiny_model_folder, small_photo, write_tar, tmp_path, ending
):
    tar = tmp_path / "photos.tar"
    count = 240
    inside = {f"{number:04}.jpg": small_photo if number % 50 != 49 else b"bad" for number in range(count)}
    write_tar(tar, inside)
    out = tmp_path / f"places.{ending}"
    command = [sys.executable, "-m", "geo_model", "locate", str(tar), "--out", str(out), "--batch-size", "2"]
    command += ["--model", str(tiny_model_folder), "--resume"]
    log = unfinished_folder(str(out)) / "done"
    settings = {"cwd": ROOT, "env": {**os.environ, "OMP_NUM_THREADS": "1"}, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **settings) as process:
        while not (log.exists() and log.read_bytes().count(b"\n") > 60):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.communicate()
    assert not out.exists()
    done = log.read_bytes().count(b"\n")
    with open(log.with_name("rows"), "ab") as rows:
        rows.write(b"half a row")  # as a kill in the midst of writing leaves it
    with open(log, "ab") as file:
        file.write(b"0123")
    result = CliRunner().invoke(app, command[3:])
    assert result.exit_code == 1  # for the bad photos
    assert f"{done:,} photos were done before, {count - done:,} now." in result.stderr
    failures = photos_of(tmp_path / "places.failures.csv")
    assert Counter([*photos_of(out), *failures]) == Counter(f"{tar}/{name}" for name in inside)
    assert [Path(name).name for name in failures] == ["0049.jpg", "0099.jpg", "0149.jpg", "0199.jpg"]
    assert not log.parent.exists()


@pytest.mark.parametrize("ending", ["csv", "parquet", "geojsonl"])
def test_resuming_a_finished_run_adds_what_is_new_and_tries_failures_again(
    locate, small_photo, tmp_path, ending
):
    folder, out = tmp_path / "photos", tmp_path / f"places.{ending}"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(small_photo)
    (folder / "b.jpg").write_bytes(b"")
    assert locate(folder, "--out", out).exit_code == 1
    assert photos_of(tmp_path / "places.failures.csv") == [str(folder / "b.jpg")]
    (folder / "b.jpg").write_bytes(small_photo)
    (folder / "c.jpg").write_bytes(small_photo)
    again = locate(folder, "--out", out, "--resume")
    assert again.exit_code == 0
    assert photos_of(out) == [str(folder / name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", out.name]
    other = locate(folder, "--out", out, "--resume", "--top-k", 1)
    if ending != "geojsonl":
        assert other.exit_code == 1
        assert "other" in other.stderr or "these options" in other.stderr


def test_parquet_and_csv_say_the_same(locate, sample_photos, tmp_path):
    import pyarrow.parquet as pq

    for ending in ("csv", "parquet"):
        assert locate(*sample_photos, "--out", tmp_path / f"places.{ending}").exit_code == 0
    table = pq.read_table(tmp_path / "places.parquet")
    with open(tmp_path / "places.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert table.column_names == [name for name in rows[0] if name != "error"]
    for ours, theirs in zip(table.to_pylist(), rows, strict=True):
        assert {key: str(value) for key, value in ours.items()} == {key: theirs[key] for key in ours}
    assert json.loads(table.schema.metadata[b"geo_model"])["model"] == "tiny"


def test_photos_named_twice_are_located_once_and_that_is_said(locate, sample_photos, tmp_path):
    result = locate(sample_photos[0], sample_photos[0], "--out", tmp_path / "places.csv")
    assert len(photos_of(tmp_path / "places.csv")) == 1
    assert result.stderr == "1 photos were named again; each is in the output once.\n"


def output(path: Path, **options) -> BulkOutput:
    return BulkOutput(str(path), failures_beside(str(path)), {"format": "csv", "top_k": 1}, "h\n", **options)


def test_an_unfinished_run_is_not_overwritten_and_not_mixed_with_another(tmp_path):
    out = tmp_path / "places.csv"
    with output(out) as first:
        first.add("a", "1\n")
        with pytest.raises(GeoModelError, match="another run is at work"):
            output(out, resume=True)
    with pytest.raises(GeoModelError, match="give --resume"):
        output(out)
    with pytest.raises(GeoModelError, match="its top_k is 1 and now it would be 2"):
        BulkOutput(str(out), failures_beside(str(out)), {"format": "csv", "top_k": 2}, "h\n", resume=True)
    with output(out, resume=True) as again:
        assert (again.done, again.seen.is_new("a"), again.seen.is_new("b")) == (1, False, True)
        again.add("b", "2\n")
        again.finish()
    assert out.read_text() == "h\n1\n2\n"


def test_a_kill_while_the_files_are_put_in_place_loses_nothing(tmp_path, monkeypatch):
    out = tmp_path / "places.csv"
    with output(out) as run:
        run.add("a", "1\n")
        run.add_failure("b", "no photo")
        monkeypatch.setattr(BulkOutput, "_settle", lambda self: None)
        run.finish()
    monkeypatch.undo()
    assert not out.exists()
    with output(out, resume=True) as again:  # puts them in place, then goes on with the finished run
        assert (out.read_text(), again.done) == ("h\n1\n", 1)
        assert (tmp_path / "places.failures.csv").read_text() == "photo,reason\nb,no photo\n"
        again.finish()
    assert out.read_text() == "h\n1\n"


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_kill_at_any_step_of_finishing_loses_nothing_and_doubles_nothing(
    tmp_path, monkeypatch, file_format
):
    out, failed = tmp_path / f"places.{file_format}", tmp_path / "places.failures.csv"
    header = "photo\n" if file_format == "csv" else ""

    def open_output() -> BulkOutput:
        settings = {"format": file_format, "top_k": 1}
        return BulkOutput(str(out), str(failed), settings, header, resume=True, columns=["photo"])

    steps_left = 0

    def dying(work):
        def one_step(*arguments, **options):
            nonlocal steps_left
            if steps_left == 0:
                raise Killed
            steps_left -= 1
            return work(*arguments, **options)

        return one_step

    survived = 0
    for kill_before in range(100):
        names = [f"{number}.jpg" for number in range(3)]
        with open_output() as run:
            for name in names:
                run.add(name, f"{name}\n" if file_format == "csv" else json.dumps([name]) + "\n")
            run.add_failure("bad.jpg", "no photo")
            steps_left = kill_before
            with monkeypatch.context() as patch:
                patch.setattr("geo_model.bulk_output.write_parquet", dying(write_parquet))
                patch.setattr("geo_model.bulk_places.shutil.move", dying(shutil.move))
                patch.setattr(os, "replace", dying(os.replace))
                patch.setattr(os, "fsync", dying(os.fsync))
                for method in ("unlink", "rmdir"):
                    patch.setattr(Path, method, dying(getattr(Path, method)))
                try:
                    run.finish()
                    survived += 1
                except Killed:
                    pass
        with open_output() as again:
            assert [name for name in names if again.seen.is_new(name)] == []
            # Failures of a finished run are tried again, those of an unfinished one are not.
            if again.seen.is_new("bad.jpg"):
                again.add_failure("bad.jpg", "no photo")
            again.finish()
        assert photos_of(out) == names
        assert photos_of(failed) == ["bad.jpg"]
        assert sorted(tmp_path.iterdir()) == sorted([out, failed])
        out.unlink()
        failed.unlink()
        if survived:
            break
    assert kill_before > 8


def test_a_run_gone_on_with_counts_only_failures_that_there_were(tmp_path):
    out = tmp_path / "places.csv"
    with output(out) as run:
        run.add("a", "1\n")
        run.add("b", "2\n")
    with output(out, resume=True) as again:
        assert (again.done, again.failed) == (2, 0)
        again.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["places.csv"]
    with output(out, resume=True) as more:
        more.add_failure("c", "no photo")
        more.add_failure("d", "no photo")
    with output(out, resume=True) as last:
        assert (last.done, last.failed) == (4, 2)


@pytest.mark.parametrize("ending", ["csv", "parquet", "geojsonl"])
def test_photos_of_strange_names_are_known_again(locate, small_photo, tmp_path, ending):
    folder, out = tmp_path / "photos", tmp_path / f"places.{ending}"
    folder.mkdir()
    names = [b"'quoted.jpg", b"=1+1.jpg", "caf\u202e\u00e9.jpg".encode()]
    if sys.platform == "linux":
        names += [b"caf\xe9.jpg", b"caf\xea.jpg"]  # no UTF-8, and printed alike
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(small_photo)
    for _ in range(3):
        assert locate(folder, "--out", out, "--resume").exit_code == 0
        assert len(photos_of(out)) == len(names)


def test_a_finished_parquet_file_knows_what_its_rows_were_made_with(locate, sample_photos, tmp_path):
    out = tmp_path / "places.parquet"
    assert locate(sample_photos[0], "--out", out).exit_code == 0
    before = out.read_bytes()
    other = locate(*sample_photos, "--out", out, "--resume", "--crops", "max")
    assert other.exit_code == 1
    assert "its crops is as measured and now it would be max; give another --out" in other.stderr
    assert out.read_bytes() == before


def test_a_folder_that_cannot_be_listed_is_a_failure_and_the_others_are_searched(
    small_photo, tmp_path, monkeypatch
):
    for name in ("a", "locked", "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_bytes(small_photo)
    list_folder = os.scandir

    def scandir(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for argument in (tmp_path, tmp_path / "*" / "*.jpg"):
        found = {
            Path(name).relative_to(tmp_path).as_posix(): one for name, one in PhotoSources([str(argument)])
        }
        assert set(found) == {"a/x.jpg", "locked", "z/x.jpg"}
        with pytest.raises(PhotoError, match=r"locked/?: the folder cannot be listed \(permission denied\)"):
            found["locked"].read(1)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_in_a_tar_are_failures(small_photo, tmp_path, mode):
    path = tmp_path / "x.tar"
    with tarfile.open(path, mode) as tar:
        for name, kind in (
            ("a.jpg", tarfile.REGTYPE),
            ("b.jpg", tarfile.LNKTYPE),
            ("c.jpg", tarfile.SYMTYPE),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "" if kind == tarfile.REGTYPE else "a.jpg"
            entry.size = len(small_photo) if kind == tarfile.REGTYPE else 0
            tar.addfile(entry, io.BytesIO(small_photo))
    found = {Path(name).name: source for name, source in PhotoSources([str(path)])}
    assert content(found.pop("a.jpg")) == small_photo
    assert set(found) == {"b.jpg", "c.jpg"}
    assert all("it is a link inside the archive" in source.sentence for source in found.values())


def test_ctrl_c_says_how_to_go_on(tiny_model_folder, small_photo, write_tar, tmp_path):
    write_tar(tmp_path / "photos.tar", {f"{number}.jpg": small_photo for number in range(3000)})
    out = tmp_path / "places.csv"
    command = [sys.executable, "-m", "geo_model", "locate", str(tmp_path / "photos.tar"), "--out", str(out)]
    with subprocess.Popen(
        [*command, "--model", str(tiny_model_folder)], cwd=ROOT, stderr=subprocess.PIPE
    ) as process:
        log = unfinished_folder(str(out)) / "done"
        while not (log.exists() and log.stat().st_size > 1000):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        complaints = process.communicate()[1].decode()
    assert process.returncode == 130
    assert "the same command with --resume goes on." in complaints
    assert "Traceback" not in complaints


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.jpg", "--resume"],
        ["a.jpg", "--format", "parquet"],
        ["a.jpg", "--engine", "ray"],
        ["a.jpg", "--failures", "f.csv", "--out", "x.json"],
        ["-", "--resume", "--out", "x.csv"],
        ["a.jpg", "--workers", "2", "--out", "x.csv"],
    ],
)
def test_options_that_do_not_go_together_are_refused(locate, arguments):
    assert locate(*arguments).exit_code == 2


def test_a_damaged_compressed_tar_is_a_failure(write_tar, small_photo, locate, tmp_path):
    tar = write_tar(tmp_path / "x.tar", {f"{n}.jpg": small_photo + os.urandom(5000) for n in range(20)})
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(tar.read_bytes())[:60_000])
    assert locate(tmp_path / "x.tar.gz", "--out", tmp_path / "places.csv").exit_code == 1
    assert 5 < len(photos_of(tmp_path / "places.csv")) < 20
    assert photos_of(tmp_path / "places.failures.csv") == [str(tmp_path / "x.tar.gz")]
