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

from geo_model.ray_engine import shared_out

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


def assert_same(found: dict[str, dict[str, str]], expected: dict[str, dict[str, str]]) -> None:
    """The same rows but for rounding, which depends on the photos that share a batch."""
    assert found.keys() == expected.keys()
    for name, row in found.items():
        for column, value in row.items():
            if column.endswith(("probability", "km2")):
                assert float(value) == pytest.approx(float(expected[name][column]), rel=1e-3)
            elif column in ("latitude", "longitude", "token", "place"):
                assert value == expected[name][column]


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


def wait_for_rows(process: subprocess.Popen[bytes], out: Path) -> None:
    """Return once a run has written rows."""
    log = out.with_name(f"{out.name}.unfinished") / "done"
    while not (log.exists() and log.stat().st_size > 0):
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.02)


def workers_below(pid: int) -> list[int]:
    """Processes of Ray below a process that locate photos."""
    return [below for below, line in descendants(pid).items() if "MapWorker" in line]


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds Ray's workers in /proc")


@needs_proc
def test_two_workers_one_of_them_killed_give_the_rows_of_the_plain_engine(photos, command, plain, tmp_path):
    out = tmp_path / "places.csv"
    words = command(photos, out, "--engine", "ray", "--workers", "2")
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE) as process:
        wait_for_rows(process, out)
        workers = workers_below(process.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        complaints = process.communicate()[1].decode()
    assert process.returncode == 1, complaints  # for the bad photo
    assert "Traceback" not in complaints
    assert_same(rows(out), rows(plain))
    failures = [path.with_name("places.failures.csv") for path in (out, plain)]
    assert rows(failures[0]).keys() == rows(failures[1]).keys() == {"bad.jpg"}


@pytest.fixture
def cluster(bucket, monkeypatch):
    """Two nodes of one core each, which know the bucket; their processes are this one's."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the nodes' workers need geo_model
    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    nodes = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    nodes.add_node(**node)
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    yield nodes
    nodes.shutdown()


@needs_proc
def test_a_cluster_of_two_nodes_reads_from_and_writes_to_a_bucket_and_survives_a_dead_worker(
    photos, command, plain, bucket, cluster, tmp_path
):
    import pyarrow.parquet as pq

    from geo_model.object_store import open_object

    bucket("in/photos.tar", photos.read_bytes())
    out = "s3://photos/out/places.parquet"
    words = command("s3://photos/in/photos.tar", out, "--engine", "ray", "--workers", "2")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
        wait_for_rows(process, tmp_path / "places.parquet")
        workers = workers_below(os.getpid())
        parents = {Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1] for pid in workers}
        assert len(workers) == len(parents) == 2  # a worker on each node
        os.kill(workers[0], signal.SIGKILL)
        complaints = process.communicate()[1].decode()
    assert process.returncode == 1, complaints  # for the bad photo
    assert "Traceback" not in complaints
    with open_object(out) as file:
        found = pq.read_table(file).to_pylist()
    by_name = {Path(row["photo"]).name: {key: str(value) for key, value in row.items()} for row in found}
    assert len(by_name) == len(found)
    assert_same(by_name, rows(plain))
    with open_object("s3://photos/out/places.failures.csv") as file:
        assert [line.split(b",")[0] for line in file.read().splitlines()[1:]] == [
            b"s3://photos/in/photos.tar/bad.jpg"
        ]


@pytest.mark.parametrize(
    ("nodes", "workers", "expected"),
    [([16], 4, (4, 4)), ([4, 4], 1, (1, 4)), ([6, 2], 2, (2, 3)), ([1, 1], 9, (2, 1)), ([2], None, (1, 2))],
)
def test_every_worker_has_room_on_some_node(nodes, workers, expected):
    assert shared_out(nodes, workers) == expected
