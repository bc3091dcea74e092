"""Every part of a model folder missing, damaged or of another model gives one sentence naming it."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import geo_model
from geo_model.errors import ModelFolderError
from geo_model.model_folder import (
    DEFAULT_MODEL,
    bundled_models,
    find_model,
    read_model_folder,
    read_spec,
    write_model_folder,
)


@pytest.fixture
def folder(tiny_model_folder, tmp_path):
    return shutil.copytree(tiny_model_folder, tmp_path / "model")


def refused(folder):
    with pytest.raises(ModelFolderError) as caught:
        geo_model.load(folder, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_round_trip(folder, tmp_path):
    first = read_model_folder(folder)
    write_model_folder(tmp_path / "copy", first.spec, first.hierarchy, first.state_dict, "# Card\n")
    second = read_model_folder(tmp_path / "copy")
    assert second.spec == first.spec
    assert second.hierarchy.fine.tokens == first.hierarchy.fine.tokens
    for name, tensor in first.state_dict.items():
        torch.testing.assert_close(second.state_dict[name], tensor, rtol=1e-3, atol=1e-3, check_dtype=False)


@pytest.mark.parametrize(
    "part", ["model.safetensors", "model.json", "coarse.csv", "middle.csv", "fine.csv", "MODEL_CARD.md"]
)
def test_missing_part(folder, part):
    (folder / part).unlink()
    assert part in refused(folder)


def test_missing_folder(tmp_path):
    with pytest.raises(ModelFolderError, match="no such model folder"):
        read_spec(tmp_path / "none")
    with pytest.raises(ModelFolderError, match=rf"no-such-model.*{DEFAULT_MODEL}"):
        find_model("no-such-model")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda spec: spec.pop("backbone"), "'backbone' is missing"),
        (lambda spec: spec.update(backbone="resnet_five"), "resnet_five"),
        (lambda spec: spec.update(colour="red"), "'colour' is unknown"),
        (lambda spec: spec.update(format=99), "format is 99"),
        (lambda spec: spec.update(class_counts=[1, 2]), "class_counts"),
        (lambda spec: spec["class_counts"].__setitem__(0, 12345), "12345"),
        (lambda spec: spec.update(temperature={"fine": 0}), "temperature fine is 0"),
        (lambda spec: spec.update(temperature={"hot": 1}), "wrong shape"),
        (lambda spec: spec.update(decoding={"rule": "guess"}), "guess"),
        (lambda spec: spec.update(crops="median"), "median"),
        (lambda spec: spec.update(backbone="test_vit"), "backbone 'test_vit'"),
    ],
)
def test_damaged_spec(folder, change, said):
    spec = json.loads((folder / "model.json").read_text())
    change(spec)
    (folder / "model.json").write_text(json.dumps(spec))
    assert said in refused(folder)


def test_spec_that_is_no_json(folder):
    (folder / "model.json").write_text("{")
    assert "model.json" in refused(folder)
    (folder / "model.json").write_bytes(b"\xff\xfe\x00")
    assert "model.json" in refused(folder)


def test_truncated_weights(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "weights are damaged" in refused(folder)


def test_a_pickle_is_not_opened(folder):
    torch.save({"heads.coarse.bias": torch.zeros(3)}, folder / "model.safetensors")
    assert "weights are damaged" in refused(folder)


def test_mismatching_weights(folder):
    weights = load_file(folder / "model.safetensors")
    taken = weights.pop("heads.fine.bias")
    save_file(weights, folder / "model.safetensors")
    assert "lack heads.fine.bias" in refused(folder)
    save_file({**weights, "heads.fine.bias": taken[:-1].clone()}, folder / "model.safetensors")
    assert "heads.fine.bias has shape" in refused(folder)
    save_file({**weights, "heads.fine.bias": taken, "extra": taken.clone()}, folder / "model.safetensors")
    assert "hold extra" in refused(folder)


def test_partitionings_that_do_not_nest(folder):
    shutil.copy(folder / "fine.csv", folder / "kept.csv")
    lines = (folder / "coarse.csv").read_text().splitlines()
    spec = json.loads((folder / "model.json").read_text())
    spec["class_counts"][0] -= 1
    (folder / "model.json").write_text(json.dumps(spec))
    (folder / "coarse.csv").write_text("\n".join(lines[:-1]) + "\n")
    message = refused(folder)
    assert any(token in message for token in (folder / "fine.csv").read_text().replace("\n", ",").split(","))


def test_weights_that_float16_cannot_hold(folder, tmp_path):
    content = read_model_folder(folder)
    bias = torch.full(content.state_dict["heads.fine.bias"].shape, 1e9)
    weights = {**content.state_dict, "heads.fine.bias": bias}
    with pytest.raises(ModelFolderError, match=r"heads\.fine\.bias is not finite"):
        write_model_folder(tmp_path / "hot", content.spec, content.hierarchy, weights, "card")


def test_models_of_the_environment_are_found(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("GEO_MODEL_PATH", str(folder.parent))
    assert find_model("model") == folder


def test_bundled_model_is_found_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = find_model()
    assert path in bundled_models()
    assert sum(file.stat().st_size for file in path.iterdir()) <= 30_000_000
    assert read_spec(path).name == DEFAULT_MODEL
