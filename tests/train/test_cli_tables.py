"""`python -m train check-table`, `hashes` and `import-shards` as a user runs them."""

from __future__ import annotations

import bz2
import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import msgpack
import pytest

from train.cli import main

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*arguments):
    """The command line in this process, which saves the time of starting another."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        patch.setattr(sys, "argv", ["train", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return SimpleNamespace(
        returncode=ended.value.code or 0, stdout=stdout.getvalue(), stderr=stderr.getvalue()
    )


def assert_one_sentence(done, *words, code=1):
    assert done.returncode == code
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_check_table(tmp_path):
    table = tmp_path / "photos.csv"
    table.write_text("IMG_ID,LAT,LON\na.jpg,1,2\n[red]b,-3,40.5\n")
    done = run("check-table", table)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{table}: 2 rows, with ids.\n2 can be used: latitude -3 to 1, longitude 2 to 40.5 degrees.\n"
    )
    table.write_text("IMG_ID,LAT,LON\na.jpg,1,2\n[red]b,-3,40.5\n[red]b,1,2\nc.jpg,100,2\nd.jpg,101,2\n")
    done = run("check-table", table, "--show", 2, "--out", tmp_path / "defects.csv")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        f"{table}: 5 rows, with ids.",
        "2 can be used: latitude -3 to 1, longitude 2 to 40.5 degrees.",
        "3 cannot be used:",
        "  2 latitude beyond 90 degrees",
        "  1 id that stands in an earlier line",
        f"{table}, line 4, column IMG_ID: '[red]b' stands in line 3 already; keep one of the two",
        f"{table}, line 5, column LAT: 100 is beyond 90 degrees; the headers LAT and LON may be swapped",
        "and 1 more.",
        f"{tmp_path / 'defects.csv'} lists all of them.",
    ]
    assert len((tmp_path / "defects.csv").read_text().splitlines()) == 4
    assert_one_sentence(run("check-table", tmp_path / "none.csv"), "none.csv cannot be read: no such file")
    assert_one_sentence(run("check-table", table, "--out", tmp_path / "no" / "x.csv"), "there is no folder")


def code(number):
    """An MD5 as YFCC100M writes it: no byte has a leading zero."""
    return "".join(f"{byte:x}" for byte in hashlib.md5(str(number).encode()).digest())


def hash_file(path, count=12_000):
    lines = "".join(f"{number}\t{code(number)}\n" for number in range(count))
    path.write_bytes(bz2.compress(lines.encode(), 1))
    return path


@pytest.fixture
def photos(tmp_path):
    path = tmp_path / "photos.csv"
    path.write_text("IMG_ID,LAT,LON\n45/77/11999.jpg,1,2\nx/59000.jpg,3,4\na.jpg,5,6\n0/1/7.jpg,7,8\n")
    return path


def test_hashes(tmp_path, photos):
    hashes, out = hash_file(tmp_path / "hash.bz2"), tmp_path / "hashes.csv"
    done = run("hashes", "--table", photos, "--hashes", hashes, "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{out}: 2 of 4 photos (50.0%) have a hash; {tmp_path / 'hashes.missing.csv'} lists the 2 others.\n"
        f"{hashes}: 12,000 lines read.\n"
    )
    assert out.read_text() == (
        f"IMG_ID,LAT,LON,hash\n45/77/11999.jpg,1.0,2.0,{code(11999)}\n0/1/7.jpg,7.0,8.0,{code(7)}\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        *("photos.csv", "hash.bz2", "hashes.csv", "hashes.missing.csv")
    }


def test_mistakes_of_hashes(tmp_path, photos):
    hashes, out = hash_file(tmp_path / "hash.bz2"), tmp_path / "hashes.csv"
    others = tmp_path / "others.csv"
    options = ("--hashes", hashes, "--out", out)
    others.write_text("IMG_ID,LAT,LON\n1/20000.jpg,1,2\n")
    done = run("hashes", "--table", others, *options)
    assert_one_sentence(done, "none of the 1 photo of", "is among the 12,000 lines of")
    others.write_text("IMG_ID,LAT,LON\na.jpg,1,2\n")
    assert_one_sentence(run("hashes", "--table", others, *options), "no id holds a photo number")
    others.write_text("LAT,LON\n1,2\n")
    assert_one_sentence(run("hashes", "--table", others, *options), "has no column IMG_ID or id")
    done = run("hashes", "--table", photos, "--hashes", photos, "--out", out)
    assert_one_sentence(
        done, "photos.csv cannot be read on after line 0: it does not begin as a bz2 file does"
    )
    done = run("hashes", "--table", photos, "--hashes", hashes, "--out", photos)
    assert done.returncode == 2
    done = run("hashes", "--table", photos, "--hashes", "http://127.0.0.1:9/h.bz2", "--out", out)
    assert_one_sentence(
        done, "the hash file would be fetched from 127.0.0.1; say --yes", "Nothing was fetched"
    )
    assert not out.exists()


class Slowly(BaseHTTPRequestHandler):
    """Sends a file in small pieces, from the byte on that is asked for."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        content = self.server.content
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        with contextlib.suppress(OSError):
            for at in range(start, len(content), 16_384):
                self.wfile.write(content[at : at + 16_384])
                self.server.sent = at
                time.sleep(self.server.pause)


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as SIGINT")
def test_hashes_from_an_address_stopped_and_gone_on_with(tmp_path, photos):
    out = tmp_path / "hashes.csv"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slowly)
    server.daemon_threads = True
    server.content = hash_file(tmp_path / "hash.bz2", 60_000).read_bytes()
    server.sent, server.pause = 0, 0.05
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/hash.bz2"
    command = ["hashes", "--table", photos, "--hashes", url, "--out", out, "--yes"]
    process = subprocess.Popen(
        [sys.executable, "-m", "train", *map(str, command)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while server.sent < 200_000 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert stderr.splitlines() == [
        "Fetching the hash file from 127.0.0.1.",
        "Stopped. The same command goes on from there.",
    ]
    assert not out.exists()
    server.pause = 0
    done = run(*command)
    server.shutdown()
    server.server_close()
    assert done.returncode == 0
    assert out.read_text().splitlines()[1:] == [
        f"45/77/11999.jpg,1.0,2.0,{code(11999)}",
        f"x/59000.jpg,3.0,4.0,{code(59_000)}",
        f"0/1/7.jpg,7.0,8.0,{code(7)}",
    ]


def test_import_shards(tmp_path, sample_photos):
    photos = [path.read_bytes() for path in sample_photos]
    table, labels, out = tmp_path / "photos.csv", tmp_path / "mapping.json", tmp_path / "out"
    table.write_text("IMG_ID,LAT,LON\na/b/1.jpg,1,2\na/b/2.jpg,3,4\na/b/3.jpg,5,6\n")
    labels.write_text('{"a/b/1.jpg": [1, 2, 3], "x": [0, 0, 0]}')
    (tmp_path / "shards").mkdir()
    for number, names in enumerate((["a/b/1.jpg", "a/b/2.jpg"], ["none", "a/b/3.jpg"])):
        (tmp_path / "shards" / f"shard_{number}.msg").write_bytes(
            b"".join(msgpack.packb({"image": photos[at], "id": name}) for at, name in enumerate(names))
        )
    command = ("import-shards", "--shards", tmp_path / "shards", "--table", table, "--out", out)
    done = run(*command, "--labels", labels)
    assert done.returncode == 0
    assert done.stderr == f"{labels}: for 1 of its ids there is no row in {table}.\n"
    assert done.stdout == (
        f"{out}: 3 photos of 2 shards in 2 tars.\n"
        f"2 have no entry in {labels}.\n"
        f"1 left out; {out / 'import-report.csv'} lists them:\n"
        "  1 not in the table\n"
    )
    assert (out / "import-report.csv").read_text() == (
        "shard,position,id,reason\nshard_1.msg,0,none,not in the table\n"
    )
    done = run(*command, "--labels", labels)
    assert done.returncode == 0
    assert "3 photos of 2 shards, 2 of them before, in 2 tars." in done.stdout
    assert_one_sentence(run(*command), "was begun with another table or other labels")
    table.write_text("LAT,LON\n1,2\n")
    assert_one_sentence(run(*command), "has no column IMG_ID or id")
    table.write_text("id,latitude,longitude\nz,1,2\n")
    done = run(*command[:-1], tmp_path / "other")
    assert (done.returncode, done.stderr) == (1, "")
    assert "0 photos of 2 shards in 0 tars" in done.stdout
