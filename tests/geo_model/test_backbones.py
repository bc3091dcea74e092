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


@pytest.mark.parametrize(
    ("backbone", "features"),
    [
        ("mobilenetv3_small_050", 1024),  # these have a layer between the pooling and the heads
        ("mobilenetv4_conv_small", 1280),
        ("efficientvit_b0", 1280),
        ("inception_next_atto", 960),
        ("regnety_002", 368),
        ("levit_128s", 384),
        ("eva02_tiny_patch14_224", 192),
        ("convnextv2_atto", 320),
        ("gmlp_ti16_224", 128),
        ("tiny_vit_5m_224", 320),
    ],
)
def test_networks_of_many_kinds_give_logits(backbone, features):
    network = GeoNetwork(backbone, (5, 6, 7)).eval()
    assert network.feature_count == features
    with torch.inference_mode():
        assert [level.shape for level in network(torch.zeros(1, 3, 224, 224))] == [(1, 5), (1, 6), (1, 7)]


def test_what_crops_a_network_takes():
    for backbone, takes, refuses in (
        ("test_vit3", (160,), (96, 224)),
        ("test_resnet", (96, 160), ()),
        ("crossvit_9_240", (240, 224), ()),  # made for 240, and resizes others itself
    ):
        network = GeoNetwork(backbone, (5, 6, 7)).train()
        assert [network.takes(crop_px) for crop_px in takes] == [True] * len(takes)
        assert [network.takes(crop_px) for crop_px in refuses] == [False] * len(refuses)
        assert all(module.training for module in network.modules())


def test_a_network_with_a_layer_after_the_pooling_is_loaded_too(folder_of, sample_photos):
    folder, _ = folder_of("mobilenetv3_small_050")
    (prediction,) = geo_model.load(folder, device="cpu").predict(sample_photos[0])
    assert float(prediction.product.sum()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        (
            "deit_tiny_distilled_patch16_224",
            "cannot give the average of its features, which the heads need (The",
        ),
        ("pit_ti_224", "(Only token pooling (or none) is supported); choose one that can"),
        ("no_such_network", "is not a model of timm"),
    ],
)
def test_networks_that_cannot_are_refused_in_one_sentence(backbone, said):
    with pytest.raises(ModelFolderError) as raised:
        GeoNetwork(backbone, (5, 6, 7))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
