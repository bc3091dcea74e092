"""The prediction benchmark runs and computes its ratios; how fast, no test asks."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("prediction_speed.py")


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("prediction_speed", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the script adds to it
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "USUAL_BACKBONE", "test_efficientnet")
    monkeypatch.setattr(module, "PHOTOS_OF_MEMORY", (2, 4))
    monkeypatch.setattr(module, "STARTS", 1)
    monkeypatch.setattr(module, "CHECK_DATA", Path("no-such.tar"))
    return module


def settings(tiny_model_folder):
    values = {
        "photos": None,
        "count": 6,
        "device": "cpu",
        "precision": "float32",
        "model": str(tiny_model_folder),
        "only": None,
    }
    return argparse.Namespace(**values)


def test_it_measures_every_ratio_and_compares_the_answers(script, tiny_model_folder):
    said: list[str] = []
    result = script.measure(settings(tiny_model_folder), said.append)
    text = "\n".join(said)
    assert "6 photos: the 3 samples of the repository repeated, as the optional check data" in text
    for name in ("limit test_efficientnet", "usual", "after"):
        found = result[name]
        assert 0 < found["lowest"] <= found["ratio"] <= found["highest"]
        assert found["processor_ratio"] > 0
    assert result["usual"]["differing"] == result["usual"]["differing_float32"] == 0
    assert result["usual"]["distinct_answers"] > 1
    assert 0 < result["start"]["import_share"] < 1
    assert result["start"]["whole"] == pytest.approx(sum(result["start"][step] for step in script.STEPS))
    assert result["memory"]["ratio"] == result["memory"]["many"] / result["memory"]["few"]
    for heading in ("Against the limit", "Against the usual way", "After the network", "Start", "Memory"):
        assert f"\n{heading}" in text


def test_ratios_are_medians_of_pairs(script):
    slower, faster = [(2.0, 3.0), (9.0, 3.0), (4.0, 3.0)], [(1.0, 1.0), (3.0, 1.0), (1.0, 2.0)]
    assert script.ratio(slower, faster) == {"ratio": 3, "lowest": 2, "highest": 4, "processor_ratio": 3}


def test_the_usual_way_runs_as_if_geo_model_had_set_nothing(script, tiny_model_folder, monkeypatch):
    import prediction_usual_way

    import geo_model

    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "1")
    photos, _ = script.read_photos(None, 4)
    model = geo_model.load(tiny_model_folder, device="cpu", precision="float32")
    compared = prediction_usual_way.comparison(model, photos, "test_efficientnet")
    own = compared.model(model.dtype)
    for switch in (None, "0"):
        with prediction_usual_way.InItsOwnProcess(compared, switch) as usual_way:
            clock, used, answers = usual_way(photos)
            environment = Path(f"/proc/{usual_way.process.pid}/environ")
            if environment.exists():
                entries = environment.read_bytes().split(b"\0")
                found = [entry for entry in entries if entry.startswith(b"THP_MEM_ALLOC_ENABLE=")]
                assert found == ([] if switch is None else [b"THP_MEM_ALLOC_ENABLE=0"])
        assert usual_way.process.exitcode == 0
        assert clock > 0
        assert used > 0
        assert [index for index, _, _ in answers] == [p.class_index for p in own.predict(photos)]
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"


def test_another_answer_is_counted(script, tiny_model_folder, monkeypatch):
    import prediction_usual_way

    import geo_model

    photos, _ = script.read_photos(None, 6)
    model = geo_model.load(tiny_model_folder, device="cpu", precision="float32")
    right = prediction_usual_way.InItsOwnProcess.__call__

    def first_wrong(self, photos):
        clock, used, ((index, *place), *others) = right(self, photos)
        return clock, used, [(index + 1, *place), *others]

    monkeypatch.setattr(prediction_usual_way.InItsOwnProcess, "__call__", first_wrong)
    compared = prediction_usual_way.comparison(model, photos, "test_efficientnet")
    result = script.against_the_usual_way(compared, model.dtype, photos, lambda text: None)
    assert result["differing"] == pytest.approx(2 / 6)  # the first of each half
