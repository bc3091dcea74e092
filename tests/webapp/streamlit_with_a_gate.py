"""Streamlit's command, where a batch of photos goes no further than the number in the file PHOTOS_ALLOWED.

So a test knows that the batch was still running when it did something, on a fast machine too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the packages

from streamlit.web.cli import main

from webapp.locate_run import LocateRun

located_as_ever = LocateRun._steps


def located_up_to_the_gate(run: LocateRun) -> Iterator[None]:
    """The steps of the run itself, with a wait after those that are allowed."""
    allowed = Path(os.environ["PHOTOS_ALLOWED"])
    for _ in located_as_ever(run):
        while run.done >= int(allowed.read_text()):
            time.sleep(0.02)
        yield


LocateRun._steps = located_up_to_the_gate

if __name__ == "__main__":
    main(prog_name="streamlit")
