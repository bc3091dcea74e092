"""`python -m train partition` and `assign` as a user runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from geo_model.cells import Partitioning

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "train", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def coordinates(tmp_path_factory):
    rng = np.random.default_rng(9)
    path = tmp_path_factory.mktemp("tables") / "photos.csv"
    rows = zip(rng.normal(45, 8, 2000).tolist(), rng.normal(8, 15, 2000).tolist(), strict=True)
    path.write_text(
        "IMG_ID,LAT,LON,AUTHOR\n" + "".join(f"{n:05}.jpg,{a},{b},x\n" for n, (a, b) in enumerate(rows))
    )
    return path


@pytest.fixture(scope="module")
def partitionings(coordinates):
    paths = []
    for name, most in (("coarse", 300), ("middle", 100), ("fine", 30)):
        paths.append(coordinates.parent / f"{name}.csv")
        done = run(
            "partition", "--coordinates", coordinates, "--img-min", 5, "--img-max", most, "--out", paths[-1]
        )
        assert (done.returncode, done.stderr) == (0, "")
        cells = Partitioning.read_csv(paths[-1])
        kept = int(cells.photo_counts.sum())
        assert done.stdout.startswith(f"{paths[-1]}: {len(cells):,} cells")
        assert f"hold {kept:,} of 2,000 photos ({kept / 2000:.1%})" in done.stdout
    return paths


def assign_arguments(coordinates, partitionings, out):
    coarse, middle, fine = partitionings
    return (
        *("assign", "--coordinates", coordinates, "--coarse", coarse, "--middle", middle),
        *("--fine", fine, "--out", out),
    )


def assert_one_sentence(done, code, *words):
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr
    if code == 1:
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1


def test_help_names_the_commands_without_loading_torch():
    done = run("--help")
    assert done.returncode == 0
    assert "partition" in done.stdout
    assert "assign" in done.stdout
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "train", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stderr
    imported = {line.split("|")[-1].strip() for line in loaded.splitlines()}
    assert "typer" in imported
    assert not imported & {"torch", "pandas", "lightning", "timm", "numpy", "streamlit"}


def test_assign(coordinates, partitionings, tmp_path):
    out = tmp_path / "assigned.csv"
    done = run(*assign_arguments(coordinates, partitionings, out))
    assert (done.returncode, done.stderr) == (0, "")
    lines = out.read_text().splitlines()
    assert lines[0] == "IMG_ID,LAT,LON,coarse,middle,fine"
    assert len(lines) == 2001
    assert lines[1].startswith("00000.jpg,")
    fine = Partitioning.read_csv(partitionings[2])
    held = [line.rsplit(",", 1)[1] for line in lines[1:]]
    counts = np.bincount([int(index) for index in held if index], minlength=len(fine))
    np.testing.assert_array_equal(counts, fine.photo_counts)
    assert f"fine {counts.sum():,} ({counts.sum() / 2000:.1%})" in done.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--img-min", "10", "--img-max", "10"), "img_max (10) must be larger than img_min (10)"),
        (("--img-min", "-1", "--img-max", "10"), "--img-min"),
        (("--img-min", "5", "--img-max", "0"), "--img-max"),
        (("--img-min", "5", "--img-max", "many"), "--img-max"),
        (("--img-min", "5", "--img-max", "9", "--lvl-max", "31"), "--lvl-max"),
        (("--img-min", "5", "--img-max", "9", "--lvl-min", "8", "--lvl-max", "7"), "lvl_min (8)"),
        (("--img-max", "10"), "--img-min"),
    ],
)
def test_usage_errors_end_with_2(coordinates, tmp_path, options, words):
    out = tmp_path / "out.csv"
    done = run("partition", "--coordinates", coordinates, *options, "--out", out)
    assert_one_sentence(done, 2)
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert not out.exists()


def test_mistakes_in_the_table_end_with_1(tmp_path):
    def partition_of(text):
        path = tmp_path / "photos.csv"
        path.write_text(text)
        return run(
            *("partition", "--coordinates", path, "--img-min", 0, "--img-max", 9, "--out", tmp_path / "o.csv")
        )

    assert_one_sentence(partition_of("LAT,LON\n1,2\n117.5,35\n"), 1, "line 3, column LAT", "may be swapped")
    assert_one_sentence(partition_of(""), 1, "is empty")
    assert_one_sentence(partition_of("LAT,LON\n[red]x[/red],2\n"), 1, "'[red]x[/red]' is not a number")
    assert not (tmp_path / "o.csv").exists()


def test_missing_files_and_folders_end_with_1(coordinates, partitionings, tmp_path):
    done = run(
        *("partition", "--coordinates", tmp_path / "none.csv", "--img-min", 0),
        *("--img-max", 9, "--out", tmp_path / "o.csv"),
    )
    assert_one_sentence(done, 1, "none.csv cannot be read: no such file")
    done = run(*assign_arguments(coordinates, partitionings, tmp_path / "no" / "o.csv"))
    assert_one_sentence(done, 1, "there is no folder")


def test_an_incomplete_hierarchy_ends_with_1(coordinates, partitionings, tmp_path):
    coarse, middle, fine = partitionings
    shortened = tmp_path / "middle.csv"
    lines = middle.read_text().splitlines(keepends=True)
    lost = lines[-1].split(",")[1]
    shortened.write_text("".join(lines[:-1]))
    out = tmp_path / "o.csv"
    done = run(*assign_arguments(coordinates, (coarse, shortened, fine), out))
    assert_one_sentence(done, 1, "the hierarchy is incomplete", "lies in no middle cell of", str(shortened))
    # The token in the message is one of the fine cells in the cell that was taken away.
    token = done.stderr.split("the fine cell ")[1].split()[0]
    fine_cells = Partitioning.read_csv(fine)
    index = fine_cells.class_of_token(token)
    assert Partitioning.read_csv(middle).classes_of_ids(fine_cells.ids[[index]])[0] == len(lines) - 2
    assert lost == Partitioning.read_csv(middle).tokens[-1]
    assert not out.exists()
