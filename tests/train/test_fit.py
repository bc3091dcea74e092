import csv
import io
import json
import signal
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from geo_model.errors import ConfigError, PhotoError
from train.checkpoints import within_epoch
from train.cli import app
from train.config import read_config
from train.fit import fit, make_module
from train.module import Geolocator
from train.setup import prepare


def run(config: Path, *overrides: str, resume: bool = True) -> tuple[Path, str]:
    screen = io.StringIO()
    folder = fit(read_config(config, overrides), resume=resume, console=Console(file=screen, width=200))
    return folder, screen.getvalue()


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    content = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return content["state_dict"]


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_fit_leaves_a_complete_run_folder(write_config):
    folder, screen = run(write_config())
    assert [row["epoch"] for row in rows(folder)] == ["0", "1"]
    assert float(rows(folder)[1]["train/loss"]) < float(rows(folder)[0]["train/loss"])
    assert {"val/nll", "val/balanced/accuracy_750", "val/built/geoscore", "val/wild/median_km"} <= set(
        rows(folder)[0]
    )
    calibration = json.loads((folder / "calibration.json").read_text())
    assert calibration["figures"]["all"]["photos"] == 9
    assert calibration["figures"]["wild"]["photos"] == 3
    assert len(calibration["candidates"]) == 5
    assert list((folder / "tensorboard").glob("events*"))
    facts = json.loads((folder / "run.json").read_text())
    assert facts["photos"]["train"]["kinds"] == {"built": 24, "wild": 12}
    assert "Training photos: 36 (24 built, 12 wild)" in screen
    assert "epoch   2/2" in screen


def test_the_network_learns_the_three_places(write_config):
    config = write_config(
        optimiser={"lr_heads": 0.01, "lr_backbone": 0.003},
        training={"epochs": 12, "batch_size": 12},
        labels={"kind": "soft", "sigma_km": 500},
    )
    folder, _ = run(config)
    assert float(rows(folder)[-1]["val/nll"]) < 0.6 * float(rows(folder)[0]["val/nll"])


@pytest.mark.parametrize(
    ("backbone", "ema"),
    [
        ({"trainable": "all"}, 0.0),
        ({"trainable": {"last_stages": 2}, "cached_views": 3}, 0.9),
        ({"trainable": "none", "cached_views": 2}, 0.0),
    ],
    ids=["all", "cached-cut-averaged", "cached-pooled"],
)
def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(
    write_config, tmp_path, monkeypatch, backbone, ema
):
    config = write_config(
        backbone={"name": "test_efficientnet", "weights": "none", **backbone},
        training={"epochs": 3, "batch_size": 12, "ema_decay": ema},
        head={"dropout": 0.3},
        augmentation={"brightness": 0.2},
    )
    whole, _ = run(config, f"run_folder={tmp_path / 'whole'}")

    step = Geolocator.training_step

    def die_in_second_epoch(self, batch, batch_index):
        if self.current_epoch == 1 and batch_index == 1:
            raise RuntimeError("power cut")
        return step(self, batch, batch_index)

    with monkeypatch.context() as patch:
        patch.setattr(Geolocator, "training_step", die_in_second_epoch)
        with pytest.raises(RuntimeError, match="power cut"):
            run(config, f"run_folder={tmp_path / 'broken'}")
    assert len(rows(tmp_path / "broken")) == 1
    broken, screen = run(config, f"run_folder={tmp_path / 'broken'}")
    assert "Resuming after epoch 1" in screen

    for name in ("last", "best"):
        a, b = weights(whole, name), weights(broken, name)
        assert a.keys() == b.keys()
        for key in a:
            assert torch.equal(a[key], b[key]), key
    drop = ("seconds", "photos_per_second")
    assert [{k: v for k, v in row.items() if k not in drop} for row in rows(whole)] == [
        {k: v for k, v in row.items() if k not in drop} for row in rows(broken)
    ]
    assert (whole / "calibration.json").read_text() == (broken / "calibration.json").read_text()


def test_another_configuration_in_the_same_folder_is_refused_and_no_resume_starts_anew(write_config):
    config = write_config(training={"epochs": 1, "batch_size": 12})
    folder, _ = run(config)
    with pytest.raises(ConfigError, match=r"differs in optimiser\.lr_heads"):
        run(config, "optimiser.lr_heads=0.02")
    run(config, "optimiser.lr_heads=0.02", resume=False)
    assert len(rows(folder)) == 1
    assert float(rows(folder)[0]["lr/heads"]) <= 0.02


def test_a_finished_run_is_only_calibrated_again(write_config):
    config = write_config(training={"epochs": 1, "batch_size": 12})
    folder, _ = run(config)
    before = weights(folder)
    _, screen = run(config, "calibration.decodings=[argmax]", "calibration.evidence_strengths=[0.5]")
    assert "epoch   " not in screen
    assert json.loads((folder / "calibration.json").read_text())["evidence_strength"] == 0.5
    after = weights(folder)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_frozen_weights_stay_and_the_others_move(write_config):
    config = write_config(
        backbone={"name": "test_efficientnet", "weights": "none", "trainable": {"last_stages": 2}},
        training={"epochs": 2, "batch_size": 12, "ema_decay": 0.9},
        optimiser={"lr_heads": 0.01, "lr_backbone": 0.01},
    )
    short, _ = run(config, "training.epochs=1", "run_folder=" + str(Path(config).parent / "short"))
    long, _ = run(config)
    a, b = weights(short), weights(long)
    moved = {key for key in a if not torch.equal(a[key], b[key])}
    backbone = {key for key in a if key.startswith("network.backbone.")}
    stages = {key for key in backbone if ".blocks.3." in key or ".blocks.4." in key}
    after = ("network.backbone.conv_head.", "network.backbone.bn2.")
    tail = stages | {key for key in backbone if key.startswith(after)}
    assert not moved & (backbone - tail)
    assert {key for key in tail if key.endswith("weight")} <= moved


def test_cached_views_train_as_views_computed_on_the_fly(write_config, tmp_path):
    """Without augmentation and with one view the cache must change nothing but the rounding to float16."""
    config = write_config(
        augmentation={"scale": [1, 1], "ratio": [1, 1], "flip": 0},
        input={"resize_short_px": 64, "crop_px": 64},
        training={"epochs": 2, "batch_size": 12},
    )
    frozen = "{name: test_efficientnet, weights: none, trainable: {last_stages: 1}, cached_views: %d}"
    cached, _ = run(config, "backbone=" + frozen % 1, f"run_folder={tmp_path / 'cached'}")
    fresh, _ = run(config, "backbone=" + frozen % 0, f"run_folder={tmp_path / 'fresh'}")
    for a, b in zip(rows(cached), rows(fresh), strict=True):
        assert float(a["train/loss"]) == pytest.approx(float(b["train/loss"]), rel=0.01)
        assert float(a["val/nll"]) == pytest.approx(float(b["val/nll"]), rel=0.02)


def test_the_cache_goes_on_where_it_stopped_and_follows_its_ingredients(write_config, tmp_path, monkeypatch):
    from train import features

    settings = "{name: test_efficientnet, weights: none, trainable: none, cached_views: 2}"
    common = ("backbone=" + settings, "training.epochs=1", "validation.batch_size=8")
    config = write_config()
    whole, _ = run(config, *common, f"run_folder={tmp_path / 'whole'}")

    write = features._write_progress
    monkeypatch.setattr(features, "_FLUSH_EVERY", 4)

    def die(path, done, total):
        write(path, done, total)
        if total == 36 and done >= 16:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(features, "_write_progress", die)
        with pytest.raises(RuntimeError, match="power cut"):
            run(config, *common, f"run_folder={tmp_path / 'broken'}")
    counts = []
    with monkeypatch.context() as patch:
        patch.setattr(
            features,
            "_write_progress",
            lambda path, done, total: (counts.append(done), write(path, done, total)),
        )
        broken, _ = run(config, *common, f"run_folder={tmp_path / 'broken'}")
    assert min(count for count in counts if count > 9) > 16

    def caches(folder):
        return {path.parent.name: np.load(path) for path in (folder / "cache").glob("*/activations.npy")}

    a, b = caches(whole), caches(broken)
    assert a.keys() == b.keys()
    assert len(a) == 2
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert {values.shape[:2] for values in a.values()} == {(36, 2), (9, 5)}

    other, _ = run(config, *common, "augmentation.flip=0.4", f"run_folder={tmp_path / 'other'}")
    assert len(caches(other).keys() & a.keys()) == 1  # the validation crops are not augmented


def test_hard_labels_and_sgd_and_multistep_run(write_config):
    folder, _ = run(
        write_config(
            labels={"kind": "hard"},
            optimiser={"name": "sgd", "lr_heads": 0.01, "lr_backbone": 0.01, "clip_norm": 1.0},
            schedule={"name": "multistep", "milestones": [1], "gamma": 0.5},
            training={"epochs": 2, "batch_size": 12, "mixup_alpha": 0.2},
        )
    )
    assert [float(row["lr/heads"]) for row in rows(folder)] == pytest.approx([0.005, 0.005])


def test_a_loss_that_is_no_number_ends_the_run_with_advice(write_config):
    with pytest.raises(ConfigError, match="lower the learning rates"):
        run(write_config(optimiser={"name": "sgd", "lr_heads": 1e30, "lr_backbone": 1e30}))


@pytest.mark.parametrize("standardise", [True, False])
def test_heads_see_standardised_features(write_config, standardise):
    """Means and deviations over the first epoch, here all photos' only view, are 0 and 1."""
    config = write_config(
        backbone={"name": "test_efficientnet", "weights": "none", "trainable": "none", "cached_views": 1},
        head={"standardise": standardise},
    )
    folder, _ = run(config)
    state = weights(folder)
    cached = [np.load(path) for path in (folder / "cache").glob("*/activations.npy")]
    features = torch.from_numpy(max(cached, key=len)[:, 0]).float()
    assert features.shape == (36, state["feature_mean"].shape[0])
    if standardise:
        seen = (features - state["feature_mean"]) / state["feature_scale"]
        assert torch.allclose(seen.mean(dim=0), torch.zeros(()), atol=1e-3)
        assert float((seen.std(dim=0, unbiased=False) - 1).abs().median()) < 1e-3
    else:
        assert float(state["feature_mean"].abs().max()) == 0
        assert float((state["feature_scale"] - 1).abs().max()) == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_cannot_be_decoded_is_named_in_one_sentence(write_config, tmp_path, workers):
    tar = tmp_path / "bad.tar"
    with tarfile.open(tar, "w") as archive:
        for name, content in (("7.jpg", b"no photo"), ("7.json", b'{"latitude": 1, "longitude": 2}')):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    config = write_config(hardware={"accelerator": "cpu", "num_workers": workers})
    with pytest.raises(PhotoError, match=r"bad\.tar, 7: ") as caught:
        run(config, f"data.train.0.tars={tar}")
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_an_interrupted_run_says_how_to_go_on(write_config, monkeypatch):
    config = write_config()
    monkeypatch.setattr(Geolocator, "training_step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    before = signal.getsignal(signal.SIGINT)
    result = CliRunner().invoke(app, ["fit", str(config)])
    assert result.exit_code == 130
    assert "The same command goes on from the last checkpoint." in result.output
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_saves_the_step_at_hand_and_a_second_one_does_not_wait(write_config, monkeypatch, tmp_path):
    config = write_config(training={"epochs": 2, "batch_size": 12, "checkpoint_minutes": 0})
    step, presses = Geolocator.training_step, []

    def press(self, batch, batch_index):
        if (self.current_epoch, batch_index) in presses:
            presses.remove((self.current_epoch, batch_index))
            signal.raise_signal(signal.SIGINT)
        return step(self, batch, batch_index)

    monkeypatch.setattr(Geolocator, "training_step", press)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    presses = [(0, 1)]
    result = CliRunner().invoke(app, ["fit", str(config)])
    assert result.exit_code == 130
    assert "Stopping once the work so far is saved" in result.output
    assert within_epoch(last) == (0, 2)
    presses = [(0, 2), (1, 0)]  # the first at the end of an epoch, which is finished and saved
    result = CliRunner().invoke(app, ["fit", str(config)])
    assert result.exit_code == 130
    assert "Resuming after epoch 0 and step 2." in result.output
    assert within_epoch(last) == (1, 0)
    presses = [(1, 0), (1, 0)]
    before = last.read_bytes()
    monkeypatch.setattr(
        Geolocator, "training_step", lambda *given: signal.raise_signal(signal.SIGINT) or press(*given)
    )
    assert CliRunner().invoke(app, ["fit", str(config)]).exit_code == 130
    assert last.read_bytes() == before
    assert len(rows(tmp_path / "run")) == 1


def test_unreadable_photos_are_skipped_and_listed_if_that_is_wanted(
    write_config, tmp_path, tiny_data, monkeypatch
):
    whole = (tiny_data / "train-0.tar").read_bytes()
    with tarfile.open(tiny_data / "train-0.tar") as tar:
        photo = tar.getmember("summer-palace-2.jpg")
    damaged = bytearray(whole)
    damaged[photo.offset_data : photo.offset_data + 20] = bytes(20)
    (tmp_path / "damaged.tar").write_bytes(damaged)
    config = write_config(hardware={"accelerator": "cpu", "num_workers": 1})
    train = f"data.train.0.tars={tmp_path / 'damaged.tar'}"
    folder, screen = run(config, train, "data.unreadable_photos=skip")
    assert "1 photos cannot be read and were left out" in screen
    (line,) = (folder / "unreadable_photos.txt").read_text().splitlines()
    assert "damaged.tar, summer-palace-2: this is not a photo" in line
    with pytest.raises(PhotoError, match="summer-palace-2: "):
        run(config, train, "run_folder=" + str(tmp_path / "stops"))
    monkeypatch.setattr("train.unreadable._FEW", 0)
    with pytest.raises(ConfigError, match=r"1 of the first \d+ photos of an epoch"):
        run(config, train, "data.unreadable_photos=skip", "run_folder=" + str(tmp_path / "many"))


def test_a_run_whose_tars_are_gone_is_not_resumed_and_older_runs_are(write_config, tmp_path, tiny_data):
    for name in ("train-0.tar", "train-1.tar"):
        (tmp_path / name).write_bytes((tiny_data / name).read_bytes())
    config = write_config(training={"epochs": 1, "batch_size": 12})
    train = f"data.train.0.tars={tmp_path}/train-*.tar"
    folder, _ = run(config, train)
    (tmp_path / "train-1.tar").unlink()
    with pytest.raises(ConfigError, match=r"data\.train: 1 tars are missing .*, the first is .*train-1\.tar"):
        run(config, train)
    (tmp_path / "train-1.tar").write_bytes((tiny_data / "train-1.tar").read_bytes())

    record = folder / "run.json"
    facts = json.loads(record.read_text())
    for section, key in (("training", "accumulate"), ("data", "tars_at_once"), ("head", "dropout")):
        del facts["identity"][section][key]  # as a version would write it that did not know these keys
    record.write_text(json.dumps(facts))
    run(config, train, "training.checkpoint_minutes=1")
    record.write_text(json.dumps(facts))
    with pytest.raises(ConfigError, match=r"differs in training\.accumulate"):
        run(config, train, "training.accumulate=2")


@pytest.mark.parametrize(("precision", "allowed"), [("32", 0), ("16-mixed", 50)])
def test_steps_that_float16_leaves_out_do_not_count_unless_they_are_many(write_config, precision, allowed):
    config = read_config(write_config(), [f"training.precision={precision}"])
    module = make_module(prepare(config), 3)
    module._add_loss(torch.tensor(4.0), 6)
    for _ in range(allowed + 1):
        module._check_loss()
        module._add_loss(torch.tensor(float("inf")), 6)
    with pytest.raises(ConfigError, match="the loss is not a finite number"):
        module._check_loss()
    module._add_loss(torch.tensor(1.0), 3)
    module._check_loss()
    assert module.gather_loss() == 3.0
