import pytest
import torch

from geo_model.errors import ConfigError
from geo_model.network import GeoNetwork
from train.config import Trainable
from train.stages import CutBackbone, stages_of


def cut(name: str, trainable: Trainable, crop_px: int = 64, freeze: bool = False) -> CutBackbone:
    torch.manual_seed(0)
    return CutBackbone(GeoNetwork(name, (2, 3, 4)).backbone, trainable, freeze, crop_px)


@pytest.mark.parametrize(
    "name",
    [
        "test_efficientnet",
        "test_resnet",
        "test_convnext",
        "test_mambaout",
        "mobilenetv3_small_050",
        "regnetx_002",
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_front_and_tail_are_the_backbone(name, count):
    parts = cut(name, Trainable("last_stages", count))
    parts.train(False)
    crops = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = parts.backbone(crops)
        assert torch.allclose(parts.tail(parts.front(crops)), expected, atol=1e-5)
    assert expected.std() > 0


def test_every_parameter_after_the_cut_learns_and_none_before():
    parts = cut("mobilenetv3_small_050", Trainable("last_stages", 2))
    learning = {
        name.split(".")[0] + "." + name.split(".")[1]
        for name, p in parts.backbone.named_parameters()
        if p.requires_grad
    }
    assert {name for name in learning if name.startswith("blocks.")} == {"blocks.4", "blocks.5"}
    assert "conv_head.weight" in learning  # it runs after the pooling in this network
    assert "conv_stem.weight" not in learning
    parts.tail(parts.front(torch.rand(2, 3, 64, 64))).sum().backward()
    for name, parameter in parts.backbone.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize("trainable", [Trainable("none"), Trainable("all")])
def test_all_and_none_need_no_stages(trainable):
    parts = cut("test_vit", trainable, crop_px=160)
    crops = torch.rand(1, 3, 160, 160)
    parts.train(False)
    assert torch.allclose(parts.tail(parts.front(crops)), parts.backbone(crops), atol=1e-6)
    assert all(p.requires_grad == (trainable.mode == "all") for p in parts.backbone.parameters())


def test_batch_normalisation_of_the_frozen_part_keeps_its_statistics():
    for freeze in (False, True):
        parts = cut("test_efficientnet", Trainable("last_stages", 1), freeze=freeze)
        before = {name: value.clone() for name, value in parts.backbone.named_buffers()}
        parts.train(True)
        parts.tail(parts.front(torch.rand(4, 3, 64, 64)))
        moved = {
            name for name, value in parts.backbone.named_buffers() if not torch.equal(value, before[name])
        }
        if freeze:
            assert not moved
        else:
            assert moved
            assert all(name.startswith(("blocks.4.", "bn2.")) for name in moved)


def test_more_stages_than_there_are_is_one_sentence():
    with pytest.raises(ConfigError, match="has 5 stages and last_stages is 5; give 1 to 4, or use all"):
        cut("test_efficientnet", Trainable("last_stages", 5))


def test_a_backbone_that_cannot_be_cut_says_so():
    parts = GeoNetwork("test_efficientnet", (2, 3, 4)).backbone
    through = parts.forward_features

    def residual(crops):
        return through(crops) + crops.mean()

    parts.forward_features = residual
    with pytest.raises(ConfigError, match="cannot be cut between its stages"):
        CutBackbone(parts, Trainable("last_stages", 1), False, 64)


def test_stages_are_found_by_name():
    assert len(stages_of(GeoNetwork("test_resnet", (2, 3, 4)).backbone)) == 4
    assert stages_of(torch.nn.Sequential(torch.nn.Linear(2, 2))) == []
