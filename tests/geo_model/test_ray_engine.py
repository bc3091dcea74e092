"""The Ray engine against the plain one: the same rows, also when a worker is killed, and over s3://."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("ray", reason='needs Ray: pip install "ray[data]"')
ROOT = Path(__file__).resolve().parents[2]
COUNT = 240


@pytest.fixture(scope="module")
def photos(sample_photos, write_tar, tmp_path_factory):
    """A tar of small photos, all different, a bad one among them."""
    import io

    folder = tmp_path_factory.mktemp("ray")
    images = []
    for photo in sample_photos:
        images.append(Image.open(photo).convert("RGB").resize((300, 200)))
    inside = {"bad.jpg": b"no photo"}
    for number in range(COUNT - 1):
        left = number // len(images)
        crop = images[number % len(images)].crop((left, 0, left + 150, 150))
        crop.save(content := io.BytesIO(), "JPEG")
        inside[f"{number:03}.jpg"] = content.getvalue()
    return write_tar(folder / "photos.tar", inside)


@pytest.fixture(scope="module")
def command(tiny_model_folder):
    def words(source, out, *more):
        model = ["--model", str(tiny_model_folder), "--batch-size", "4"]
        return [sys.executable, "-m", "geo_model", "locate", str(source), "--out", str(out), *model, *more]

    return words


@pytest.fixture(scope="module")
def plain(photos, command, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain") / "places.csv"
    assert subprocess.run(command(photos, out), cwd=ROOT, check=False).returncode == 1
    return out


def rows(path: Path) -> dict[str, dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    by_name = {Path(row["photo"]).name: row for row in read}
    assert len(by_name) == len(read)
    return by_name


def assert_same(ours: Path, plain: Path) -> None:
    """The same rows but for rounding, which depends on the photos that share a batch."""
    found, expected = rows(ours), rows(plain)
    assert found.keys() == expected.keys()
    for name, row in found.items():
        for column, value in row.items():
            if column.endswith(("probability", "km2")):
                assert float(value) == pytest.approx(float(expected[name][column]), rel=1e-3)
            elif column in ("latitude", "longitude", "token", "place"):
                assert value == expected[name][column]
    failures = [path.with_name("places.failures.csv") for path in (ours, plain)]
    assert rows(failures[0]).keys() == rows(failures[1]).keys() == {"bad.jpg"}


def descendants(pid: int) -> dict[int, str]:
    """Command lines of the processes below a process, by id."""
    parents, lines = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
    below, found = {pid}, {}
    while new := {child for child, parent in parents.items() if parent in below} - below:
        below |= new
        found.update({child: lines[child] for child in new if child in lines})
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds Ray's workers in /proc")
def test_two_workers_one_of_them_killed_give_the_rows_of_the_plain_engine(photos, command, plain, tmp_path):
    out = tmp_path / "places.csv"
    words = command(photos, out, "--engine", "ray", "--workers", "2")
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE) as process:
        log = tmp_path / "places.csv.unfinished" / "done"
        while not (log.exists() and log.stat().st_size > 0):
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.02)
        workers = [pid for pid, line in descendants(process.pid).items() if "MapWorker" in line]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        complaints = process.communicate()[1].decode()
    assert process.returncode == 1, complaints  # for the bad photo
    assert "Traceback" not in complaints
    assert_same(out, plain)
