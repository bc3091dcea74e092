"""A limited model gives the model's own probabilities summed up, and nothing of a finer level."""

import json

import numpy as np
import pytest
import torch

import geo_model
from geo_model import Level, activation_map
from geo_model.cells import LEVELS
from geo_model.decoding import Decoded
from geo_model.errors import GeoModelError
from geo_model.exports import exporter
from geo_model.level_limit import FINEST_LEVEL_VARIABLE, finest_level, levels_up_to, limited
from geo_model.predict import Model


@pytest.fixture(scope="module")
def full(tiny_model_folder):
    return geo_model.load(tiny_model_folder, device="cpu", precision="float32")


@pytest.mark.parametrize("limit", [Level.COARSE, Level.MIDDLE])
def test_probabilities_are_summed_up_and_the_answer_is_a_mean_of_the_limits_cells(full, sample_photos, limit):
    before = full.predict(sample_photos)
    after = limited(full, limit).predict(sample_photos)
    cells = full.hierarchy[limit]
    parents = cells.classes_of_ids(full.hierarchy.fine.ids)
    for whole, part in zip(before, after, strict=True):
        sums = np.bincount(parents, weights=whole.product, minlength=len(cells))
        np.testing.assert_allclose(part.product, sums, atol=1e-6)
        assert part.class_index == part.product.argmax()
        assert part.point() == (cells.latitudes[part.class_index], cells.longitudes[part.class_index])
        assert {candidate.token for candidate in part.top(50)} <= set(cells.tokens)
        assert part.region(0.9).area_km2 == pytest.approx(cells.areas_km2[part.region(0.9).classes].sum())
        for level in LEVELS:
            own = level if LEVELS.index(level) <= LEVELS.index(limit) else limit
            assert np.array_equal(part.probabilities(level), whole.probabilities(own))


@pytest.mark.parametrize("limit", [Level.COARSE, Level.MIDDLE])
def test_no_export_names_a_finer_cell(full, sample_photos, limit):
    (prediction,) = limited(full, limit).predict(sample_photos[0])
    for name in ("csv", "json", "geojson", "kml"):
        text = "".join(exporter(name, draw_region=True)([prediction], 50))
        finer = set(full.hierarchy.fine.tokens) - set(full.hierarchy[limit].tokens)
        assert not [token for token in finer if f'"{token}"' in text or f",{token}," in text], name
    (record,) = json.loads("".join(exporter("json")([prediction], 50)))
    listed = {cell["token"] for ranking in (record["top"], *record["levels"].values()) for cell in ranking}
    levels = LEVELS[: LEVELS.index(limit) + 1]
    assert listed <= {token for level in levels for token in full.hierarchy[level].tokens}


def test_a_point_within_a_cell_is_turned_off(full, sample_photos):
    class Pointing(Model):
        """Answers a street corner."""

        def decode(self, crops, reduction=None):
            found = super().decode(crops, reduction)
            corner = torch.tensor([[48.8584, 2.2945]], dtype=torch.float64).expand(len(crops), 2)
            return Decoded(found.levels, found.product, found.classes, corner)

    pointing = Pointing.__new__(Pointing)
    pointing.__dict__.update(full.__dict__)
    assert pointing.predict(sample_photos[0])[0].point() == (48.8584, 2.2945)
    (prediction,) = limited(pointing, Level.MIDDLE).predict(sample_photos[0])
    assert prediction.answer is None
    assert prediction.latitude in full.hierarchy.middle.latitudes


def test_maps_of_what_mattered_are_those_of_the_limits_head(full, sample_photos):
    view = limited(full, Level.COARSE)
    expected = activation_map(full, sample_photos[0], 1, Level.COARSE)
    for level in LEVELS:
        found = activation_map(view, sample_photos[0], 1, level)
        np.testing.assert_allclose(found.map, expected.map, rtol=1e-5)
    assert full.network.heads["fine"].out_features == len(full.hierarchy.fine)  # the model is as it was


def test_without_a_limit_the_model_is_given_back(full):
    assert limited(full, Level.FINE) is full
    assert levels_up_to(Level.MIDDLE) == (Level.COARSE, Level.MIDDLE)


def test_the_environment_says_the_level(monkeypatch):
    monkeypatch.delenv(FINEST_LEVEL_VARIABLE, raising=False)
    assert finest_level() is Level.FINE
    for text, level in (("coarse", Level.COARSE), (" Middle ", Level.MIDDLE), ("", Level.FINE)):
        monkeypatch.setenv(FINEST_LEVEL_VARIABLE, text)
        assert finest_level() is level
    monkeypatch.setenv(FINEST_LEVEL_VARIABLE, "corse")
    with pytest.raises(
        GeoModelError, match=r"GEO_MODEL_FINEST_LEVEL is 'corse'; set it to coarse, middle or fine\.$"
    ):
        finest_level()
