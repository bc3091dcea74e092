import numpy as np
import pytest
import torch

from geo_model.cells import LEVELS
from geo_model.network import GeoNetwork
from train.calibration import Calibrated, Evidence
from train.export import baked_weights
from train.kind_gate import AWAY, HOME, Gate, fit_gate

COUNTS = (3, 5, 7)


def groups(count: int = 400, apart: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    away = torch.arange(count) % 8 == 0  # one in eight
    features = torch.randn(count, 6, generator=random)
    features[away, 0] += apart
    return features, away


def test_the_gate_is_the_posterior_of_two_gaussians():
    """Two unit Gaussians `a` apart, alike in number: log odds are a * x - a² / 2 along the difference."""
    features, away = groups(8000)
    gate = fit_gate(features, away, ridge=1e-6)
    slope = (gate.weight[AWAY] - gate.weight[HOME]).numpy()
    np.testing.assert_allclose(slope, [2, 0, 0, 0, 0, 0], atol=0.25)
    assert float(gate.bias[AWAY] - gate.bias[HOME]) == pytest.approx(-2, abs=0.25)
    torch.testing.assert_close(gate.centre, features[away].mean(dim=0))
    shares = gate.shares(features)
    assert shares.shape == (8000, 2)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(8000))


def test_a_ridge_makes_the_gate_less_sure():
    features, away = groups()
    sure, unsure = (fit_gate(features, away, ridge).shares(features)[:, AWAY] for ridge in (1e-4, 1.0))
    assert float(sure.std()) > 2 * float(unsure.std())


def test_a_gate_is_read_as_it_was_saved(tmp_path):
    gate = fit_gate(*groups(), ridge=0.01)
    gate.save(tmp_path / "gate.safetensors")
    again = Gate.read(tmp_path / "gate.safetensors")
    for name in ("weight", "bias", "centre"):
        assert torch.equal(getattr(gate, name), getattr(again, name))


@pytest.mark.parametrize("away_strength", [None, 0.3])
def test_the_exported_network_weighs_as_calibration_did(away_strength):
    """Heads with prior, standardisation, gate and strengths baked in give the logits of `Evidence.logits`."""
    torch.manual_seed(1)
    network = GeoNetwork("test_resnet", COUNTS)
    width = network.heads["fine"].weight.shape[1]
    gate = Gate(torch.randn(2, width), torch.randn(2), torch.randn(width))
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    state |= {"feature_mean": torch.randn(width), "feature_scale": 0.5 + torch.rand(width)}
    state |= {f"{level.value}_prior": torch.randn(count) for level, count in zip(LEVELS, COUNTS, strict=True)}
    pooled = torch.randn(4, width)
    standard = (pooled - state["feature_mean"]) / state["feature_scale"]
    evidence = Evidence(
        levels=tuple(part[:, None] for part in network.classify(standard)),
        priors=tuple(state[f"{level.value}_prior"] for level in LEVELS),
        classes=torch.zeros(4, 3, dtype=torch.int64),
        coordinates=np.zeros((4, 2)),
        kinds=np.array(["a"] * 4),
        away=gate.shares(standard)[:, None, AWAY],
        centres=tuple(part[0] for part in network.classify(gate.centre[None])),
    )
    calibrated = Calibrated(0.7, None, None, away_strength=away_strength)
    kept = gate if away_strength is not None else None
    exported = GeoNetwork("test_resnet", COUNTS, kinds=2 if kept else 0)
    exported.load_state_dict(baked_weights(state, calibrated, kept))
    for found, wanted in zip(exported.classify(pooled), evidence.logits(0.7, away_strength), strict=True):
        torch.testing.assert_close(found, wanted[:, 0], atol=2e-4, rtol=1e-4)


def test_photos_away_are_judged_by_what_sets_them_apart():
    """The average photo of the kinds away says nothing: its logits are the prior."""
    evidence = Evidence(
        levels=(torch.tensor([[[1.0, -2.0]]]),) * 3,
        priors=(torch.tensor([0.5, 0.25]),) * 3,
        classes=torch.zeros(1, 3, dtype=torch.int64),
        coordinates=np.zeros((1, 2)),
        kinds=np.array(["away"]),
        away=torch.ones(1, 1),
        centres=(torch.tensor([1.0, -2.0]),) * 3,
    )
    torch.testing.assert_close(evidence.logits(1.0, 0.5)[0][0, 0], evidence.priors[0])
    torch.testing.assert_close(evidence.logits(1.0)[0][0, 0], evidence.priors[0] + torch.tensor([1.0, -2.0]))
