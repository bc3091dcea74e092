"""Folding changes how a network computes, and not what."""

import timm
import torch
from torch import nn

from geo_model.folding import folded


def realistic(network):
    """Batch statistics that are not 0 and 1, so that leaving a normalisation out would show."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            count = module.num_features
            module.running_mean.copy_(torch.randn(count, generator=generator) / 4)
            module.running_var.copy_(torch.rand(count, generator=generator) + 0.5)
            with torch.no_grad():
                module.weight.copy_(torch.rand(count, generator=generator) + 0.5)
                module.bias.copy_(torch.randn(count, generator=generator) / 4)
    return network.eval()


def normalisations(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def same(one, other, pixels):
    with torch.inference_mode():
        expected = one(pixels)
        largest = float(expected.abs().max())
        torch.testing.assert_close(other(pixels), expected, rtol=1e-3, atol=1e-4 * largest)


def test_networks_of_timm_lose_every_normalisation_and_nothing_else():
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    for name in ("resnet18", "tf_efficientnet_lite0", "test_efficientnet"):
        network = realistic(timm.create_model(name, num_classes=0))
        before = {key: value.clone() for key, value in network.state_dict().items()}
        fast = folded(network, 96)
        assert normalisations(network) > 0
        assert normalisations(fast) == 0
        same(network, fast, pixels)
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_network_without_batch_normalisation_is_the_same_object():
    network = timm.create_model("test_vit", num_classes=0).eval()
    assert folded(network, 160) is network


class Unusual(nn.Module):
    """Uses what a convolution made twice, once before and once after its normalisation."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, pixels):
        raw = self.first(pixels)
        return self.norm(raw) + raw


class Shared(nn.Module):
    """Uses one convolution with two normalisations."""

    def __init__(self):
        super().__init__()
        self.conv, self.one, self.other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, pixels):
        return self.other(self.conv(self.one(self.conv(pixels))))


def test_layers_used_otherwise_than_in_a_row_are_left_as_they_are():
    for network in (realistic(Unusual()), realistic(Shared())):
        assert folded(network, 16) is network
