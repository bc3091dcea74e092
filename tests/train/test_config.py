from pathlib import Path

import pytest
import yaml

from geo_model.errors import ConfigError
from train.config import Devices, Trainable, digest, read_config
from train.module import learning_rate_factor

CONFIGS = Path(__file__).resolve().parents[2] / "train" / "configs"


def change(config: Path, key: str, value: object) -> Path:
    values = yaml.safe_load(config.read_text())
    place = values
    *parents, last = key.split(".")
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    config.write_text(yaml.safe_dump(values))
    return config


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_configuration_of_the_repository_can_be_read(path):
    config = read_config(path)
    assert config.name
    assert config.description


def test_there_is_a_configuration_of_the_bundled_model():
    assert (CONFIGS / "street_travel_lite2.yaml").is_file()


def test_the_papers_recipe_is_the_papers():
    config = read_config(CONFIGS / "base_m.yaml")
    assert config.backbone.name.startswith("resnet50")
    assert (config.backbone.weights, config.backbone.trainable.mode) == ("timm", "all")
    optimiser = config.optimiser
    assert (optimiser.name, optimiser.momentum) == ("sgd", 0.9)
    assert optimiser.lr_heads == optimiser.lr_backbone == 0.01
    assert optimiser.weight_decay == optimiser.weight_decay_backbone == 1e-4
    assert (config.training.epochs, config.training.batch_size) == (15, 128)
    assert (config.training.precision, config.labels.kind) == ("16-mixed", "hard")
    assert (config.augmentation.scale, config.augmentation.flip) == ((0.66, 1.0), 0.5)
    assert (config.input.resize_short_px, config.input.crop_px) == (256, 224)
    rates = [0.01 * learning_rate_factor(config.schedule, epoch, 15, 0.01) for epoch in range(15)]
    assert rates == pytest.approx([0.01] * 4 + [0.005] * 4 + [0.0025] * 4 + [0.00125, 0.000625, 0.0003125])


@pytest.mark.parametrize("name", ["base_m", "base_m_modern"])
def test_the_large_configurations_name_networks_that_there_are(name):
    import timm

    config = read_config(CONFIGS / f"{name}.yaml")
    assert timm.get_pretrained_cfg(config.backbone.name).hf_hub_id
    assert config.data.unreadable_photos == "skip"
    assert config.training.checkpoint_minutes > 0


@pytest.mark.parametrize(
    ("text", "devices"), [("auto", Devices()), ("2", Devices(2)), ("[0, 3]", Devices(None, (0, 3)))]
)
def test_devices_are_all_or_so_many_or_those(write_config, text, devices):
    config = read_config(write_config(), [f"hardware.devices={text}", "training.precision=32"])
    assert config.hardware.devices == devices
    assert yaml.safe_load(text) == config.hardware.devices.to_yaml()
    assert config.training.precision == "32"


def test_what_is_written_reads_back_the_same(write_config, tmp_path):
    config = read_config(
        write_config(
            labels={"sigma_km": [400, 300, 200]},
            backbone={"trainable": {"last_stages": 2}, "cached_views": 2},
            calibration={"kind_shares": {"built": 1}, "decodings": ["argmax", 500]},
        )
    )
    copy = tmp_path / "copy.yaml"
    copy.write_text(yaml.safe_dump(config.to_mapping()))
    assert read_config(copy) == config
    assert digest(read_config(copy)) == digest(config)
    assert config.labels.sigmas_km == (400.0, 300.0, 200.0)
    assert config.calibration.decodings == ("argmax", "500")
    assert config.backbone.trainable == Trainable("last_stages", 2)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("optimizer", {}, "optimizer: there is no such key; did you mean 'optimiser'?"),
        ("optimiser.lr", 0.1, "optimiser.lr: there is no such key; .*lr_heads, lr_backbone"),
        ("optimiser.name", "adam", "optimiser.name: 'adam' is not one of: adamw, sgd"),
        ("optimiser.lr_heads", -1, "optimiser.lr_heads: -1 is out of range; it must be above 0"),
        ("hardware.devices", 0, r"hardware\.devices: 0 is not one of: auto, how many \(1 or more\), a list"),
        ("hardware.devices", [0, 0], r"hardware\.devices: \[0, 0\] is not one of"),
        ("hardware.devices", "two", r"hardware\.devices: 'two' is not one of"),
        ("training.accumulate", 0, "training.accumulate: 0 is out of range; it must be at least 1"),
        ("data.gaps", "maybe", "data.gaps: 'maybe' is not one of: refuse, allow"),
        ("optimiser.lr_heads", "fast", "optimiser.lr_heads: 'fast' is not a number"),
        ("optimiser.lr_heads", float("nan"), "optimiser.lr_heads: nan is not a number"),
        ("optimiser.lr_heads", float("inf"), "optimiser.lr_heads: inf is not a number"),
        ("training.epochs", 1.5, "training.epochs: 1.5 is not a whole number"),
        ("training.epochs", float("inf"), "training.epochs: inf is not a whole number"),
        ("training.epochs", 0, "training.epochs: 0 is out of range; it must be at least 1"),
        ("training.epochs", True, "training.epochs: True is not a whole number"),
        ("training.precision", "8", "training.precision: '8' is not one of: 32, bf16-mixed, 16-mixed"),
        ("training.channels_last", "maybe", "training.channels_last: 'maybe' is neither true nor false"),
        ("augmentation.scale", [0.9, 0.3], r"augmentation: scale is \[0.9, 0.3\]; the first number"),
        ("augmentation.scale", 0.3, "augmentation.scale: 0.3 stands where a list belongs"),
        ("augmentation.scale", [0.3], "augmentation.scale: it has 1 entries and takes 2"),
        ("augmentation.scale", [0.3, 2], "augmentation.scale.1: 2 is out of range"),
        ("backbone.trainable", "some", "backbone.trainable: 'some' is not one of: none, all"),
        ("backbone.trainable", {"last_stages": 0}, "backbone.trainable: .* with k above 0"),
        ("backbone", {"trainable": "all", "cached_views": 2}, "backbone: cached_views keeps the output"),
        ("input.crop_px", 512, "input: resize_short_px is 72, less than crop_px, which is 512"),
        ("labels.sigma_km", [1, 2], "labels: sigma_km has 2 numbers"),
        ("labels", "soft", "labels: 'soft' stands where a mapping of kind, kernel, sigma_km belongs"),
        ("data.train", [], "data: train names no tars"),
        ("data.train", [{"weight": 1}], "data.train.0.tars: this key is missing"),
        ("data.kind_weights", {"street": -1}, "data.kind_weights.street: -1 is out of range"),
        ("data.kind_weights", [1], "data.kind_weights: .* stands where a mapping belongs"),
        ("calibration.decodings", ["best"], "calibration: decodings has 'best'"),
        ("calibration.evidence_strengths", [], "calibration: evidence_strengths, decodings and metrics need"),
        ("name", ["a"], "name: .* stands where text belongs"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_is_allowed(write_config, key, value, says):
    with pytest.raises(ConfigError, match=says) as caught:
        read_config(change(write_config(), key, value))
    assert "config.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_overrides_change_keys_and_list_entries(write_config):
    config = read_config(
        write_config(),
        [
            "training.epochs=7",
            "data.train.0.weight=2.5",
            "head.dropout=1e-1",
            "backbone.trainable={last_stages: 1}",
        ],
    )
    assert config.training.epochs == 7
    assert config.data.train[0].weight == 2.5
    assert config.head.dropout == 0.1
    assert config.backbone.trainable.last_stages == 1


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("epochs", "write it as key=value"),
        ("data.train.5.weight=1", "leads nowhere"),
        ("data.train.x=1", "leads nowhere"),
        ("training.epochs=[", "not YAML"),
        ("training.epoch=3", "did you mean 'epochs'"),
    ],
)
def test_a_wrong_override_is_one_sentence(write_config, override, says):
    with pytest.raises(ConfigError, match=says):
        read_config(write_config(), [override])


def test_a_file_that_is_no_configuration_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "missing.yaml")
    path = tmp_path / "config.yaml"
    for content, says in (
        (b"a: [", "not YAML"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"- a\n", "holds no keys"),
        (b"", "holds no"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=says):
            read_config(path)
