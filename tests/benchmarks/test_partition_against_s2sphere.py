"""The partition benchmark runs and tells equal results from different ones; how fast, no test asks."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("partition_against_s2sphere.py")
THRESHOLDS = ("--img-min", "3", "--img-max", "160", "60", "20")


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def coordinates(tmp_path_factory):
    """Places all over, some at the poles and on the date line."""
    random = np.random.default_rng(5)
    points = np.stack([np.degrees(np.arcsin(random.uniform(-1, 1, 60))), random.uniform(-180, 180, 60)], 1)
    points[:8] = [(90, 0), (-90, 0), (89.99, 45), (0, 180), (10, -180), (-20, 179.9999), (0, 0), (45, 45)]
    path = tmp_path_factory.mktemp("tables") / "places.csv"
    path.write_text("LAT,LON\n" + "".join(f"{latitude},{longitude}\n" for latitude, longitude in points))
    return path


def test_cells_and_classes_are_those_of_s2sphere(coordinates):
    done = run("--photos", 2500, "--coordinates", coordinates, *THRESHOLDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"2,500 photos drawn around the 60 coordinates of {coordinates}" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith(("coarse", "middle", "fine"))]
    assert len(rows) == 3
    for row in rows:
        assert "the same; 2,500 of 2,500 classes agree" in row
    cells = [int(row.split()[1].replace(",", "")) for row in rows]
    assert 30 < cells[0] < cells[1] < cells[2]
    assert "times as fast" in done.stdout
    assert done.stdout.endswith("All cells and classes are the same.\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--photos", "10", "--img-min", "9", "--img-max", "20", "10", "9"), "above --img-min"),
        (("--photos", "0"), "1 or more"),
        (("--photos", "10", "--coordinates", "none.csv"), "none.csv cannot be read"),
    ],
)
def test_what_cannot_be_run_is_said(arguments, words):
    done = run(*arguments)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_difference_is_found(tmp_path):
    specification = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    benchmark = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(benchmark)

    def leave(side, cells, classes):
        (tmp_path / f"{side}.json").write_text(json.dumps({"cells": cells}))
        np.save(tmp_path / f"{side}.npy", classes)

    level = [["47e5", "47ed"], [7, 9], [46.0, 47.0], [8.0, 9.0]]
    classes = np.array([[0, 1, 0], [-1, 0, 1]])
    leave("ours", [level] * 3, classes)
    leave("plain", [level] * 3, classes)
    same, text = benchmark.compared(tmp_path)
    assert same
    assert "2 of 2 classes agree; means within 0e+00 degrees" in text

    leave("plain", [level] * 3, np.array([[0, 1, 0], [-1, 0, 0]]))
    same, text = benchmark.compared(tmp_path)
    assert not same
    assert "1 of 2 classes agree" in text
    for changed in ([["47e5", "47ef"], *level[1:]], [level[0], [7, 8], *level[2:]]):
        leave("plain", [level, changed, level], classes)
        same, text = benchmark.compared(tmp_path)
        assert not same
        assert text.count("NOT THE SAME") == 1
