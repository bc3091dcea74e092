import subprocess
import sys
from pathlib import Path

import pytest
import torch

from train.checkpoints import WholeFiles, remove_parts, within_epoch

ROOT = Path(__file__).resolve().parents[2]

DIES_WHILE_WRITING = """
import os, sys, torch
from train.checkpoints import WholeFiles

def half(content, file):
    file.write(b"PK" * 1000)
    file.flush()
    os.kill(os.getpid(), 9)

torch.save = half
WholeFiles().save_checkpoint({"a": 2}, sys.argv[1])
"""


def test_a_crash_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    WholeFiles().save_checkpoint({"a": torch.arange(3)}, path)
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", DIES_WHILE_WRITING, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2
    remove_parts(path.parent)
    assert list(path.parent.iterdir()) == [path]
    assert torch.load(path, weights_only=True)["a"].tolist() == [0, 1, 2]


def test_a_checkpoint_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(content, file):
        file.write(b"PK")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        WholeFiles().save_checkpoint({"a": 1}, tmp_path / "last.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_where_a_run_goes_on(tmp_path):
    for number, (content, expected) in enumerate(
        (
            ({"epoch": 3, "within_epoch": None}, (4, 0)),
            ({"epoch": 3, "within_epoch": [3, 120]}, (3, 120)),
            ({"epoch": 0}, (1, 0)),
        )
    ):
        WholeFiles().save_checkpoint(content, tmp_path / f"{number}.ckpt")
        assert within_epoch(tmp_path / f"{number}.ckpt") == expected
