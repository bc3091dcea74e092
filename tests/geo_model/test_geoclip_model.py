"""GeoCLIP: the real package with its real weights, and a CLIP of the right class with random weights.

The gallery is every hundredth place of the real one: encoding all of it takes a minute on two busy cores.
tests/benchmarks/geoclip_against_predict.py compares with the whole gallery.
"""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("geoclip", reason="needs the optional package geoclip: pip install geoclip")

import torch
from typer.testing import CliRunner

import geo_model
from geo_model import activation_map, geoclip_parts
from geo_model.cells import LEVELS, Level
from geo_model.cli import app
from geo_model.errors import ActivationMapError, GeoModelError
from geo_model.evaluation import evaluate
from geo_model.exports import exporter
from geo_model.geoclip_gallery import cache_file, classes_of_places, load_gallery, read_coordinates
from geo_model.geoclip_model import GeoClipModel
from geo_model.geoclip_parts import DownloadNeededError, Package
from geo_model.level_limit import limited
from geo_model.photo_files import read_bytes
from geo_model.predict import PhotoFailure
from geo_model.retempering import multiplies_levels


def save_clip(folder: Path, layers: int = 2, width: int = 256, features: int = 768) -> Path:
    """A CLIP with random weights, in the files that Hugging Face has of the real one."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel
    from transformers.utils import logging

    text = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers}
    vision |= {"num_attention_heads": 4, "patch_size": 14, "image_size": 224}
    logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = CLIPConfig(
            projection_dim=features,
            text_config={**text, "projection_dim": features},
            vision_config={**vision, "projection_dim": features},
        )
        CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    return folder


@pytest.fixture(scope="module")
def small_package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The installed package with a hundredth of its gallery."""
    real = geoclip_parts.the_package()
    folder = tmp_path_factory.mktemp("package") / "model"
    (folder / "gps_gallery").mkdir(parents=True)
    (folder / "weights").symlink_to(real.folder / "weights")
    lines = real.gallery.read_text().splitlines()
    (folder / "gps_gallery" / "coordinates_100K.csv").write_text("\n".join([lines[0], *lines[1::100]]) + "\n")
    return Package(real.version, folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, small_package, clip, cache) -> Iterator[None]:
    """What a user with local weights sets; and no test asks a network for anything."""
    asked: list[object] = []

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr(geoclip_parts, "installed_package", lambda: small_package)
    monkeypatch.setenv("GEOCLIP_CLIP_FOLDER", str(clip))
    monkeypatch.setenv("GEO_MODEL_CACHE", str(cache))
    monkeypatch.delenv("GEO_MODEL_ALLOW_DOWNLOAD", raising=False)
    yield
    assert asked == []


@pytest.fixture
def model() -> GeoClipModel:
    loaded = geo_model.load("geoclip", device="cpu")
    assert isinstance(loaded, GeoClipModel)
    return loaded


def test_the_answer_and_the_probabilities_are_those_of_the_packages_own_predict(
    model, clip, small_package, sample_photos
):
    from geoclip import GeoCLIP

    theirs = GeoCLIP(clip_path=str(clip)).eval()
    theirs.gps_gallery = torch.from_numpy(read_coordinates(small_package.gallery))
    places = len(theirs.gps_gallery)
    assert places == 1000
    for photo, ours in zip(sample_photos, model.predict(sample_photos), strict=True):
        coordinates, probabilities = theirs.predict(str(photo), places)
        assert (ours.latitude, ours.longitude) == tuple(coordinates[0].tolist())
        fine = np.zeros(len(ours.product))
        np.add.at(
            fine,
            model.hierarchy.fine.classes_of(*coordinates.numpy().astype(float).T),
            probabilities.numpy().astype(float),
        )
        # Pillow and torchvision resize to pixels that differ by one in places.
        np.testing.assert_allclose(ours.product, fine, atol=5e-4, rtol=0.05)


def test_levels_are_sums_of_the_gallerys_probabilities(model, sample_photos):
    prediction = model.predict(sample_photos[0])[0]
    ancestors = model.hierarchy.ancestors
    for column, level in enumerate(LEVELS):
        assert prediction.levels[level].sum() == pytest.approx(1, abs=1e-5)
        # All places of the gallery lie in a fine cell, so a cell holds what its fine cells do.
        held = np.bincount(ancestors[:, column], prediction.product, len(model.hierarchy[level]))
        np.testing.assert_allclose(prediction.levels[level], held, atol=1e-6)
    np.testing.assert_array_equal(prediction.product, prediction.levels[Level.FINE])
    assert model.hierarchy.fine.class_of(prediction.latitude, prediction.longitude) == prediction.class_index
    assert prediction.region(0.9).probability >= 0.9


def test_exports_evaluation_and_failures_work_as_for_any_model(model, sample_photos, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    results = list(model.stream([*sample_photos, broken], batch_size=2))
    assert isinstance(results[-1], PhotoFailure)
    record = json.loads("".join(exporter("json")(results, 3)))[0]
    assert (record["latitude"], record["longitude"]) == pytest.approx(
        (results[0].latitude, results[0].longitude), abs=1e-6
    )
    assert [len(record["levels"][level.value]) for level in LEVELS] == [3, 3, 3]
    assert len(record["top"]) == 3
    rows = list(csv.DictReader("".join(exporter("csv")(results, 1)).splitlines()))
    assert rows[0]["token"] == model.hierarchy.fine.tokens[results[0].class_index]

    truth = {"a": (results[0].latitude, results[0].longitude), "b": (0.0, 0.0)}
    report = evaluate(model, [("a", sample_photos[0]), ("b", sample_photos[1])], truth)
    assert report.measurements.distances_km["hierarchy"][0] == pytest.approx(0, abs=0.01)
    assert report.count == 2


def test_there_is_no_map_of_what_mattered_and_that_is_said(model, sample_photos, tmp_path, monkeypatch):
    with pytest.raises(ActivationMapError, match="model 'geoclip': there is no map of what mattered"):
        activation_map(model, sample_photos[0])
    monkeypatch.delenv("GEOCLIP_CLIP_FOLDER")  # also where its weights would have to be fetched first
    out = tmp_path / "map.png"
    result = CliRunner().invoke(
        app, ["explain", str(sample_photos[0]), "--out", str(out), "--model", "geoclip"]
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert "model 'geoclip': there is no map of what mattered" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_limited_to_a_level_it_answers_there(model, sample_photos):
    coarse = limited(model, Level.COARSE)
    (full,), (found,) = model.predict(sample_photos[0]), coarse.predict(sample_photos[0])
    np.testing.assert_allclose(found.product, full.levels[Level.COARSE], atol=1e-6)
    assert found.class_index == full.levels[Level.COARSE].argmax()
    cells = model.hierarchy[Level.COARSE]
    assert found.latitude == cells.latitudes[found.class_index]
    assert not multiplies_levels(full)
    assert not multiplies_levels(found)


def test_the_crops_option_and_the_batch_change_nothing(model, sample_photos):
    alone = [model.predict(photo)[0] for photo in sample_photos]
    for together in (
        model.predict(sample_photos, batch_size=3),
        model.predict(sample_photos, crops="max"),
        model.predict([(photo.name, read_bytes(photo)) for photo in sample_photos], batch_size=2),
    ):
        assert [one.answer for one in together] == [one.answer for one in alone]
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one.product, other.product, atol=1e-6)
    crops = model.cut(geo_model.read_image(sample_photos[0]))
    assert crops.shape == (1, 3, 224, 224)
    coarse, middle, fine = model.logits(crops[None])
    assert fine.shape == (1, 1, len(model.hierarchy.fine))
    np.testing.assert_allclose(fine.exp()[0, 0].numpy(), alone[0].product, atol=1e-3)
    assert (coarse.shape[-1], middle.shape[-1]) == model.hierarchy.sizes[:2]


def test_a_place_in_no_cell_counts_for_the_nearest(model):
    fine = model.hierarchy.fine
    places = np.array([[-89.0, 0.0], [fine.latitudes[7], fine.longitudes[7]], [-80.0, 100.0]], np.float32)
    own = fine.classes_of(places[:, 0].astype(float), places[:, 1].astype(float))
    assert own.tolist() == [-1, 7, -1]
    found = classes_of_places(places, fine)
    assert found[1] == 7
    for row in (0, 2):
        distances = geo_model.great_circle_km(*places[row].astype(float), fine.latitudes, fine.longitudes)
        assert found[row] == distances.argmin()


def test_other_cells_can_be_given(tiny_model_folder, monkeypatch, sample_photos):
    monkeypatch.setenv("GEOCLIP_CELLS_FOLDER", str(tiny_model_folder))
    model = geo_model.load("geoclip")
    assert model.hierarchy.sizes == model.spec.class_counts == (20, 80, 320)
    assert model.predict(sample_photos[0])[0].levels[Level.COARSE].shape == (20,)
    monkeypatch.setenv("GEOCLIP_CELLS_FOLDER", str(tiny_model_folder / "nowhere"))
    with pytest.raises(GeoModelError, match=r"coarse\.csv"):
        geo_model.load("geoclip")


def test_the_gallery_is_encoded_once_and_again_when_the_cache_is_damaged(
    small_package, tmp_path, monkeypatch
):
    monkeypatch.setenv("GEO_MODEL_CACHE", str(tmp_path / "new"))
    steps: list[tuple[int, int]] = []

    def load() -> tuple[torch.Tensor, int]:
        steps.clear()
        gallery = load_gallery(small_package, progress=lambda done, total: steps.append((done, total)))
        return gallery.embeddings, len(steps)

    first, encoded = load()
    assert encoded
    assert steps[-1] == (1000, 1000)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(1000))
    file = cache_file(small_package)
    assert [file] == list((tmp_path / "new").iterdir())
    again, encoded = load()
    assert not encoded
    assert torch.equal(first, again)

    whole = file.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (whole[:middle], b"", b"junk" * 100, flipped):
        del again  # the file may be mapped
        file.write_bytes(damaged)
        again, encoded = load()
        assert encoded
        assert torch.equal(first, again)
        assert file.read_bytes() == whole


def test_another_gallery_has_another_cache_file(small_package, tmp_path):
    changed = tmp_path / "model"
    (changed / "gps_gallery").mkdir(parents=True)
    (changed / "weights").symlink_to(small_package.folder / "weights")
    text = small_package.gallery.read_text()
    (changed / "gps_gallery" / "coordinates_100K.csv").write_text(text)
    same = Package("other", changed)
    assert cache_file(same) == cache_file(small_package)
    same.gallery.write_text(text + "1.0,2.0\n")
    assert cache_file(same) != cache_file(small_package)


def test_a_cache_that_cannot_be_written_is_a_warning(small_package, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GEO_MODEL_CACHE", str(tmp_path / "file" / "below"))
    with pytest.warns(UserWarning, match="encoded anew next time"):
        assert len(load_gallery(small_package).embeddings) == 1000


def test_nothing_is_fetched_unasked(monkeypatch, tmp_path):
    monkeypatch.delenv("GEOCLIP_CLIP_FOLDER")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: pytest.fail("it was fetched"))
    with pytest.raises(
        DownloadNeededError, match=r"1\.7 GB\) would be fetched from huggingface\.co"
    ) as raised:
        geo_model.load("geoclip")
    assert raised.value.download.host == "huggingface.co"


def test_a_folder_that_is_no_clip_is_one_sentence(tmp_path, clip, monkeypatch):
    def refused(folder: Path) -> str:
        monkeypatch.setenv("GEOCLIP_CLIP_FOLDER", str(folder))
        with warnings.catch_warnings(), pytest.raises(GeoModelError) as raised:
            geo_model.load("geoclip")
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "holds no config.json" in refused(tmp_path)
    (tmp_path / "config.json").write_bytes((clip / "config.json").read_bytes())
    assert "holds no model.safetensors" in refused(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"junk")
    assert "CLIP cannot be read" in refused(tmp_path)
    small = save_clip(tmp_path / "small", layers=1, width=64, features=512)
    assert "512 features" in refused(small)

    from safetensors.torch import load_file, save_file

    tensors = load_file(clip / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert "lack visual_projection.weight" in refused(tmp_path)


def test_a_damaged_package_says_so(small_package, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    monkeypatch.setattr(geoclip_parts, "installed_package", lambda: Package("1", folder))
    with pytest.raises(GeoModelError, match=r"image_encoder_mlp_weights\.pth: the package geoclip lacks"):
        geo_model.load("geoclip")
    monkeypatch.setattr(geoclip_parts, "installed_package", lambda: None)
    with pytest.raises(GeoModelError, match="pip install geoclip"):
        geo_model.load("geoclip")


def test_a_model_folder_of_that_name_goes_first(tmp_path, monkeypatch, tiny_model_folder):
    assert geoclip_parts.names_geoclip("geoclip")
    assert not geoclip_parts.names_geoclip(None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "geoclip").mkdir()  # as of somebody who cloned the package's repository
    assert geoclip_parts.names_geoclip("geoclip")
    (tmp_path / "geoclip" / "model.json").write_bytes((tiny_model_folder / "model.json").read_bytes())
    assert not geoclip_parts.names_geoclip("geoclip")


def test_the_real_package_is_complete():
    real = Package("", Path(geoclip_parts.importlib.util.find_spec("geoclip").origin).parent / "model")
    assert read_coordinates(real.gallery).shape == (100_000, 2)
    for path in (real.location_encoder, real.image_head, real.logit_scale):
        assert path.stat().st_size
