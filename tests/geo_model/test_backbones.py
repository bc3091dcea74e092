"""Any timm network with our heads: a ResNet, a transformer and a ConvNeXt load and locate a photo."""

from dataclasses import replace

import pytest
import torch

import geo_model
from geo_model import CropRule
from geo_model.errors import ModelFolderError
from geo_model.model_folder import read_hierarchy, read_spec, write_model_folder
from geo_model.network import GeoNetwork

IMAGENET = CropRule(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture
def folder_of(tiny_model_folder, tmp_path):
    """Writes a model folder with random weights and gives it with the network that it holds."""

    def write(backbone, rule=IMAGENET):
        tiny = read_spec(tiny_model_folder)
        hierarchy = read_hierarchy(tiny_model_folder, tiny)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = GeoNetwork(backbone, hierarchy.sizes).eval()
        spec = replace(tiny, name=backbone, backbone=backbone, crop_rule=rule)
        folder = tmp_path / backbone
        write_model_folder(folder, spec, hierarchy, network.state_dict(), "# Random\n", torch.float32)
        return folder, network

    return write


@pytest.mark.parametrize(
    ("backbone", "features"), [("resnet50", 2048), ("vit_small_patch16_224", 384), ("convnext_tiny", 768)]
)
def test_it_loads_and_locates(folder_of, sample_photos, backbone, features):
    folder, network = folder_of(backbone)
    model = geo_model.load(folder, device="cpu", precision="float32")
    assert model.network.backbone.num_features == features
    crops = torch.randint(0, 256, (1, 1, 3, 224, 224), dtype=torch.uint8)
    pixels = geo_model.crops.normalise(crops[0], IMAGENET)
    with torch.inference_mode():
        assert model.network.features(pixels).shape == (1, features)
        for new, old in zip(model.logits(crops), network(pixels), strict=True):
            torch.testing.assert_close(new[0], old, rtol=1e-4, atol=1e-4)
    (prediction,) = model.predict(sample_photos[0], batch_size=1)
    assert float(prediction.product.sum()) == pytest.approx(1, abs=1e-4)
    assert prediction.product.shape == (model.spec.class_counts[2],)
    assert -90 <= prediction.latitude <= 90


def test_crops_that_a_transformer_does_not_take_are_refused_at_load(folder_of):
    folder, _ = folder_of("vit_small_patch16_224", replace(IMAGENET, crop_px=192))
    with pytest.raises(ModelFolderError, match=r"crop_px is 192 .* takes only 224"):
        geo_model.load(folder, device="cpu")
