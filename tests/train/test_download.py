"""Whole downloads from a server on 127.0.0.1 that misbehaves, with worker processes, ended at bad moments."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("img2dataset", reason="needs img2dataset: pip install -r train/requirements.txt")

from geo_model.errors import GeoModelError
from tests.train.photo_server import serving
from train.config import Source
from train.download import download
from train.download_fetch import Answer
from train.download_plan import make_plan
from train.download_reasons import CUT, DAMAGED, ELSEWHERE, NO_ADDRESS, NO_ANSWER, NOT_A_PHOTO
from train.download_spool import Spool
from train.download_workers import spark_reason
from train.photo_index import index_photos

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = "/data/images"


def hash_of(row):
    return hashlib.md5(f"photo {row}".encode()).hexdigest()


def path_of(row):
    name = hash_of(row)
    return f"{DATA}/{name[:3]}/{name[3:6]}/{name}.jpg"


def coordinates_of(row):
    return -60 + row / 3, 100 - row / 7


@pytest.fixture(scope="module")
def photos(sample_photos):
    """60 crops of real photos, most larger than the short side wanted, some smaller."""
    images = [Image.open(path).convert("RGB") for path in sample_photos]
    photos = {}
    for row in range(60):
        image = images[row % len(images)]
        width, height = 120 + 5 * row, 100 + 5 * row
        buffer = io.BytesIO()
        image.crop((row, row, row + width, row + height)).save(buffer, "JPEG", quality=80)
        photos[path_of(row)] = buffer.getvalue()
    return photos


def write_table(path, rows):
    lines = [
        f"45/{row % 7}/{row}.jpg,{coordinates_of(row)[0]},{coordinates_of(row)[1]},{hash_of(row)}\n"
        for row in rows
    ]
    path.write_text("IMG_ID,LAT,LON,hash\n" + "".join(lines))
    return path


def command(table, out, server, *options):
    return [
        *(sys.executable, "-m", "train", "download", "--table", table, "--out", out),
        *("--base-url", server.address + DATA, "--processes", 2, "--threads", 3, "--back-off-s", 0.1),
        *options,
    ]


def run(*arguments, **options):
    return subprocess.run(
        [str(argument) for argument in command(*arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        stdin=subprocess.DEVNULL,
        **options,
    )


def missing_of(out):
    with open(out / "missing.csv", encoding="utf-8", newline="") as file:
        return {row["id"]: row["reason"] for row in csv.DictReader(file)}


def check_tars(out, rows):
    """The tars hold these rows, each once, as training reads them."""
    index = index_photos([Source(tars=str(out / "*.tar"))], "data.train")
    assert len(index) == len(rows)
    names = {}
    for tar in sorted(out.glob("*.tar")):
        with tarfile.open(tar) as archive:
            for member in archive:
                if member.name.endswith(".json"):
                    note = json.load(archive.extractfile(member))
                    names[note["id"]] = (note["latitude"], note["longitude"])
                    row = int(note["id"].split("/")[-1][:-4])
                    assert note["url"].endswith(path_of(row))
                    assert (note["original_width"], note["original_height"]) == (120 + 5 * row, 100 + 5 * row)
    assert names == {f"45/{row % 7}/{row}.jpg": coordinates_of(row) for row in rows}
    assert len(set(index.keys)) == len(rows), "keys are unique in all tars together"
    for row in range(len(index)):
        image = Image.open(io.BytesIO(index.read(row)))
        image.load()
        assert min(image.size) <= 320


MOODS = {
    path_of(3): ["404"],
    path_of(4): ["429:1", "ok"],
    path_of(5): ["500", "ok"],
    path_of(6): ["503"],
    path_of(7): ["cut", "cut-unmeasured", "ok"],
    path_of(8): ["stall", "ok"],
    path_of(9): ["truncated", "reset", "ok"],
    path_of(10): ["truncated"],
    path_of(11): ["page"],
    path_of(12): ["elsewhere"],
    path_of(13): ["410"],
    path_of(14): ["stall"],
    path_of(15): ["cut"],
    **{path_of(row): ["404"] for row in range(20, 30)},  # a whole shard
}
GONE = {
    3: "HTTP 404 Not Found",
    6: "HTTP 503 Service Unavailable",
    10: DAMAGED,
    11: NOT_A_PHOTO,
    12: ELSEWHERE,
    13: "HTTP 410 Gone",
    14: NO_ANSWER,
    15: CUT,
    **dict.fromkeys(range(20, 30), "HTTP 404 Not Found"),
}


def test_from_a_misbehaving_server_to_tars(photos, tmp_path):
    table = write_table(tmp_path / "photos.csv", range(45))
    with open(table, "a") as file:
        file.write(f"again.jpg,1,2,{hash_of(0)}\nnothing.jpg,1,2,nothing at all\n")
    out = tmp_path / "photos"
    options = {"base_url": None, "processes": 2, "threads": 4, "timeout_s": 1.0, "back_off_s": 0.1}
    options |= {"shard_size": 10, "retries": 2}
    with serving(photos, MOODS) as server:
        report = download(table, out, **{**options, "base_url": server.address + DATA})
        asked = dict(server.requests)
        assert asked == {
            **{path_of(row): 1 for row in range(45)},
            **{path_of(row): 2 for row in (4, 5, 8)},
            **{path_of(row): 3 for row in (7, 9, 10, 14, 15)},
            path_of(6): 12,  # it asks to slow down: four times in each of three rounds
        }
        first, second = server.times[path_of(4)]
        assert second - first >= 1, "as long as Retry-After says"

        came = [row for row in range(45) if row not in GONE]
        check_tars(out, came)
        assert [tar.name for tar in sorted(out.glob("*.tar"))] == [f"{n:05}.tar" for n in range(report.tars)]
        assert missing_of(out) == {
            **{f"45/{row % 7}/{row}.jpg": reason for row, reason in GONE.items()},
            "nothing.jpg": NO_ADDRESS,
            "again.jpg": "same address as an earlier row",
        }
        assert (report.rows, report.photos, report.failed, report.repeated) == (47, len(came), 19, 1)
        assert report.passing == 4
        assert report.failed_share == 19 / 46
        assert report.missing["HTTP 404 Not Found"] == 11
        assert sum(report.missing.values()) == report.failed

        # Later the server is well: the same call asks for what may have passed, and for nothing else.
        server.moods = {}
        before = {tar.name: tar.read_bytes() for tar in out.glob("*.tar")}
        report = download(table, out, **options)
        again = {path: count - asked[path] for path, count in server.requests.items() if count > asked[path]}
        assert again == {path_of(row): 1 for row in (6, 10, 14, 15)}
        check_tars(out, sorted([*came, 6, 10, 14, 15]))
        assert (report.failed, report.passing) == (15, 0)
        assert {name: (out / name).read_bytes() for name in before} == before
        assert [tar.name for tar in sorted(out.glob("*.tar"))] == [f"{n:05}.tar" for n in range(report.tars)]

        # And then there is nothing to ask for.
        asked = dict(server.requests)
        assert download(table, out, **options) == report
        assert server.requests == asked
        assert list((out / ".download" / "work").iterdir()) == []

        (out / "00000.tar").unlink()
        with pytest.raises(GeoModelError, match=f"1 of its {report.tars} tars are gone"):
            download(table, out, **options)


def test_shards_whose_photos_all_came_before_the_end_are_finished_without_the_host(photos, tmp_path):
    table = write_table(tmp_path / "photos.csv", range(8))
    out = tmp_path / "out"
    work = out / ".download" / "work"
    with serving(photos, {path_of(2): ["404"]}) as server:
        make_plan(table, out / ".download" / "plan", server.address + DATA, 4)
        for number in range(2):
            folder = work / f"{number:05}"
            folder.mkdir(parents=True)
            addresses = [server.address + path_of(row) for row in range(4 * number, 4 * number + 4)]
            with Spool(folder) as spool:
                for row, address in enumerate(addresses, 4 * number):
                    if row == 2:
                        spool.keep_failure(address, "HTTP 404 Not Found")
                    else:
                        spool.keep(address, Answer(photos[path_of(row)]))
    report = download(table, out, base_url=server.address + DATA, processes=1, shard_size=4)
    assert server.total == 0
    assert (report.photos, report.missing) == (7, {"HTTP 404 Not Found": 1})
    check_tars(out, [row for row in range(8) if row != 2])

    (work / "00000").mkdir()
    (out / ".download" / "plan" / "round-000" / "00000.arrow").write_bytes(b"")
    assert download(table, out, shard_size=4) == report
    assert list(work.iterdir()) == []
    assert list((out / ".download").rglob("*.arrow")) == []


def answers_kept(out):
    """Answers that are safe on disk: in the spools of shards under way, and in records."""
    import pyarrow.parquet

    spools = sum(path.read_bytes().count(b"\n") for path in out.glob(".download/work/*/answers.jsonl"))
    records = list(out.glob(".download/plan/*/0*.parquet"))
    return spools + sum(pyarrow.parquet.read_metadata(path).num_rows for path in records)


def wait_until(condition, process):
    until = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.05)


def start(*arguments):
    return subprocess.Popen(
        [str(argument) for argument in command(*arguments)],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def workers_of(process):
    """Ids of the processes of its session that are still there, itself left out."""
    found = subprocess.run(["ps", "-s", str(process.pid), "-o", "pid="], capture_output=True, check=False)
    return {int(pid) for pid in found.stdout.split()} - {process.pid}


def test_ended_at_any_moment_it_goes_on_and_fetches_nothing_twice(photos, tmp_path):
    """Three ends: SIGKILL to all processes, SIGKILL to the first one only, Ctrl-C."""
    rows = range(60)
    table = write_table(tmp_path / "photos.csv", rows)
    out = tmp_path / "out"
    with serving(photos, {path_of(row): ["404"] for row in (0, 30, 59)}) as server:
        arguments = (table, out, server, "--shard-size", 13, "--yes", "--max-failed-share", 0.1)
        on_the_way = 0
        for end, photos_more in (("group", 9), ("first", 17), ("interrupt", 8)):
            server.allow(photos_more)
            kept_before = answers_kept(out)
            process = start(*arguments)
            # Every photo that was sent is on disk, and the others are being waited for.
            wait_until(lambda: server.slots == 0 and answers_kept(out) == server.answers, process)
            assert answers_kept(out) >= kept_before + photos_more
            if end == "group":
                os.killpg(process.pid, signal.SIGKILL)
            elif end == "first":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGINT)
            output, errors = process.communicate(timeout=240)
            assert process.returncode == (130 if end == "interrupt" else -signal.SIGKILL)
            if end == "interrupt":
                assert (output, errors) == ("", "Stopped. The same command goes on from here.\n")
            wait_until_gone(process)
            for tar in out.glob("*.tar"):
                with tarfile.open(tar) as archive:
                    assert len(archive.getmembers()) % 2 == 0, "whole tars only"
            on_the_way += 2 * 3  # at most: two processes with three threads
        server.allow(None)
        done = run(*arguments)
        assert (done.returncode, done.stdout.count("\n")) == (0, 4), done
        assert "57 of 60 photos, tars 00000 to 00004; missing: 3 (5.00%), see missing.csv." in done.stdout
        assert server.served == {path_of(row): 1 for row in rows if row not in (0, 30, 59)}
        assert all(server.requests[path_of(row)] == 1 for row in (0, 30, 59)), "404 is an answer, too"
        assert 60 <= server.total <= 60 + on_the_way
        check_tars(out, [row for row in rows if row not in (0, 30, 59)])
        assert sorted(path.name for path in out.iterdir()) == [
            *(".download", "00000.tar", "00001.tar", "00002.tar", "00003.tar", "00004.tar", "missing.csv")
        ]


def wait_until_gone(process):
    until = time.monotonic() + 200
    while workers_of(process):
        assert time.monotonic() < until, "workers outlive the first process"
        time.sleep(0.05)


def test_a_worker_that_the_system_kills_is_an_error_and_no_endless_wait(photos, tmp_path):
    table = write_table(tmp_path / "photos.csv", range(30))
    with serving(photos) as server:
        arguments = (table, tmp_path / "out", server, "--shard-size", 10, "--yes")
        server.allow(5)
        process = start(*arguments)
        wait_until(lambda: server.slots == 0, process)
        workers = [
            pid for pid in workers_of(process) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(workers[0], signal.SIGKILL)
        output, errors = process.communicate(timeout=240)
        assert (process.returncode, output) == (1, "")
        assert errors == (
            "Error: a worker process was killed, perhaps for want of memory; the same command with fewer "
            "--processes or --threads goes on\n"
        )


def test_the_command_names_the_host_and_fails_when_much_is_missing(photos, tmp_path):
    table = write_table(tmp_path / "photos.csv", range(20))
    out = tmp_path / "out"
    with serving(photos, {path_of(row): ["404"] for row in range(2)}) as server:
        asked = run(table, out, server)
        assert (asked.returncode, asked.stdout) == (1, "")
        assert asked.stderr == (
            f"Error: 20 photos would be fetched from {server.address} (20); say --yes if that is meant\n"
        )
        assert server.total == 0

        done = run(table, out, server, "--yes")
        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            "Missing because      Photos    Share",
            "────────────────────────────────────",
            "HTTP 404 Not Found        2   10.00%",
            f"{out}: 18 of 20 photos, 1 tar; missing: 2 (10.00%), see missing.csv.",
        ]
        assert done.stderr.splitlines() == [
            "Round 1: 18 photos came, 2 will not, 0 may come later.",
            "Error: 10.0% of the photos are missing, more than the 5.0% of --max-failed-share",
        ]
        assert server.total == 20

        enough = run(table, out, server, "--max-failed-share", "0.1")  # nothing is left to be asked for
        assert (enough.returncode, enough.stderr) == (0, "")
        assert server.total == 20

        other = run(write_table(tmp_path / "other.csv", range(3)), out, server, "--yes")
        assert (other.returncode, other.stdout) == (1, "")
        assert other.stderr.startswith(f"Error: {out} holds a download of another table (photos.csv)")


def test_a_folder_with_other_tars_is_left_alone(tmp_path):
    (tmp_path / "00000.tar").write_bytes(b"mine")
    table = write_table(tmp_path / "photos.csv", range(3))
    with pytest.raises(GeoModelError, match=r"holds tars already, such as 00000.tar"):
        download(table, tmp_path, base_url="http://127.0.0.1:9")
    assert (tmp_path / "00000.tar").read_bytes() == b"mine"


def test_a_host_that_cannot_be_reached_is_said_at_once(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    table = write_table(tmp_path / "photos.csv", range(3))
    with pytest.raises(GeoModelError, match=rf"{address} cannot be connected to \(connection refused\)"):
        download(table, tmp_path / "out", base_url=address)


def test_two_downloads_in_one_folder(tmp_path):
    from train.download_shard import locked

    table = write_table(tmp_path / "photos.csv", range(3))
    (tmp_path / "out" / ".download").mkdir(parents=True)
    with (
        locked(tmp_path / "out" / ".download" / "lock"),
        pytest.raises(GeoModelError, match="another download is at work in this folder"),
    ):
        download(table, tmp_path / "out", base_url="http://127.0.0.1:9")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GeoModelError, match="not a directory"):
        download(write_table(tmp_path / "photos.csv", range(3)), tmp_path / "file" / "out")


def test_on_spark(photos, tmp_path):
    """With a worker of its own, which begins in another folder and inherits nothing, as on a cluster."""
    pyspark = pytest.importorskip(
        "pyspark", reason="needs PySpark, which this machine does not have: pip install pyspark"
    )
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("needs Java for PySpark, which this machine does not have")
    table = write_table(tmp_path / "photos.csv", range(24))
    out, home = tmp_path / "out", tmp_path / "spark-home"
    home.mkdir()  # Spark's worker leaves its files there
    for part in Path(pyspark.__file__).parent.iterdir():
        (home / part.name).symlink_to(part)
    with serving(photos, {path_of(5): ["500", "ok"], path_of(6): ["404"]}) as server:
        # The user's own configuration: a spark-defaults.conf that SPARK_CONF_DIR names.
        (tmp_path / "spark-defaults.conf").write_text(
            "spark.master local-cluster[1,2,1024]\nspark.executor.memory 1024m\nspark.ui.enabled false\n"
            f"spark.driver.memory 512m\nspark.local.dir {tmp_path / 'spark'}\n"
        )
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            **{"SPARK_CONF_DIR": str(tmp_path), "SPARK_LOCAL_IP": "127.0.0.1"},
            "SPARK_HOME": str(home),
        }
        options = ("--shard-size", 7, "--distributor", "pyspark", "--yes")
        done = run(table, out, server, *options, env=environment)
        assert done.returncode == 0, done.stderr
        assert "23 of 24 photos, tars 00000 to 00004; missing: 1 (4.17%), see missing.csv." in done.stdout
        check_tars(out, [row for row in range(24) if row != 6])
        assert server.requests == {path_of(row): 2 if row == 5 else 1 for row in range(24)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n"
            "  File \"x.py\", line 1, in f\nModuleNotFoundError: No module named 'PIL'\n\n",
            "ModuleNotFoundError: No module named 'PIL'",
        ),
        (
            "An error occurred while calling z:o.collectAndServe.\n: org.SparkException: Job aborted\n"
            '\tat x\nCaused by: java.io.IOException: Cannot run program "no-python"\n\t... 1 more\n',
            'java.io.IOException: Cannot run program "no-python"',
        ),
        ("", "RuntimeError"),
        ("it is over", "it is over"),
    ],
)
def test_why_a_spark_worker_failed_in_one_line(text, reason):
    assert spark_reason(RuntimeError(text)) == reason
