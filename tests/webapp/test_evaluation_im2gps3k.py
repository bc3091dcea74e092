"""A run on the page Evaluation shows what `python -m geo_model evaluate` prints, on photos of Im2GPS3k.

The photos are part of the optional check data in ../shared. By default the first 24 of them are taken; all
1,109, with both sides printed, by

    GEO_IM2GPS3K_PHOTOS=all python -m pytest -s tests/webapp/test_evaluation_im2gps3k.py
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from itertools import islice
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from geo_model.cli import app
from geo_model.measurements import ANSWERS
from geo_model.metrics import THRESHOLDS_KM
from webapp import evaluation_wording as words

APP = Path(__file__).resolve().parents[2] / "webapp" / "app.py"
NAMES = {**words.ANSWER_NAMES, "hierarchy": words.ANSWER_HIERARCHY}
NUMBER = r"\d[\d,]*\.?\d*"


@pytest.fixture
def photos(shared_data: Path) -> bytes:
    """A tar of as many photos as are asked for, in their order."""
    wanted = os.environ.get("GEO_IM2GPS3K_PHOTOS", "24")
    path = shared_data / "im2gps3k" / "photos-cc.tar"
    if wanted == "all":
        return path.read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(path) as source, tarfile.open(fileobj=buffer, mode="w") as target:
        for member in islice((member for member in source if member.isfile()), int(wanted)):
            target.addfile(member, source.extractfile(member))
    return buffer.getvalue()


def numbers(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(NUMBER, text)]


def printed_figures(output: str) -> dict[str, list[float]]:
    """For each answer the shares, then their intervals, median and GeoScore, as the command prints them."""
    lines = output.splitlines()
    found = {}
    for row, line in enumerate(lines):
        name, _, rest = line.strip().partition(" ")
        if name in ANSWERS and name not in found:
            *shares, median, score = numbers(rest)
            found[name] = [*shares, *numbers(lines[row + 1]), median, score]
    return found


def shown_figures(row: str) -> list[float]:
    """The same of a row of the page's table, where each share stands before its interval."""
    values = numbers(row)
    places = range(0, 3 * len(THRESHOLDS_KM), 3)
    intervals = [value for place in places for value in values[place + 1 : place + 3]]
    median, _mean, score, _photos = values[3 * len(THRESHOLDS_KM) :]
    return [*(values[place] for place in places), *intervals, float(f"{median:.0f}"), score]


def rows(at: AppTest, number: int) -> dict[str, str]:
    """What each row of a table of figures says, by its first cell."""
    tables = [entry.proto.body for entry in at.get("html") if "class='figures" in entry.proto.body]
    found = {}
    for row in re.findall("<tr.*?</tr>", tables[number], flags=re.DOTALL):
        cells = [re.sub("<[^>]+>", " ", cell) for cell in re.findall("<td.*?</td>", row, flags=re.DOTALL)]
        if cells:
            found[cells[0].strip()] = " ".join(cells[1:])
    return found


def test_a_run_over_im2gps3k_shows_what_the_command_prints(photos, shared_data, tmp_path, monkeypatch):
    monkeypatch.delenv("GEO_MODEL", raising=False)  # the bundled model, on both sides
    truth = shared_data / "im2gps3k" / "ground_truth_cc.csv"
    archive = tmp_path / "photos.tar"
    archive.write_bytes(photos)

    at = AppTest.from_file(str(APP), default_timeout=6000).run()
    at.switch_page("app_pages/evaluation.py").run()
    for label, path in ((words.RUN_ARCHIVE, archive), (words.RUN_TRUTH_TABLE, truth)):
        field = next(field for field in at.file_uploader if field.label == label)
        field.upload(path.name, path.read_bytes(), "application/octet-stream").run()
        assert not at.exception
    next(entry for entry in at.button if entry.label.startswith("Locate ")).click().run()
    state = at.session_state["evaluation"]
    state.active_run.wait()
    at.run()
    assert not at.exception
    name = state.sets()[-1].name
    accuracy, coverage = rows(at, 0), rows(at, 2)

    result = CliRunner(env={"COLUMNS": "100"}).invoke(
        app, ["evaluate", "--photos", str(archive), "--truth", str(truth)]
    )
    assert result.exit_code == 0, result.output
    expected = printed_figures(result.stdout)
    shown = {answer: shown_figures(accuracy[f"{name}: {text}"]) for answer, text in NAMES.items()}
    print(f"\n{result.stdout}\nThe page:")
    for answer, text in NAMES.items():
        print(answer, accuracy[f"{name}: {text}"], sep="\t")
    for region, text in coverage.items():
        print(region, text, sep="\t")

    assert shown == expected
    assert len(expected["hierarchy"]) == 3 * len(THRESHOLDS_KM) + 2
    assert f"{len(state.sets()[-1].table):,} photos evaluated" in result.stdout
    for share in (50, 90):
        found = re.search(rf"^ *{share}% +({NUMBER})% \(.*?\) +(\S+) +(.+? km²)", result.stdout, re.MULTILINE)
        assert found
        percent, interval, area = found.groups()
        assert coverage[f"{share}%"].split() == [f"{percent}%", interval, *area.split()]
