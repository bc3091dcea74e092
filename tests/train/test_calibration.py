import numpy as np
import pytest
import torch

from geo_model import cell_geometry, s2
from geo_model.cells import LEVELS, Hierarchy, Partitioning
from geo_model.decoding import Decoding, Temperature, credible_regions
from geo_model.sphere import great_circle_km
from train.calibration import Calibrated, Evidence, calibrate, decode, photo_weights, steps, weighted_nll
from train.config import Calibration

CROPS = 2


@pytest.fixture(scope="module")
def hierarchy() -> Hierarchy:
    grid = np.stack(np.meshgrid(np.arange(-89, 90, 2.0), np.arange(-179, 180, 2.0)), axis=-1).reshape(-1, 2)
    partitionings = []
    for level in (1, 2, 3):
        ids = np.unique(s2.cell_ids(grid[:, 0], grid[:, 1], level))
        latitudes, longitudes, _ = cell_geometry.centres(ids)
        partitionings.append(
            Partitioning(str(level), ids, 1 + np.arange(len(ids)) % 9, latitudes, longitudes)
        )
    return Hierarchy.build(*partitionings)


def evidence_of(hierarchy: Hierarchy, count: int, sharpness: float, honest: float, seed: int = 0) -> Evidence:
    """Photos whose logits, divided by `sharpness`, are right as often as they say times `honest`."""
    random = np.random.default_rng(seed)
    fine = random.integers(len(hierarchy.fine), size=count)
    coordinates = np.stack([hierarchy.fine.latitudes[fine], hierarchy.fine.longitudes[fine]], axis=1)
    classes = hierarchy.ancestors[fine]
    levels = []
    for column, level in enumerate(LEVELS):
        size = len(hierarchy[level])
        # Gaussian scores: the posterior of the class given the scores is softmax(scores), exactly.
        scores = random.normal(0, 1, (count, size)) * 2.0
        scores[np.arange(count), classes[:, column]] += 4.0 * honest
        levels.append(torch.from_numpy((sharpness * scores).astype(np.float32))[:, None].repeat(1, CROPS, 1))
    return Evidence(
        levels=tuple(levels),
        priors=tuple(torch.zeros(size) for size in hierarchy.sizes),
        classes=torch.from_numpy(classes.copy()),
        coordinates=coordinates,
        kinds=np.array(["a", "b"])[np.arange(count) % 2],
    )


def test_the_temperature_of_each_level_undoes_overconfidence(hierarchy):
    """Scores s ~ N(0, 2²), + 4 at the truth: the likelihood ratio is exp(s), so softmax(s) is calibrated."""
    evidence = evidence_of(hierarchy, 3000, sharpness=3.0, honest=1.0)
    found = calibrate(evidence, hierarchy, Calibration(decodings=("argmax",))).temperature
    assert found.of_levels == pytest.approx((3.0, 3.0, 3.0), rel=0.08)


def test_the_strength_that_suits_the_evidence_is_chosen(hierarchy):
    """With temperatures left alone, evidence three times too strong needs a strength of a third."""
    evidence = evidence_of(hierarchy, 1500, sharpness=3.0, honest=1.0)
    settings = Calibration(
        evidence_strengths=(1.0, 0.7, 0.33, 0.1),
        temperatures="one",
        hierarchy_temperature="one",
        metrics=("nll",),
        decodings=("argmax", "1000"),
    )
    found = calibrate(evidence, hierarchy, settings)
    assert found.evidence_strength == 0.33
    assert len(found.candidates) == steps(settings) == 8
    assert found.temperature == Temperature()
    tempered = calibrate(evidence, hierarchy, Calibration(hierarchy_temperature="nll", decodings=("argmax",)))
    assert tempered.temperature.hierarchy == pytest.approx(1, rel=0.1)  # the levels' noise is independent


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("target", [0.6, 0.95])
def test_the_region_covers_as_much_as_was_asked_for(hierarchy, share, target):
    evidence = evidence_of(hierarchy, 600, sharpness=2.0, honest=0.6)
    settings = Calibration(region_share=share, coverage_target=target, decodings=("argmax",))
    found = calibrate(evidence, hierarchy, settings)
    product = decode(evidence, hierarchy, found).product
    held = credible_regions(product, share)[torch.arange(600), evidence.classes[:, 2]]
    assert target - 1e-9 <= float(held.double().mean()) < target + 0.01


def test_every_kind_is_covered_when_each_is_asked_for(hierarchy):
    evidence = evidence_of(hierarchy, 600, sharpness=2.0, honest=0.8)
    confused = evidence_of(hierarchy, 600, sharpness=2.0, honest=0.2, seed=1)
    b = torch.from_numpy(evidence.kinds == "b")
    levels = tuple(
        torch.where(b[:, None, None], one - other, one)
        for one, other in zip(evidence.levels, confused.levels, strict=True)
    )
    mixed = Evidence(levels, evidence.priors, evidence.classes, evidence.coordinates, evidence.kinds)
    shares = {}
    for which in ("mix", "each"):
        found = calibrate(mixed, hierarchy, Calibration(coverage_of=which, decodings=("argmax",)))
        product = decode(mixed, hierarchy, found).product
        held = credible_regions(product, 0.9)[torch.arange(600), mixed.classes[:, 2]].numpy()
        shares[which] = [held[mixed.kinds == kind].mean() for kind in ("a", "b")]
    assert min(shares["mix"]) < 0.9 <= np.mean(shares["mix"])
    assert min(shares["each"]) >= 0.9


def test_truths_outside_every_cell_are_not_covered_and_a_target_out_of_reach_is_said(hierarchy):
    evidence = evidence_of(hierarchy, 400, sharpness=1.0, honest=1.0)
    classes = evidence.classes.clone()
    classes[::5, 2] = -1
    partly = Evidence(evidence.levels, evidence.priors, classes, evidence.coordinates, evidence.kinds)
    found = calibrate(partly, hierarchy, Calibration(coverage_target=0.7, decodings=("argmax",)))
    assert found.notes == ()
    product = decode(partly, hierarchy, found).product
    held = credible_regions(product, 0.9)[torch.arange(400), classes[:, 2].clamp(min=0)] & (
        classes[:, 2] >= 0
    )
    assert 0.7 - 1e-9 <= float(held.double().mean()) < 0.72
    found = calibrate(partly, hierarchy, Calibration(coverage_target=0.9, decodings=("argmax",)))
    assert len(found.notes) == 1
    assert "only 80.0% of the truths lie in a fine cell" in found.notes[0]
    assert np.isfinite(found.temperature.hierarchy)


def test_the_decoding_is_the_one_with_the_best_figures(hierarchy):
    evidence = evidence_of(hierarchy, 300, sharpness=1.0, honest=0.5)
    settings = Calibration(decodings=("argmax", "1000", "4000"), metrics=("accuracy_2500", "geoscore"))
    found = calibrate(evidence, hierarchy, settings)
    scores = {entry["decoding"]: entry["score"] for entry in found.candidates}
    best = max(scores, key=scores.get)
    assert found.decoding == (Decoding() if best == "argmax" else Decoding("mass", float(best)))
    answered = decode(evidence, hierarchy, found).classes.numpy()
    fine = hierarchy.fine
    distances = great_circle_km(fine.latitudes[answered], fine.longitudes[answered], *evidence.coordinates.T)
    chosen = next(entry for entry in found.candidates if entry["decoding"] == best)
    assert chosen["scores"]["accuracy_2500"] == pytest.approx(float(np.mean(distances <= 2500)))


def test_kinds_left_out_have_no_part(hierarchy):
    good, bad = (evidence_of(hierarchy, 400, sharpness=s, honest=1.0) for s in (1.0, 6.0))
    a = torch.from_numpy(good.kinds == "a")[:, None, None]
    levels = tuple(torch.where(a, x, y) for x, y in zip(good.levels, bad.levels, strict=True))
    mixed = Evidence(levels, good.priors, good.classes, good.coordinates, good.kinds)
    alone = calibrate(mixed, hierarchy, Calibration(kind_shares={"a": 1.0}, decodings=("argmax",)))
    both = calibrate(mixed, hierarchy, Calibration(kind_shares={"a": 1.0, "b": 1.0}, decodings=("argmax",)))
    only = calibrate(mixed[good.kinds == "a"], hierarchy, Calibration(decodings=("argmax",)))
    assert vars(alone.temperature) == pytest.approx(vars(only.temperature))
    assert both.temperature.fine > 1.5 * alone.temperature.fine


def test_weights_of_kinds():
    kinds = np.array(["a", "a", "a", "b"])
    assert photo_weights(kinds, {}) == pytest.approx([0.25] * 4)
    assert photo_weights(kinds, {"a": 1, "b": 1}) == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert photo_weights(kinds, {"b": 2}) == pytest.approx([0, 0, 0, 1])


def test_weighted_likelihood_leaves_out_photos_without_a_cell():
    probabilities = torch.tensor([[0.5, 0.5], [0.1, 0.9], [1.0, 0.0]])
    found = weighted_nll(probabilities, torch.tensor([0, 1, -1]), np.array([0.2, 0.6, 0.2]))
    assert found == pytest.approx((0.2 * -np.log(0.5) + 0.6 * -np.log(0.9)) / 0.8, rel=1e-6)


def test_what_is_written_reads_back(tmp_path):
    import json

    wanted = Calibrated(
        0.5, Temperature(1.5, 2.0, 2.5, 3.0), Decoding("mass", 750.0), ({"score": 1.0},), ("a note",)
    )
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({**wanted.to_mapping(), "figures": {}}))
    assert Calibrated.read(path) == wanted
