"""A checkpoint in the layout of the paper's code becomes a model folder, or one sentence says why not."""

import builtins
import os
import pickle
import shutil
import sys
import tempfile
from argparse import Namespace

import numpy as np
import pytest
import torch
import torchvision
import yaml
from typer.testing import CliRunner

import geo_model
from geo_model import cell_geometry, s2
from geo_model.cells import Level
from geo_model.cli import app

FILES = ("cells_50_5000.csv", "cells_50_2000.csv", "cells_50_1000.csv")


def write_partition(path, level):
    """Every cell of an S2 level that a grid of 5 degrees meets, with the preamble and CRLF of the paper's."""
    grid = np.stack(np.meshgrid(np.arange(-87.5, 90, 5), np.arange(-177.5, 180, 5)), axis=-1).reshape(-1, 2)
    ids = np.unique(s2.cell_ids(grid[:, 0], grid[:, 1], level))
    latitudes, longitudes, _ = cell_geometry.centres(ids)
    rows = zip(range(len(ids)), s2.tokens(ids), latitudes, longitudes, strict=True)
    lines = ["num_images: 4723695", "min_concept_probability: 0.3"]
    lines.append("class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean")
    lines += [f"{label},{token},51,{latitude},{longitude}" for label, token, latitude, longitude in rows]
    path.write_bytes("\r\n".join(lines).encode() + b"\r\n")
    return len(ids)


class EarlierCode(torch.nn.Module):
    """The network as the checkpoint's names describe it."""

    def __init__(self, arch, sizes):
        super().__init__()
        whole = getattr(torchvision.models, arch)()
        self.model = torch.nn.Sequential(*list(whole.children())[:-1])
        self.classifier = torch.nn.ModuleList(torch.nn.Linear(whole.fc.in_features, size) for size in sizes)

    def forward(self, crops):
        features = self.model(crops).flatten(1)
        return [layer(features) for layer in self.classifier]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    sizes = [write_partition(folder / name, level) for level, name in enumerate(FILES)]
    return folder, sizes


def network(arch, sizes):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = EarlierCode(arch, sizes)
        made.train()
        with torch.no_grad():
            for _ in range(2):  # so that the running means and variances are not the first ones
                made(torch.randn(4, 3, 64, 64))
        return made.eval()


@pytest.fixture(scope="module")
def small(cells):
    return network("resnet18", cells[1])


@pytest.fixture
def given(tmp_path, cells, small):
    """Writes a checkpoint and its hparams.yaml; what is not said is right."""

    def write(state_dict=None, hparams=None, **more):
        content = {"state_dict": small.state_dict() if state_dict is None else state_dict, **more}
        torch.save(content, tmp_path / "epoch=014.ckpt")
        values = {
            "arch": "resnet18",
            "partitionings": {
                "files": [f"resources/s2_cells/{name}" for name in FILES],
                "shortnames": ["coarse", "middle", "fine"],
            },
            "batch_size": 128,
            **(hparams or {}),
        }
        (tmp_path / "hparams.yaml").write_text(yaml.safe_dump(values))
        return tmp_path

    return write


def run(folder, cells, *options):
    paths = {"checkpoint": "epoch=014.ckpt", "hparams": "hparams.yaml", "out": "model"}
    arguments = [text for key, name in paths.items() for text in (f"--{key}", str(folder / name))]
    result = CliRunner().invoke(app, ["convert", *arguments, "--cells", str(cells[0]), *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(folder, cells, *options):
    result = run(folder, cells, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith(".\n")
    assert sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) == []
    return result.stderr


def test_resnet50_gives_the_logits_of_the_sequential_that_it_came_from(given, cells, sample_photos):
    earlier = network("resnet50", cells[1])
    names = earlier.state_dict()
    assert names["model.7.2.conv3.weight"].shape == (2048, 512, 1, 1)
    assert len(names) == 318 + 6
    folder = given(names, {"arch": "resnet50"}, epoch=14, global_step=500_000)
    result = run(folder, cells, "--weights", "float32", "--name", "earlier")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "accuracy was not measured" in result.stdout
    model = geo_model.load(folder / "model", device="cpu", precision="float32")
    crops = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for new, old in zip(model.network(crops), earlier(crops), strict=True):
            assert old.std() > 1e-3
            torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-4)
    assert (model.spec.name, model.spec.crops, model.spec.decoding.rule) == ("earlier", "mean", "argmax")
    assert model.spec.training["epoch"] == 14
    assert model.spec.accuracy == {}
    card = (folder / "model" / "MODEL_CARD.md").read_text()
    assert "Nobody has measured it here" in card
    assert "python -m geo_model evaluate" in card
    (prediction,) = model.predict(sample_photos[0])
    assert len(prediction.product) == cells[1][2]


def test_half_precision_is_the_default_and_close(given, cells, small):
    folder = given()
    assert run(folder, cells).exit_code == 0
    crops = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    weights = geo_model.load(folder / "model", device="cpu", precision="float32").network
    with torch.inference_mode():
        for new, old in zip(weights(crops), small(crops), strict=True):
            assert not torch.equal(new, old)
            torch.testing.assert_close(new, old, rtol=0, atol=0.02)


def test_shortnames_say_which_classifier_is_which(given, cells):
    backwards = network("resnet18", cells[1][::-1])
    partitionings = {"files": list(FILES[::-1]), "shortnames": ["fine", "middle", "coarse"]}
    folder = given(backwards.state_dict(), {"partitionings": partitionings})
    assert run(folder, cells, "--weights", "float32").exit_code == 0
    model = geo_model.load(folder / "model", device="cpu", precision="float32")
    assert torch.equal(model.network.heads[Level.FINE.value].weight, backwards.classifier[0].weight)


def test_cells_by_level_names_and_a_checkpoint_without_counters(given, small, cells, tmp_path):
    folder = given({k: v for k, v in small.state_dict().items() if "num_batches_tracked" not in k})
    other = tmp_path / "by-level"
    other.mkdir()
    for level, name in zip(Level, FILES, strict=True):
        (other / f"{level.value}.csv").write_bytes((cells[0] / name).read_bytes())
    assert run(folder, (other, cells[1])).exit_code == 0


def test_what_lightning_1_keeps_beside_the_weights(given, cells, monkeypatch):
    def module_type(name, bases=(object,)):
        module, _, short = name.rpartition(".")
        made = type(short, bases, {"__module__": module})
        for end in [place for place, letter in enumerate(module) if letter == "."]:
            monkeypatch.setitem(sys.modules, module[:end], Namespace())
        monkeypatch.setitem(sys.modules, module, Namespace(**{short: made}))
        return made

    attributes = module_type("pytorch_lightning.utilities.parsing.AttributeDict", (dict,))
    callback = module_type("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")
    more = {
        "pytorch-lightning_version": "1.4.9",
        "hyper_parameters": attributes(arch="resnet18", nested=Namespace(lr=0.01)),
        "callbacks": {callback: {"best_model_score": np.float64(0.5), "best_model_path": "x.ckpt"}},
    }
    folder = given(**more)
    assert run(folder, cells).exit_code == 0
    version = geo_model.load(folder / "model", device="cpu").spec.training["lightning_version"]
    assert version == "1.4.9"


class Hostile:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("wrapping", ["torch", "old torch", "pickle 0", "pickle 2", "pickle 4"])
@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        (os.system, "touch {}", "system"),
        (builtins.exec, "open({!r}, 'w')", "exec"),
        (yaml.unsafe_load, "!!python/object/apply:os.mkdir [{}]", "yaml.unsafe_load"),
    ],
)
def test_a_hostile_checkpoint_is_refused_and_not_run(given, cells, tmp_path, call, code, said, wrapping):
    folder = given()
    payload = Hostile(call, code.format(str(tmp_path / "it-ran")))
    path = folder / "epoch=014.ckpt"
    content = {"state_dict": {}, "hyper_parameters": payload}
    if wrapping.endswith("torch"):
        torch.save(content, path, _use_new_zipfile_serialization=wrapping == "torch")
    else:
        path.write_bytes(pickle.dumps(content, protocol=int(wrapping[-1])))
    message = refused(folder, cells)
    assert not (tmp_path / "it-ran").exists()
    assert said in message
    assert "nothing of it was run" in message
    if wrapping.startswith("pickle"):
        with open(path, "rb") as file:  # and it would have run
            pickle.load(file)  # noqa: S301
        assert (tmp_path / "it-ran").exists()


def change(small, **changes):
    weights = dict(small.state_dict())
    for name, value in changes.items():
        weights.pop(name) if value is None else weights.update({name: value})
    return weights


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.4.0.conv1.weight": None}, "lacks model.4.0.conv1.weight"),
        ({"classifier.1.bias": None}, "lacks classifier.1.bias"),
        ({"classifier.3.weight": torch.zeros(2)}, "holds 'classifier.3.weight'"),
        ({"classifier.2.weight": torch.zeros(77, 512)}, "classifier.2.weight is for 77 classes"),
        ({"model.0.weight": torch.zeros(64, 3, 3, 3)}, "model.0.weight has shape (64, 3, 3, 3)"),
        ({"model.1.bias": torch.full((64,), torch.nan)}, "model.1.bias holds values that are no numbers"),
        ({"model.1.bias": torch.full((64,), 1e9)}, "--weights float32"),
        ({"model.1.bias": torch.zeros(64, dtype=torch.int64)}, "tensor of another kind"),
        ({"model.1.bias": "text"}, "'model.1.bias', which is no tensor"),
    ],
)
def test_weights_that_do_not_fit(given, small, cells, changes, said):
    assert said in refused(given(change(small, **changes)), cells)


@pytest.mark.parametrize(
    ("hparams", "said"),
    [
        ({"arch": "efficientnet_b0"}, "arch is 'efficientnet_b0'; only resnet18, resnet34"),
        ({"arch": None}, "'arch' is missing"),
        ({"arch": ["resnet18"]}, "arch is ['resnet18']"),
        ({"arch": "resnet34"}, "lacks model.4.2.conv1.weight"),
        ({"partitionings": None}, "partitionings.files is missing; it must list three"),
        ({"partitionings": {"files": ["a.csv"]}}, "partitionings.files is ['a.csv']"),
        ({"partitionings": {"files": list(FILES), "shortnames": "coarse"}}, "shortnames is 'coarse'"),
        (
            {"partitionings": {"files": ["../x.csv", *FILES[1:]]}},
            "coarse partitioning is missing; put 'x.csv'",
        ),
        ({"partitionings": {"files": list(FILES[::-1])}}, "lies in no"),
    ],
)
def test_hyper_parameters_that_do_not_fit(given, cells, hparams, said):
    assert said in refused(given(hparams=hparams), cells)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arch: [resnet18\n", "line 2"),
        ("arch: resnet18\nx: !!python/object/apply:os.getcwd []\n", "python/object/apply:os.getcwd"),
        ("", "it holds no keys"),
        ("\x00", "no plain YAML"),
    ],
)
def test_damaged_yaml(given, cells, text, said):
    folder = given()
    (folder / "hparams.yaml").write_text(text)
    assert said in refused(folder, cells)


def test_files_that_are_missing_or_damaged(given, cells, tmp_path):
    folder = given()
    assert "no such folder" in refused(folder, (tmp_path / "none", ()))
    checkpoint = folder / "epoch=014.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100_000])
    assert "cannot be read as a checkpoint" in refused(folder, cells)
    for junk in (b"", b"hello world\n" * 100, b"\x80\x04\x95"):
        checkpoint.write_bytes(junk)
        assert "cannot be read as a checkpoint" in refused(folder, cells)
    torch.save({"weights": torch.zeros(1)}, checkpoint)
    assert "no 'state_dict'" in refused(folder, cells)
    checkpoint.unlink()
    assert "no such file" in refused(folder, cells)
    (folder / "hparams.yaml").unlink()
    assert "hparams.yaml cannot be read" in refused(folder, cells)


def test_a_flipped_bit_in_the_weights_is_noticed(given, cells):
    folder = given()
    checkpoint = folder / "epoch=014.ckpt"
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 1
    checkpoint.write_bytes(data)
    assert torch.load(checkpoint, weights_only=True)["state_dict"]  # torch does not notice
    assert "it is damaged" in refused(folder, cells)


def test_what_is_no_file_or_must_not_be_read(given, cells, tmp_path, monkeypatch):
    folder = given()
    (folder / "hparams.yaml").rename(folder / "kept.yaml")
    (folder / "hparams.yaml").mkdir()
    assert "hparams.yaml cannot be read: is a directory" in run(folder, cells).stderr
    (folder / "hparams.yaml").rmdir()
    (folder / "kept.yaml").rename(folder / "hparams.yaml")
    with monkeypatch.context() as patched:  # whoever runs the tests may be allowed everything

        def closed(*_, **__):
            raise PermissionError(13, "Permission denied")

        patched.setattr(torch, "load", closed)
        assert "epoch=014.ckpt cannot be read: permission denied" in refused(folder, cells)
        patched.undo()
        patched.setattr(tempfile, "mkdtemp", closed)
        assert "model cannot be written: permission denied" in refused(folder, cells)
    fewer = tmp_path / "fewer"
    shutil.copytree(cells[0], fewer)
    lines = (fewer / FILES[2]).read_text().splitlines()
    (fewer / FILES[2]).write_text("\n".join(lines[:-3]) + "\n")
    result = run(folder, (fewer, ()))
    assert result.exit_code == 1
    assert f"is for {cells[1][2]} classes and the fine partitioning" in result.stderr
    assert f"has {cells[1][2] - 3} cells" in result.stderr
    (folder / "epoch=014.ckpt").unlink()
    (folder / "epoch=014.ckpt").mkdir()
    result = run(folder, cells)
    assert result.exit_code == 1
    assert "epoch=014.ckpt: it is a folder; give the .ckpt" in result.stderr


def test_a_folder_with_other_things_is_left_alone(given, cells):
    folder = given()
    (folder / "model").mkdir()
    (folder / "model" / "mine.txt").write_text("mine")
    result = run(folder, cells)
    assert result.exit_code == 1
    assert "new or empty folder" in result.stderr
    assert [entry.name for entry in (folder / "model").iterdir()] == ["mine.txt"]


def test_an_old_torch_opens_nothing(given, cells, monkeypatch):
    folder = given()
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.9.1"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was opened"))
    assert "install torch 2.10 or newer" in refused(folder, cells)
