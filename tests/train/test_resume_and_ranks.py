"""Runs that are killed, and runs of several processes, as a user starts them."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from rich.console import Console

from train import ranks
from train.checkpoints import within_epoch
from train.config import read_config
from train.fit import fit
from train.launch import _free_port, launch

ROOT = Path(__file__).resolve().parents[2]
RECORDING = Path(__file__).with_name("recording_train.py")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0"}


def start(*command: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(run: subprocess.Popen[str], text: str) -> str:
    """What a process says up to a line with a text; fails if it ends before."""
    said = ""
    for line in run.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it ended without {text!r}:\n{said}")


def in_this_process(config: Path, *overrides: str) -> str:
    screen = io.StringIO()
    fit(read_config(config, overrides), console=Console(file=screen, width=250))
    return screen.getvalue()


def state(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("seconds", "photos_per_second")} for row in rows]


def recorded(folder: Path) -> list[tuple[int, int, int, list[int]]]:
    """Rank, epoch, pass and rows of every pass."""
    return [
        (int(path.stem.removeprefix("rank-")), int(epoch), int(number), [int(row) for row in rows])
        for path in sorted(folder.glob("rank-*.txt"))
        for epoch, number, *rows in (line.split() for line in path.read_text().splitlines())
    ]


def test_a_run_killed_in_the_midst_of_an_epoch_ends_with_the_weights_of_an_unbroken_one(
    write_config, tmp_path
):
    config = write_config(
        training={
            **{"epochs": 2, "batch_size": 6, "accumulate": 2, "ema_decay": 0.9, "mixup_alpha": 0.2},
            "checkpoint_steps": 2,
        },
        head={"dropout": 0.3},
        hardware={"accelerator": "cpu", "num_workers": 1, "threads": 1},
    )
    seen = tmp_path / "seen"
    seen.mkdir()
    whole, broken = f"run_folder={tmp_path / 'whole'}", f"run_folder={tmp_path / 'broken'}"
    killed = start(RECORDING, "fit", config, "--set", broken, RECORD_FOLDER=str(seen))
    until(killed, "epoch   2/2  step 4 of 6: saved")
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert len(table(tmp_path / "broken")) == 1
    assert not list((tmp_path / "broken" / "checkpoints").glob("best-*"))

    before = recorded(seen)
    resumed = start(RECORDING, "fit", config, "--set", broken, RECORD_FOLDER=str(seen))
    said = until(resumed, "trained and calibrated")
    assert resumed.wait() == 0
    assert "Resuming after epoch 1 and step 4." in said
    in_this_process(config, whole)

    for name in ("last", "best"):
        a, b = state(tmp_path / "whole", name), state(tmp_path / "broken", name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert table(tmp_path / "whole") == table(tmp_path / "broken")
    # What was lost with the kill is what came after the checkpoint: passes 8 and on of the second epoch.
    kept = [entry for entry in before if (entry[1], entry[2]) < (1, 8)]
    after = recorded(seen)[len(before) :]
    assert [entry[1:3] for entry in after] == [(1, number) for number in range(8, 12)]
    for epoch in (0, 1):
        rows = [row for _, e, _, taken in kept + after if e == epoch for row in taken]
        assert sorted(rows) == list(range(36))


def test_two_processes_see_each_photo_once_an_epoch_and_learn_what_one_learns(write_config, tmp_path):
    """With torchrun; a backbone without batch normalisation, whose statistics are those of a part."""
    common = {
        "backbone": {"name": "test_convnext", "weights": "none", "trainable": "all"},
        "labels": {"kind": "soft", "sigma_km": 500},
    }
    training = {"epochs": 2, "batch_size": 8, "ema_decay": 0.9}
    config = write_config(**common, training={**training, "accumulate": 2})
    seen = tmp_path / "seen"
    seen.mkdir()
    run = start(
        *("-m", "torch.distributed.run", "--nproc-per-node", 2, "--master-addr", "127.0.0.1"),
        *("--master-port", _free_port(), RECORDING, "fit", config),
        *("--set", f"run_folder={tmp_path / 'two'}"),
        RECORD_FOLDER=str(seen),
    )
    said, _ = run.communicate(timeout=600)
    assert run.returncode == 0, said
    assert said.count("Training photos: 36") == said.count("trained and calibrated") == 1
    assert said.count("epoch   2/2") == 1

    passes = recorded(seen)
    assert Counter((rank, epoch) for rank, epoch, _, _ in passes) == {
        (rank, epoch): 8 for rank in (0, 1) for epoch in (0, 1)
    }
    for epoch in (0, 1):  # 36 photos are 4 batches of 8; the other 4 are left out
        rows = [row for _, e, _, taken in passes if e == epoch for row in taken]
        assert len(rows) == len(set(rows)) == 32
    left_out = [
        set(range(36)) - {row for _, e, _, taken in passes if e == epoch for row in taken} for epoch in (0, 1)
    ]
    assert left_out[0] != left_out[1]

    in_this_process(write_config(**common, training=training), f"run_folder={tmp_path / 'one'}")
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-3, atol=1e-4, msg=key)
    for a, b in zip(table(tmp_path / "one"), table(tmp_path / "two"), strict=True):
        assert a.keys() == b.keys()
        for figure in ("train/loss", "val/nll", "val/wild/nll_fine", "val/median_km", "val/top5_coarse"):
            assert float(a[figure]) == pytest.approx(float(b[figure]), rel=1e-3), figure


def test_one_command_starts_a_process_for_each_device_and_ctrl_c_stops_them_all(write_config, tmp_path):
    config = write_config(
        backbone={
            **{"name": "test_efficientnet", "weights": "none"},
            **{"trainable": {"last_stages": 2}, "cached_views": 2},
        },
        training={"epochs": 50, "batch_size": 12, "checkpoint_steps": 1},
        hardware={"accelerator": "cpu", "devices": 2, "num_workers": 0, "threads": 1},
    )
    run = start("-m", "train", "fit", config)
    said = until(run, "epoch   2/50  step 1 of 3: saved")
    processes = children(run.pid)
    assert len(processes) == 2
    run.send_signal(signal.SIGINT)
    said += run.communicate(timeout=600)[0]
    assert run.returncode == 130, said
    assert not any(alive(pid) for pid in processes)
    assert said.count("The same command goes on from the last checkpoint.") == 1
    assert said.count("Training photos: 36") == 1
    assert "Traceback" not in said
    epoch, passes = within_epoch(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert (epoch, passes) >= (1, 1)


def test_no_process_outlives_the_one_that_started_it(tmp_path):
    child = (
        "import time; from train.ranks import _end_with_parent; "
        "_end_with_parent(); print('up'); time.sleep(99)"
    )
    parent = (
        "import os, subprocess, sys; os.environ['GEO_TRAIN_PARENT'] = str(os.getpid()); "
        f"subprocess.Popen([sys.executable, '-u', '-c', {child!r}]).wait()"
    )
    run = start("-c", parent)
    until(run, "up")
    (orphan,) = children(run.pid)
    assert alive(orphan)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 60
    while alive(orphan) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(orphan)


def test_what_is_wrong_is_said_once_and_ends_all_processes(write_config, capfd):
    config = write_config(
        training={"batch_size": 13}, hardware={"accelerator": "cpu", "devices": 2, "num_workers": 0}
    )
    assert launch(["fit", str(config)], 2) == 1
    said = capfd.readouterr().err
    assert (
        said.count("Error: training.batch_size: 13 photos cannot be cut into equal parts on 2 devices") == 1
    )
    assert said.count("Error") == 1
    assert "Traceback" not in said


def test_the_end_of_another_process_is_said_by_one_on_each_machine(monkeypatch):
    lost = RuntimeError("[pair.cc:561] Connection closed by peer [10.0.0.7]:32941. This is typically")
    monkeypatch.setattr(ranks, "_control", object())
    for number, local_rank, expected in ((0, 0, ranks.ConnectionLostError), (1, 1, SystemExit)):
        for name, value in (("RANK", number), ("LOCAL_RANK", local_rank)):
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("WORLD_SIZE", "4")
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
        with pytest.raises(expected), ranks.lost_connections_in_one_sentence():
            raise lost
    with pytest.raises(RuntimeError, match="out of memory"), ranks.lost_connections_in_one_sentence():
        raise RuntimeError("CUDA out of memory")


def children(parent: int) -> list[int]:
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.read_text().rpartition(")")[2].split()[1] == str(parent)
    ]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
