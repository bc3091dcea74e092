"""From the earlier tool's shards to tars that training reads."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest
from PIL import Image

from geo_model.errors import GeoModelError
from train.config import Source
from train.import_shards import import_shards
from train.msgpack_shards import find_shards
from train.photo_ids import PhotoIds
from train.photo_index import index_photos
from train.tables import CoordinateTable

ROOT = Path(__file__).resolve().parent.parent.parent
PER_SHARD = 12


@pytest.fixture(scope="module")
def jpegs(sample_photos):
    """Real photos and parts of them, the first of each larger than what is kept."""
    made = []
    for number in range(3 * PER_SHARD):
        photo = Image.open(sample_photos[number % len(sample_photos)]).convert("RGB")
        size = 700 if number < 3 else 64 + number
        buffer = io.BytesIO()
        photo.resize((size, round(size * photo.height / photo.width))).save(buffer, "JPEG", quality=80)
        made.append(buffer.getvalue())
    return made


IDS = [f"{n % 256:02x}/77/{3_000_000 + n}.jpg" for n in range(3 * PER_SHARD)]


@pytest.fixture
def table():
    return CoordinateTable(
        PhotoIds.of([*IDS, "spare"]), np.linspace(-80, 80, len(IDS) + 1), np.linspace(170, -170, len(IDS) + 1)
    )


def write_shards(folder, records, per_shard=PER_SHARD):
    folder.mkdir(exist_ok=True)
    for number, start in enumerate(range(0, len(records), per_shard)):
        data = b"".join(
            record if isinstance(record, bytes) else msgpack.packb(record)
            for record in records[start : start + per_shard]
        )
        (folder / f"shard_{number}.msg").write_bytes(data)
    return find_shards(str(folder))


@pytest.fixture
def records(jpegs):
    return [{"image": jpeg, "id": photo_id} for jpeg, photo_id in zip(jpegs, IDS, strict=True)]


def read_tars(out):
    """Key, photo and JSON of everything in the tars."""
    found = {}
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path, "r:") as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}
        for name, content in members.items():
            if name.endswith(".jpg"):
                found[path.name, name[:-4]] = content, json.loads(members[name[:-4] + ".json"])
        assert len(members) == 2 * sum(key[0] == path.name for key in found)
    return found


def report_of(out):
    with open(out / "import-report.csv", newline="", encoding="utf-8") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def test_photos_arrive_with_their_coordinates(tmp_path, records, table, jpegs):
    seen = []
    shards = write_shards(tmp_path / "shards", records)
    report = import_shards(
        shards, table, tmp_path / "out", workers=2, progress=lambda done, total: seen.append((done, total))
    )
    assert (report.shards, report.tars, report.photos, report.done_before) == (3, 3, 36, 0)
    assert not report.counts
    photos = read_tars(tmp_path / "out")
    assert list(photos)[:2] == [("00000.tar", "0000000000"), ("00000.tar", "0000000001")]
    assert list(photos)[-1] == ("00002.tar", "0000200011")
    for (_, key), (jpeg, annotation) in photos.items():
        row = PER_SHARD * int(key[:5]) + int(key[5:])
        assert annotation == {
            "latitude": table.latitudes[row],
            "longitude": table.longitudes[row],
            "id": IDS[row],
        }
        if row >= 3:
            assert jpeg == jpegs[row]
        else:
            before, after = Image.open(io.BytesIO(jpegs[row])), Image.open(io.BytesIO(jpeg))
            if min(before.size) > 320:
                assert min(after.size) == 320
                assert after.width / after.height == pytest.approx(before.width / before.height, abs=0.01)
            else:
                assert jpeg == jpegs[row]
    assert any(min(Image.open(io.BytesIO(jpeg)).size) > 320 for jpeg in jpegs)
    assert report_of(tmp_path / "out") == []
    total = sum(shard.path.stat().st_size for shard in shards)
    assert seen == sorted(seen)
    assert seen[-1] == (total, total)
    index = index_photos([Source(tars=str(tmp_path / "out" / "*.tar"))], "data.train")
    np.testing.assert_array_equal(index.latitudes, table.latitudes[:-1])


def test_classes_are_carried(tmp_path, records, table):
    classes = np.full((len(table), 3), -2, np.int32)
    classes[: PER_SHARD + 2] = np.arange(3 * (PER_SHARD + 2)).reshape(-1, 3) - 1
    report = import_shards(
        write_shards(tmp_path / "shards", records), table, tmp_path / "out", classes=classes
    )
    assert report.without_classes == 36 - PER_SHARD - 2
    annotations = [annotation for _, annotation in read_tars(tmp_path / "out").values()]
    assert annotations[0]["classes"] == [-1, 0, 1]
    assert annotations[13]["classes"] == [38, 39, 40]
    assert "classes" not in annotations[14]


@pytest.fixture
def damaged(records):
    """Records with something wrong: 3 in the first shard, a broken end of the second, 2 in the third."""
    made = list(records)
    made[1] = {"image": b"GIF89a", "id": IDS[1]}
    made[4] = {"image": records[4]["image"][:-200], "id": IDS[4]}
    made[5] = {"image": records[5]["image"], "id": "[red]none"}
    made[PER_SHARD + 1] = {"id": IDS[PER_SHARD + 1]}
    made[PER_SHARD + 3] = b"\x2a"
    made[2 * PER_SHARD] = {"image": records[0]["image"], "id": IDS[0]}
    made[2 * PER_SHARD + 1] = {"image": records[30]["image"], "id": IDS[30]}
    return made


DAMAGED = [
    ("shard_0.msg", "1", IDS[1], "not a JPEG"),
    ("shard_0.msg", "4", IDS[4], "a JPEG that cannot be decoded: the JPEG data is damaged or incomplete"),
    ("shard_0.msg", "5", "[red]none", "not in the table"),
    ("shard_1.msg", "1", IDS[PER_SHARD + 1], "no image"),
    ("shard_1.msg", "3", "", "the rest of the shard cannot be read: at byte"),
    ("shard_2.msg", "0", IDS[0], "imported already from another record"),
    ("shard_2.msg", "6", IDS[30], "imported already from another record"),
]


@pytest.mark.parametrize("workers", [1, 4])
def test_what_is_damaged_is_left_out_and_listed(tmp_path, damaged, table, workers):
    shards = write_shards(tmp_path / "shards", damaged)
    report = import_shards(shards, table, tmp_path / "out", workers=workers)
    rows = report_of(tmp_path / "out")
    assert [row[:3] for row in rows] == [row[:3] for row in DAMAGED]
    assert all(row[3].startswith(reason) for row, (*_, reason) in zip(rows, DAMAGED, strict=True))
    assert report.counts == {
        "not a JPEG": 1,
        "a JPEG that cannot be decoded": 1,
        "not in the table": 1,
        "no image": 1,
        "the rest of the shard cannot be read": 1,
        "imported already from another record": 2,
    }
    kept = [annotation["id"] for _, annotation in read_tars(tmp_path / "out").values()]
    assert len(kept) == len(set(kept)) == report.photos == 9 + 2 + 10


def test_done_shards_are_passed_over(tmp_path, damaged, table):
    shards, out = write_shards(tmp_path / "shards", damaged), tmp_path / "out"
    import_shards(shards[:2], table, out)
    rows, tars = report_of(out), {path.name: path.stat() for path in out.glob("*.tar")}
    report = import_shards(shards, table, out)
    assert (report.done_before, report.tars, report.photos) == (2, 3, 21)
    assert {name: (out / name).stat() for name in tars} == tars
    assert report_of(out)[:5] == rows
    assert len(report_of(out)) == 7
    assert report.counts["imported already from another record"] == 2
    whole = tmp_path / "whole"
    import_shards(shards, table, whole)
    assert read_tars(whole) == read_tars(out)
    (out / "00001.tar").unlink()
    assert import_shards(shards, table, out).done_before == 2
    assert read_tars(whole) == read_tars(out)


def test_a_shard_that_was_mended_is_imported_again(tmp_path, damaged, records, table):
    shards, out = write_shards(tmp_path / "shards", damaged), tmp_path / "out"
    import_shards(shards, table, out)
    mended = b"".join(msgpack.packb(record) for record in records[PER_SHARD : 2 * PER_SHARD])
    shards[1].path.write_bytes(mended)
    report = import_shards(shards, table, out)
    assert (report.done_before, report.photos) == (2, 31)
    assert not [row for row in report_of(out) if row[0] == "shard_1.msg"]


def test_a_shard_of_which_nothing_is_left_has_no_tar(tmp_path, records, table):
    records[:PER_SHARD] = [{"image": b"", "id": photo_id} for photo_id in IDS[:PER_SHARD]]
    shards, out = write_shards(tmp_path / "shards", records), tmp_path / "out"
    for done_before in (0, 3):
        report = import_shards(shards, table, out)
        assert (report.tars, report.photos, report.done_before) == (2, 24, done_before)
    assert not (out / "00000.tar").exists()


def test_a_shard_that_cannot_be_read_stops_no_other(tmp_path, records, table):
    shards, out = write_shards(tmp_path / "shards", records), tmp_path / "out"
    content = shards[1].path.read_bytes()
    shards[1].path.unlink()
    report = import_shards(shards, table, out)
    assert report.unreadable == [(shards[1].path, "no such file or directory")]
    assert report.photos == 24
    assert report_of(out) == [("shard_1.msg", "", "", "the shard cannot be read: no such file or directory")]
    shards[1].path.write_bytes(content)
    report = import_shards(shards, table, out)
    assert (report.photos, report.done_before, report.unreadable) == (36, 2, [])


def test_folders_that_are_refused(tmp_path, records, table):
    shards, out = write_shards(tmp_path / "shards", records), tmp_path / "out"
    out.mkdir()
    (out / "00000.tar").write_bytes(b"mine")
    with pytest.raises(GeoModelError, match="holds other tars already"):
        import_shards(shards, table, out)
    assert (out / "00000.tar").read_bytes() == b"mine"
    out = tmp_path / "begun"
    import_shards(shards[:1], table, out)
    other = CoordinateTable(table.ids, table.latitudes, table.longitudes + 1)
    for arguments in ({"table": other}, {"table": table, "classes": np.zeros((len(table), 3), np.int32)}):
        with pytest.raises(GeoModelError, match="was begun with another table or other labels"):
            import_shards(shards, out=out, **arguments)
    others = write_shards(tmp_path / "others", records[20:])
    with pytest.raises(GeoModelError, match="is another shard of this number; import it into another folder"):
        import_shards(others, table, out)
    moved = tmp_path / "moved"
    (tmp_path / "shards").rename(moved)
    assert import_shards(find_shards(str(moved)), table, out).done_before == 1
    (tmp_path / "file").touch()
    with pytest.raises(GeoModelError, match="file cannot be written: file exists"):
        import_shards(shards, table, tmp_path / "file")


KILLED = """
import sys, time
import numpy as np
from pathlib import Path
from train import import_shards as module
from train.msgpack_shards import find_shards
from train.tables import read_coordinates

def slow(data, real=module.jpeg_to_keep):
    time.sleep(0.01)
    return real(data)

module.jpeg_to_keep = slow
folder = Path(sys.argv[1])
table = read_coordinates(folder / "table.csv")
module.import_shards(find_shards(str(folder / "shards")), table, folder / "out")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 on Windows")
def test_killed_again_and_again_it_ends_with_the_same_tars(tmp_path, damaged, table):
    with open(tmp_path / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["IMG_ID", "LAT", "LON"])
        writer.writerows(zip(table.ids, table.latitudes.tolist(), table.longitudes.tolist(), strict=True))
    shards, out = write_shards(tmp_path / "shards", damaged, per_shard=6), tmp_path / "out"
    chance = random.Random(6)
    for kill in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], cwd=ROOT)
        until = time.monotonic() + 60
        while not (out / f"0000{kill}.tar").exists():
            assert time.monotonic() < until, "it should have come further by now"
            assert process.poll() is None, "it should have been killed before its end"
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.04))
        process.kill()
        process.wait()
        assert process.returncode == -signal.SIGKILL
        for tar in out.glob("*.tar"):  # each is whole
            index_photos([Source(tars=str(tar))], "data.train")
    report = import_shards(shards, table, out)
    assert report.done_before >= 2
    whole = tmp_path / "whole"
    import_shards(shards, table, whole)
    assert read_tars(out) == read_tars(whole)
    assert report_of(out) == report_of(whole)
    assert sorted(os.listdir(out)) == sorted(os.listdir(whole)), "nothing half-written is left"
