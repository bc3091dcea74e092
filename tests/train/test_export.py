import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

import geo_model
from geo_model.cells import LEVELS
from geo_model.errors import ConfigError
from geo_model.model_folder import read_model_folder
from train.cli import app
from train.config import read_config
from train.export import TestSet as Photos
from train.export import baked_weights, export, read_run
from train.fit import fit
from train.model_card import DEFAULT_TEMPLATE


@contextlib.contextmanager
def no_bar(title: str, total: int):
    yield lambda count: None


@pytest.fixture
def finished(write_config) -> Path:
    config = write_config(
        backbone={"name": "test_efficientnet", "weights": "none", "trainable": "none", "cached_views": 2},
        optimiser={"lr_heads": 0.05},
        training={"epochs": 3, "batch_size": 12},
        calibration={"evidence_strengths": [0.6], "decodings": ["1000"], "coverage_target": 0.8},
    )
    return fit(read_config(config), console=Console(file=io.StringIO()))


def test_an_exported_model_reaches_what_was_calibrated(finished, tmp_path, tiny_data, sample_photos):
    spec = export(finished, tmp_path / "model", progress=no_bar)
    calibration = json.loads((finished / "calibration.json").read_text())
    measured = spec.accuracy[tiny_data.name]
    assert measured["photos"] == 9
    assert measured["role"] == "validation"
    shares = [at["share"] for at in measured["answers"]["hierarchy"]["accuracy"]]
    expected = [calibration["figures"]["all"][f"accuracy_{km}"] for km in (1, 25, 200, 750, 2500)]
    assert shares == pytest.approx(expected, abs=0.12)  # float16 weights may move one photo of nine
    assert spec.decoding.rule == "mass"
    assert spec.decoding.radius_km == 1000
    assert spec.temperature.hierarchy == pytest.approx(calibration["temperature"]["hierarchy"])

    folder = read_model_folder(tmp_path / "model")
    assert folder.spec == spec or folder.spec.to_json() == spec.to_json()
    assert folder.state_dict["heads.fine.weight"].dtype == torch.float16
    assert folder.hierarchy.sizes == spec.class_counts

    model = geo_model.load(tmp_path / "model", device="cpu")
    assert np.isclose(model.predict([sample_photos[0]])[0].product.sum(), 1, atol=1e-4)


@pytest.mark.parametrize("cached_views", [0, 2])
def test_kinds_weighed_apart_reach_the_exported_model(write_config, tmp_path, tiny_data, cached_views):
    config = write_config(
        backbone={
            "name": "test_efficientnet",
            "weights": "none",
            "trainable": "none",
            "cached_views": cached_views,
        },
        training={"epochs": 1, "batch_size": 12},
        calibration={
            "evidence_strengths": [0.6],
            "away": {"kinds": ["wild"], "strengths": [0.2, 0.3]},
            "decodings": ["argmax"],
        },
    )
    finished = fit(read_config(config), console=Console(file=io.StringIO()))
    calibration = json.loads((finished / "calibration.json").read_text())
    assert calibration["away_strength"] in (0.2, 0.3)
    assert len(calibration["candidates"]) == 2
    spec = export(finished, tmp_path / "model", progress=no_bar)
    assert spec.photo_kinds == ("built", "wild")
    assert "Photos that look like wild are located by what sets them apart" in (
        tmp_path / "model" / "MODEL_CARD.md"
    ).read_text(encoding="utf-8").replace("\n", " ")
    model = geo_model.load(tmp_path / "model", device="cpu", precision="float32")
    assert model.network.kinds is not None
    strengths = [0.6, calibration["away_strength"]]
    assert model.network.kinds.strengths.tolist() == pytest.approx(strengths, rel=1e-3)
    shares = [at["share"] for at in spec.accuracy[tiny_data.name]["answers"]["hierarchy"]["accuracy"]]
    expected = [calibration["figures"]["all"][f"accuracy_{km}"] for km in (1, 25, 200, 750, 2500)]
    assert shares == pytest.approx(expected, abs=0.12)


def test_strength_prior_and_standardisation_are_in_the_weights(finished):
    run = read_run(finished)
    state = run.checkpoint["state_dict"]
    features = torch.rand(3, state["network.heads.fine.weight"].shape[1])
    standard = (features - state["feature_mean"]) / state["feature_scale"]
    assert not torch.equal(state["feature_scale"], torch.ones_like(state["feature_scale"]))
    baked = baked_weights(state, replace(run.calibrated, evidence_strength=0.3))
    for level in LEVELS:
        head = f"network.heads.{level.value}"
        evidence = standard @ state[f"{head}.weight"].T + state[f"{head}.bias"]
        wanted = state[f"{level.value}_prior"] + 0.3 * evidence
        found = features @ baked[f"heads.{level.value}.weight"].T + baked[f"heads.{level.value}.bias"]
        assert torch.allclose(found, wanted, atol=1e-4)
        assert state[f"{level.value}_prior"].exp().sum() == pytest.approx(1, rel=1e-5)


def test_the_card_says_what_matters(finished, tmp_path, tiny_data):
    test = Photos.parse(f"never seen={tiny_data / 'train-1.tar'}")
    spec = export(finished, tmp_path / "model", name="renamed", tests=[test], progress=no_bar)
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert card.startswith("# renamed\n")
    assert "| built | 24 | 6 |" in card
    assert "| all | 36 | 9 |" in card
    assert "### never seen" in card
    assert "never trained or tuned on" in card
    command = (
        f"python -m geo_model evaluate --photos {tiny_data / 'train-1.tar'} --model {tmp_path / 'model'}"
    )
    assert f"{command} --precision float32" in card
    assert "What it must not be used for" in card
    assert "How to get a better one" in card
    assert "strength 0.6" in card
    best = 100 * spec.accuracy["never seen"]["answers"]["hierarchy"]["accuracy"][4]["share"]
    assert f"{best:.1f} (" in card
    record = json.loads((tmp_path / "model" / "model.json").read_text())
    assert record["training"]["config"]["backbone"]["name"] == "test_efficientnet"
    assert record["training"]["photos"]["train"]["kinds"] == {"built": 24, "wild": 12}
    assert record["accuracy"].keys() == {tiny_data.name, "never seen"}


def test_a_template_of_ones_own(finished, tmp_path):
    export(finished, tmp_path / "a", template="$name costs 5$$", measure_validation=False, progress=no_bar)
    assert (tmp_path / "a" / "MODEL_CARD.md").read_text() == "tiny costs 5$"
    for template, says in (
        ("$nmae", "nmae is no placeholder; known: .name"),
        ("100$", "a dollar sign alone"),
    ):
        with pytest.raises(ConfigError, match=says):
            export(finished, tmp_path / "b", template=template, measure_validation=False, progress=no_bar)
    assert not (tmp_path / "b").exists()
    assert "$figures" in DEFAULT_TEMPLATE


def test_what_cannot_be_exported_is_one_sentence(finished, tmp_path):
    with pytest.raises(ConfigError, match="this is no run folder"):
        export(tmp_path, tmp_path / "model", progress=no_bar)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="it holds other files"):
        export(finished, tmp_path / "other", progress=no_bar)
    (finished / "calibration.json").unlink()
    with pytest.raises(ConfigError, match=r"calibration\.json is missing, the run is not finished"):
        export(finished, tmp_path / "model", progress=no_bar)


@pytest.mark.parametrize(
    "text", ["photos.tar", "=photos.tar", "name=", "name=nowhere.tar", "name=/,nowhere.csv"]
)
def test_a_wrong_test_set_is_one_sentence(text):
    with pytest.raises(ConfigError, match="--test"):
        Photos.parse(text)


def test_the_commands_go_from_a_configuration_to_a_model_folder(write_config, tmp_path):
    config = write_config(training={"epochs": 1, "batch_size": 12})
    runner = CliRunner()
    result = runner.invoke(app, ["fit", str(config), "--set", "seed=2", "--set", "training.batch_size=18"])
    assert result.exit_code == 0, result.output
    assert f"python -m train export {tmp_path / 'run'}" in result.output
    assert read_config(tmp_path / "run" / "config.yaml").seed == 2
    result = runner.invoke(app, ["export", str(tmp_path / "run"), str(tmp_path / "model"), "--no-validation"])
    assert result.exit_code == 0, result.output
    assert "MB." in result.output
    assert geo_model.load(tmp_path / "model").spec.name == "tiny"


def test_the_commands_end_with_one_sentence_and_code_1(write_config, tmp_path, capsys, monkeypatch):
    from train.cli import main

    config = write_config(data={"train": [{"tars": "gone/*.tar"}], "val": [{"tars": "gone/*.tar"}]})
    for arguments, says in (
        (["fit", str(config)], "data.train.0.tars: no file matches 'gone/*.tar'"),
        (["fit", str(tmp_path / "none.yaml")], "cannot be read"),
        (["fit", str(config), "--set", "seed=x"], "seed: 'x' is not a whole number"),
        (["export", str(tmp_path), str(tmp_path / "model")], "this is no run folder"),
    ):
        monkeypatch.setattr("sys.argv", ["train", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 1
        said = capsys.readouterr().err
        assert says in said
        assert "Traceback" not in said
        assert len(said.strip().splitlines()) == 1
