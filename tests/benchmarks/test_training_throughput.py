"""The throughput benchmark runs; how fast, no test asks."""

from __future__ import annotations

import argparse
import importlib.util
import re
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("training_throughput.py")


def test_it_prints_both_speeds_and_their_ratio(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("training_throughput", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "CELL_LEVELS", {"coarse": 1, "middle": 2, "fine": 3})
    monkeypatch.setattr(script, "MADE_UP", 12)
    script.measure(
        tmp_path,
        argparse.Namespace(
            config=script.ROOT / "train" / "configs" / "base_m.yaml",
            overrides=[
                *("backbone.name=test_efficientnet", "training.batch_size=4", "training.precision=32"),
                *("input.resize_short_px=72", "input.crop_px=64", "hardware.num_workers=0"),
            ],
            tars=None,
            steps=2,
            device="cpu",
        ),
    )
    said = capsys.readouterr().out
    assert said.startswith(
        "test_efficientnet, 24 / 96 / 384 cells, batches of 4, precision 32, 0 loader processes, cpu\n"
    )
    numbers = [float(text.replace(",", "")) for text in re.findall(r"([\d,.]+) photos/s", said)]
    network, loader, fit = numbers
    again = float(re.search(r"([\d,.]+) at the end", said).group(1).replace(",", ""))
    assert min(network, again, loader, fit) > 0
    share = int(re.search(r"(\d+)% of the network's", said).group(1))
    assert share == pytest.approx(200 * fit / (network + again), abs=1)
