"""One shard of addresses to one tar, in this process."""

from __future__ import annotations

import io
import json
import os
import tarfile

import pytest
from PIL import Image

pytest.importorskip("img2dataset", reason="needs img2dataset: pip install -r train/requirements.txt")

import pyarrow.parquet
from PIL.TiffImagePlugin import IFDRational

from tests.train.photo_server import serving
from train import download_shard
from train.download_plan import plan_round, unfinished
from train.download_reasons import DAMAGED, FORBIDDEN, NOT_A_PHOTO
from train.download_shard import ShardDownload, is_done, key_digits, locked
from train.download_watch import Watch

MOODS = {
    "/cut-unmeasured.jpg": ["cut-unmeasured"],
    "/truncated.jpg": ["truncated"],
    "/truncated-progressive.jpg": ["truncated"],
    "/page.jpg": ["page"],
    "/noai.jpg": ["noai"],
    "/404.jpg": ["404"],
}
NAMES = ("plain", "small", "sideways", "clear.png", "grey", *(path[1:-4] for path in MOODS))


def encode(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sideways(image):
    """A photo as a camera held upright writes it, with its GPS tag."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825).update(
        {1: "N", 2: tuple(map(IFDRational, (43, 11, 24))), 3: "W", 4: tuple(map(IFDRational, (4, 49, 48)))}
    )
    return encode(image, exif=exif, comment=b"43.19,-4.83")


@pytest.fixture(scope="module")
def photos(sample_photos):
    big = Image.open(next(path for path in sample_photos if path.stem == "picos-de-europa")).convert("RGB")
    clear = big.crop((0, 0, 400, 360)).convert("RGBA")
    clear.putalpha(0)
    plain = encode(big, quality=90)
    return {
        "/plain.jpg": plain,
        "/small.jpg": encode(big.crop((0, 0, 200, 150))),
        "/sideways.jpg": sideways(big),
        "/clear.png.jpg": encode(clear, "PNG"),
        "/grey.jpg": encode(big.convert("L")),
        "/truncated-progressive.jpg": encode(big, progressive=True),
        **{path: plain for path in MOODS if "progressive" not in path},
    }


@pytest.fixture
def server(photos):
    with serving(photos, MOODS) as running:
        yield running


@pytest.fixture
def shard(server, tmp_path):
    """A worker and its one shard."""
    plan = tmp_path / "plan"
    plan.mkdir()
    addresses = pyarrow.table(
        {
            "id": [f"45/77/{name}.jpg" for name in NAMES],
            "latitude": [43.19 + row / 7 for row in range(len(NAMES))],
            "longitude": [-4.83] * len(NAMES),
            "url": [f"{server.address}/{name}.jpg" for name in NAMES],
        }
    )
    plan_round(plan, [addresses], shard_size=1000)
    out = tmp_path / "out"
    out.mkdir()
    work = ShardDownload(
        str(out), str(tmp_path / "work"), shard_size=1000, threads=4, timeout_s=20, back_off_s=0.01
    )
    ((number, path),) = unfinished(plan)
    return work, (number, path)


def tar_files(path):
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def record_of(path):
    return pyarrow.parquet.read_table(path.removesuffix("arrow") + "parquet").to_pylist()


def results(work, row):
    """Everything that a shard ends with; the order in a tar is that in which photos came."""
    return tar_files(f"{work.out}/00000.tar"), record_of(row[1])


def test_photos_end_in_a_tar_and_the_others_in_the_record(shard, photos):
    work, row = shard
    assert work(row) == (True, row)
    files, record = results(work, row)
    assert [entry["id"] for entry in record] == [f"45/77/{name}.jpg" for name in NAMES]
    assert {entry["id"][6:-4]: entry["reason"] for entry in record} == {
        **dict.fromkeys(("plain", "small", "sideways", "clear.png", "grey"), ""),
        "cut-unmeasured": DAMAGED,
        "truncated": DAMAGED,
        "truncated-progressive": DAMAGED,
        "page": NOT_A_PHOTO,
        "noai": FORBIDDEN,
        "404": "HTTP 404 Not Found",
    }
    by_name = {entry["id"][6:-4]: entry for entry in record if not entry["reason"]}
    assert sorted(files) == sorted(
        f"{entry['key']}.{suffix}" for entry in by_name.values() for suffix in ("jpg", "json")
    )
    sizes = {
        "plain": ((427, 320), (800, 600)),
        "small": ((200, 150), (200, 150)),
        "sideways": ((320, 427), (600, 800)),
        "clear.png": ((356, 320), (400, 360)),
        "grey": ((427, 320), (800, 600)),
    }
    for name, entry in by_name.items():
        note = json.loads(files[f"{entry['key']}.json"])
        image = Image.open(io.BytesIO(files[f"{entry['key']}.jpg"]))
        assert (image.size, (note["original_width"], note["original_height"])) == sizes[name]
        assert (image.format, image.mode) == ("JPEG", "RGB")
        for column in ("id", "latitude", "longitude", "url"):
            assert note[column] == entry[column]
        assert set(note) == {
            *("id", "latitude", "longitude", "url", "key", "status", "error_message"),
            *("width", "height", "original_width", "original_height"),
        }
    upright = Image.open(io.BytesIO(files[f"{by_name['plain']['key']}.jpg"])).transpose(Image.ROTATE_270)
    turned = Image.open(io.BytesIO(files[f"{by_name['sideways']['key']}.jpg"]))
    differences = [
        abs(a - b) for a, b in zip(upright.convert("L").tobytes(), turned.convert("L").tobytes(), strict=True)
    ]
    assert sum(differences) / len(differences) < 4, "turned upright"
    white = Image.open(io.BytesIO(files[f"{by_name['clear.png']['key']}.jpg"]))
    assert min(low for low, _ in white.getextrema()) > 250, "nothing behind glass is white"


def test_no_gps_tag_and_no_comment_travels(shard, photos):
    work, row = shard
    assert b"43.19,-4.83" in photos["/sideways.jpg"]
    assert Image.open(io.BytesIO(photos["/sideways.jpg"])).getexif().get_ifd(0x8825)
    work(row)
    files, _ = results(work, row)
    for name, content in files.items():
        if name.endswith(".jpg"):
            image = Image.open(io.BytesIO(content))
            assert not image.getexif()
            assert "comment" not in image.info
            assert b"Exif" not in content
        else:
            assert b"GPS" not in content


class DeathError(BaseException):
    """What nothing catches, as nothing catches SIGKILL."""


@pytest.mark.parametrize("step", range(4))
def test_a_shard_that_dies_between_its_last_steps_asks_nothing_again(shard, server, monkeypatch, step):
    work, row = shard
    steps = {
        0: (download_shard, "_record"),
        1: (download_shard.os, "replace"),  # of the tar
        2: (download_shard.os, "replace"),  # of the record
        3: (download_shard.shutil, "rmtree"),
    }
    module, name = steps[step]
    real = getattr(module, name)
    calls = []

    def dies(*arguments, **options):
        calls.append(arguments)
        if len(calls) == (2 if step == 2 else 1):
            raise DeathError
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, dies)
    with pytest.raises(DeathError):
        work(row)
    monkeypatch.undo()
    asked = dict(server.requests)
    assert os.path.exists(f"{work.out}/00000.tar") == (step > 1)
    assert is_done(row[1]) == (step > 2)
    before = tar_files(f"{work.out}/00000.tar") if step > 1 else None
    assert work(row) == (True, row)
    assert server.requests == asked
    files, record = results(work, row)
    assert len(files) == 10
    assert len(record) == len(NAMES)
    assert before in (None, files)
    assert not os.path.exists(row[1])
    assert os.listdir(work.work) == []


# img2dataset leaves the tar open, which complains once more when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_is_said_and_nothing_half_written_is_kept(shard, server):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full, a file that is always full, which this system does not have")
    work, row = shard
    folder = work.folder(0)
    folder.mkdir(parents=True)
    tar = folder / "00000.tar"
    tar.symlink_to("/dev/full")
    assert work(row) == (False, row)
    assert work.fault_of(0) == "no space left on device"
    assert os.listdir(work.out) == []
    assert not is_done(row[1])
    asked = dict(server.requests)
    tar.unlink()
    assert work(row) == (True, row)
    assert server.requests == asked
    assert len(results(work, row)[0]) == 10


def test_the_spools_disk_is_full(shard):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full, a file that is always full, which this system does not have")
    work, row = shard
    work.folder(0).mkdir(parents=True)
    (work.folder(0) / "photos.bin").symlink_to("/dev/full")
    assert work(row) == (False, row)
    assert work.fault_of(0) == "no space left on device"
    assert os.listdir(work.out) == []


def test_a_shard_without_any_photo_makes_no_tar(shard, server):
    work, row = shard
    server.moods = {path: ["404"] for path in server.photos}
    assert work(row) == (True, row)
    assert os.listdir(work.out) == []
    assert {entry["reason"] for entry in record_of(row[1])} == {"HTTP 404 Not Found"}


def test_two_workers_do_not_work_on_one_shard(shard, server, monkeypatch):
    work, row = shard
    monkeypatch.setattr(download_shard, "_PATIENCE_S", 0.0)
    work.folder(0).mkdir(parents=True)
    with locked(work.folder(0) / "lock"):
        assert work(row) == (False, row)
        assert work.fault_of(0) == "another process is at work on it"
    assert server.total == 0
    assert work(row) == (True, row)


def test_the_progress_of_a_shard_is_what_is_on_disk(shard, monkeypatch):
    work, row = shard
    watch = Watch(work, [row])
    assert (watch.answered(), watch.total) == (0, len(NAMES))

    def dies(*_):
        raise DeathError

    monkeypatch.setattr(download_shard, "_record", dies)
    with pytest.raises(DeathError):
        work(row)
    monkeypatch.undo()
    assert watch.answered() == Watch(work, [row]).answered() == len(NAMES)
    work(row)
    assert watch.answered() == len(NAMES)


def test_keys_are_as_img2dataset_makes_them():
    import math

    for size in (1, 2, 9, 10, 11, 99, 100, 101, 1000, 9999, 10_000, 10_001, 100_000):
        assert key_digits(size) == math.ceil(math.log10(size))
