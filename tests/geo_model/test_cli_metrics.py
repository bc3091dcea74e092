"""`python -m geo_model metrics` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from geo_model.cli import app

ROOT = Path(__file__).resolve().parents[2]
# Truth and the published base(M, f*) answer of five Im2GPS photos; 0.02, 0.63, 15.96, 651.77 and 5828.3 km.
TABLE = """img_id,gt_lat,gt_long,predicted_lat,predicted_long
one.jpg,41.403491,2.174423,41.403616,2.174218
two.jpg,51.51604,-0.129046,51.517766,-0.120418
three.jpg,-3.169805,35.528561,-3.282367,35.617817
four.jpg,44.881174,15.616722,41.149628,9.429118
five.jpg,48.973343,89.959659,58.42959,-5.519747
"""


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def invoke(*arguments, command="metrics"):
        result = CliRunner().invoke(app, [command, *(str(argument) for argument in arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text(TABLE)
    return path


def test_figures_of_a_table(run, table):
    result = run("--predictions", table)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "5 predictions of predictions.csv" in result.stdout
    row, interval = [line.split() for line in result.stdout.splitlines() if line.strip()][4:6]
    assert row == ["these", "predictions", "40.0", "60.0", "60.0", "80.0", "80.0"]
    assert interval[0] == "11.8–76.9"  # Wilson, 2 of 5
    # The mean of 0.02, 0.63, 15.96, 651.77 and 5828.30, and that of 5000 exp(-d / 1492.7).
    assert "Median error 16 km, mean 1,299 km, GeoScore 3,655." in result.stdout
    assert "PlaNet" not in result.stdout


def test_a_constant_answer_beside_them(run, table):
    result = run("--predictions", table, "--always", "48.86,2.35")
    assert (result.exit_code, result.stderr) == (0, "")
    # By s2sphere, Paris lies 829, 344, 6,612, 1,099, 6,017 km from the five.
    assert "always 48.86, 2.35: Median error 1,099 km, mean 2,980 km" in result.stdout
    record = json.loads(run("--predictions", table, "--always", "48.86,2.35", "--json").stdout)["always"]
    assert [accuracy["hits"] for accuracy in record["accuracies"]] == [0, 0, 0, 1, 3]


@pytest.mark.parametrize("place", ["48.86", "north,2", "91,0", "0,181", ""])
def test_a_constant_answer_that_is_no_place(run, table, place):
    result = run("--predictions", table, "--always", place)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"--always {place}")
    assert result.stderr.count("\n") == 1


def test_published_figures_beside_them(run, table):
    result = run("--predictions", table, "--beside", "im2gps")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [" ".join(line.split()) for line in lines]
    assert "base(M, f*), ResNet-101 2018 15.2 40.9 51.5 65.4 78.5" in rows
    assert "PIGEOTTO 2024 14.8 40.9 63.3 82.3 91.1" in rows
    assert "these predictions 40.0 60.0 60.0 80.0 80.0" in rows
    text = " ".join(rows)
    assert (
        "Published figures are of all 237 photos of Im2GPS, these are of 5; compare them with care." in text
    )
    assert "a 95% interval too, of up to 6.3 points either way" in text
    other = run("--predictions", table, "--beside", "im2gps3k")
    assert "GeoRanker 2025" in other.stdout
    assert "1,473 of 2,997 photos are 49.149%" in " ".join(other.stdout.split())


def test_json(run, table):
    result = run("--predictions", table, "--beside", "im2gps3k", "--json")
    record = json.loads(result.stdout)
    assert [accuracy["hits"] for accuracy in record["accuracies"]] == [2, 3, 3, 4, 4]
    assert record["median_km"] == pytest.approx(15.96, abs=0.01)
    assert record["beside"]["photos"] == 2997
    assert {figures["method"] for figures in record["published"]} > {"PlaNet", "GeoCLIP"}
    assert "published" not in json.loads(run("--predictions", table, "--json").stdout)


def test_bad_rows_end_it_unless_they_are_to_be_skipped(run, table):
    table.write_text(TABLE + "six.jpg,1,2,[red]x[/red],4\nseven.jpg,1,2,3\none.jpg,1,2,3,4\n")
    result = run("--predictions", table)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"{table}, line 7, column predicted_lat: '[red]x[/red]' is not a number; give the latitude in "
        "degrees. Correct the table, or leave its 3 bad rows out with --skip-bad.\n"
    )
    skipped = run("--predictions", table, "--skip-bad")
    assert skipped.exit_code == 0
    assert "5 predictions" in skipped.stdout
    assert "Left out because they cannot be used: 3 of the rows." in skipped.stdout
    complaints = skipped.stderr.splitlines()
    assert len(complaints) == 4
    for line, complaint in zip((7, 8, 9), complaints, strict=False):
        assert complaint.startswith(f"{table}, line {line}")
    assert complaints[3] == "3 bad rows left out."
    assert len(json.loads(run("--predictions", table, "--skip-bad", "--json").stdout)["bad_rows"]) == 3


def test_many_bad_rows_are_counted(run, table):
    table.write_text(TABLE + "x.jpg,1,2,3,east\n" * 25)
    complaints = run("--predictions", table, "--skip-bad").stderr.splitlines()
    assert len(complaints) == 11
    assert complaints[-1] == "25 bad rows left out, 15 of them not named here."


def test_what_evaluate_writes_gives_the_figures_that_it_printed(
    run, tiny_model_folder, sample_photos, write_tar, tmp_path
):
    members = {}
    for number, photo in enumerate(sample_photos):
        members[f"{number}.jpg"] = photo.read_bytes()
        members[f"{number}.json"] = {"latitude": 10.0 * number, "longitude": 20.0 * number}
    members["broken.jpg"] = b"no photo"
    members["broken.json"] = {"latitude": 1, "longitude": 2}
    tar = write_tar(tmp_path / "photos.tar", members)
    out = tmp_path / "rows.csv"
    options = ("--model", tiny_model_folder, "--out", out, "--json")
    evaluated = json.loads(run("--photos", tar, *options, command="evaluate").stdout)
    record = json.loads(run("--predictions", out, "--json").stdout)
    assert record["count"] == evaluated["photos"] == 3
    assert [entry["photo"] for entry in record["without_answer"]] == ["broken.jpg"]
    assert record["accuracies"] == evaluated["answers"]["hierarchy"]["accuracy"]
    assert record["median_km"] == pytest.approx(evaluated["answers"]["hierarchy"]["median_km"], abs=0.001)
    shown = " ".join(run("--predictions", out).stdout.split())
    assert "Left out for want of an answer: 1 of the rows, the first of them broken.jpg: " in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "--predictions"),
        (("--predictions", "none.csv"), 1, "none.csv cannot be read"),
        (("--predictions", "none.csv", "--beside", "yfcc4k"), 2, "im2gps3k"),
    ],
)
def test_wrong_use(run, arguments, code, words):
    result = run(*arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    assert words in result.stderr


def test_it_runs_without_loading_torch(table):
    command = [sys.executable, "-X", "importtime", "-m", "geo_model", "metrics", "--predictions", str(table)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "numpy" in imported
    assert not imported & {"torch", "pandas", "timm"}
