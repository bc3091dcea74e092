"""Activations lie in huge pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from geo_model.huge_pages import VARIABLE

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

FAULTS = """
import resource
import torch
from geo_model.huge_pages import ask_for_huge_pages
ask_for_huge_pages()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(64_000_000, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(given: str | None) -> int:
    """Page faults of a fresh process that fills 64 MB, where the user has set torch's switch or not."""
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    if given is not None:
        environment[VARIABLE] = given
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(
    not HUGE_PAGES.is_file() or "[never]" in HUGE_PAGES.read_text(),
    reason="needs a Linux that gives processes huge pages (/sys/kernel/mm/transparent_hugepage/enabled)",
)
def test_a_block_is_fetched_in_huge_pages_unless_the_user_said_otherwise() -> None:
    small_pages = faults("0")
    assert small_pages > 10_000
    assert faults(None) < small_pages / 10
