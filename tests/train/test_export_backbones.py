"""Any timm network with our heads: trained, exported, loaded and run, from random weights."""

import contextlib
import io
import tarfile

import pytest
import torch
from rich.console import Console

import geo_model
from geo_model.crops import five_crop, normalise
from geo_model.errors import ConfigError
from geo_model.images import read_image
from geo_model.network import GeoNetwork
from train.config import read_config
from train.export import baked_weights, export, read_run
from train.fit import fit


@contextlib.contextmanager
def no_bar(title: str, total: int):
    yield lambda count: None


@pytest.fixture
def few_photos(tiny_data, tmp_path):
    """Tars of three photos each, for a transformer at its full size takes a while for each."""

    def first_three(name):
        with tarfile.open(tiny_data / name) as whole, tarfile.open(tmp_path / name, "w") as few:
            for member in whole.getmembers()[:6]:  # a photo is a JPEG and a JSON
                few.addfile(member, whole.extractfile(member))
        return [{"tars": str(tmp_path / name)}]

    return {"train": first_three("train-1.tar"), "val": first_three("val.tar")}


@pytest.mark.parametrize(
    ("backbone", "features", "crop_px"),
    [("resnet50", 2048, 64), ("vit_small_patch16_224", 384, 224), ("convnext_tiny", 768, 64)],
)
def test_what_was_trained_loads_and_locates(
    write_config, few_photos, tmp_path, sample_photos, backbone, features, crop_px
):
    config = write_config(
        data=few_photos,
        backbone={"name": backbone, "weights": "none", "trainable": "none", "cached_views": 1},
        input={"resize_short_px": crop_px + 8, "crop_px": crop_px},
        training={"epochs": 1, "batch_size": 3},
        calibration={"evidence_strengths": [0.6], "decodings": ["argmax"]},
    )
    finished = fit(read_config(config), console=Console(file=io.StringIO()))
    spec = export(finished, tmp_path / "model", measure_validation=False, progress=no_bar)
    assert spec.backbone == backbone
    model = geo_model.load(tmp_path / "model", device="cpu", precision="float32")
    assert model.network.backbone.num_features == features

    run = read_run(finished)
    trained = GeoNetwork(backbone, spec.class_counts).eval()
    trained.load_state_dict(baked_weights(run.checkpoint["state_dict"], run.calibrated))
    crops = five_crop(read_image(sample_photos[0]), spec.crop_rule)[:1]
    with torch.inference_mode():
        expected = trained(normalise(crops, spec.crop_rule))
        for new, old in zip(model.logits(crops[None]), expected, strict=True):
            torch.testing.assert_close(new[0], old, rtol=0.02, atol=0.02)  # stored in float16
    (prediction,) = model.predict(sample_photos[0])
    assert float(prediction.product.sum()) == pytest.approx(1, abs=1e-4)
    assert prediction.product.shape == (spec.class_counts[2],)


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ("test_vit3", "input.crop_px is 64 and backbone test_vit3 takes only 160; write crop_px: 160"),
        (
            "deit_tiny_distilled_patch16_224",
            "backbone.name: backbone 'deit_tiny_distilled_",
        ),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(write_config, backbone, said):
    config = write_config(backbone={"name": backbone, "weights": "none", "trainable": "none"})
    with pytest.raises(ConfigError) as raised:
        fit(read_config(config), console=Console(file=io.StringIO()))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
