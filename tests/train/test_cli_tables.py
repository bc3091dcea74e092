"""`python -m train check-table`, `hashes` and `import-shards` as a user runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "train", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
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
