import numpy as np
import pytest

from geo_model import cell_geometry, s2
from geo_model.cells import LEVELS, Hierarchy, Partitioning
from train.priors import importance, log_priors


@pytest.fixture(scope="module")
def hierarchy() -> Hierarchy:
    grid = np.stack(np.meshgrid(np.arange(-89, 90, 2.0), np.arange(-179, 180, 2.0)), axis=-1).reshape(-1, 2)
    partitionings = []
    for level in (2, 3, 4):
        ids = np.unique(s2.cell_ids(grid[:, 0], grid[:, 1], level))
        latitudes, longitudes, _ = cell_geometry.centres(ids)
        partitionings.append(
            Partitioning(str(level), ids, 1 + np.arange(len(ids)) % 9, latitudes, longitudes)
        )
    return Hierarchy.build(*partitionings)


def drawn_from(partitioning: Partitioning, count: int, seed: int) -> np.ndarray:
    share = partitioning.photo_counts / partitioning.photo_counts.sum()
    cells = np.random.default_rng(seed).choice(len(partitioning), size=count, p=share)
    return np.stack([partitioning.latitudes[cells], partitioning.longitudes[cells]], axis=1)


def test_the_cells_prior_is_their_share_of_photos(hierarchy):
    for level, prior in zip(LEVELS, log_priors(hierarchy, True), strict=True):
        counts = hierarchy[level].photo_counts
        np.testing.assert_allclose(prior.exp().numpy(), counts / counts.sum(), rtol=1e-5)
    assert all((prior == 0).all() for prior in log_priors(hierarchy, False))


def test_a_collection_like_the_cells_photos_counts_evenly(hierarchy):
    collection = drawn_from(hierarchy.fine, 4000, seed=0)
    weights = importance(drawn_from(hierarchy.fine, 300, seed=1), collection, hierarchy.fine, 1500.0)
    assert weights.shape == (300,)
    np.testing.assert_allclose(weights, 1, atol=0.35)


def test_where_a_collection_is_dense_its_photos_count_for_less(hierarchy):
    """Nine photos in ten from Munich, one from anywhere: weighted, Munich has the share the cells give it."""
    random = np.random.default_rng(2)
    town = np.stack([48 + random.normal(0, 1, 1800), 11 + random.normal(0, 1, 1800)], axis=1)
    collection = np.concatenate([town, drawn_from(hierarchy.fine, 200, seed=3)])
    weights = importance(collection, collection, hierarchy.fine, 1000.0)
    assert weights.min() > 0
    assert weights.max() <= 20
    in_town = weights[:1800].sum() / weights.sum()
    share = hierarchy.fine.photo_counts / hierarchy.fine.photo_counts.sum()
    from geo_model.sphere import great_circle_km

    near = great_circle_km(hierarchy.fine.latitudes, hierarchy.fine.longitudes, 48.0, 11.0) < 1500
    assert in_town < 3 * share[near].sum()  # 0.9 without weights


def test_no_photo_has_no_weight(hierarchy):
    assert importance(np.zeros((0, 2)), np.zeros((3, 2)), hierarchy.fine, 1000.0).shape == (0,)


def test_a_kind_that_no_training_photo_has_is_refused(write_config):
    from geo_model.errors import ConfigError
    from train.config import read_config
    from train.setup import prepare

    for kinds, says in (
        (["holiday"], r"calibration.away.kinds.0: no training photo is of kind 'holiday'.*built, wild"),
        (["built", "wild"], r"calibration.away.kinds: these are all kinds"),
    ):
        config = read_config(write_config(calibration={"away": {"kinds": kinds}}))
        with pytest.raises(ConfigError, match=says):
            prepare(config)
