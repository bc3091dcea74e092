"""Streamlit's command, where work on photos goes no further than the number in the file PHOTOS_ALLOWED.

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

from webapp.background import BackgroundWork
from webapp.evaluation_run import EvaluationRun
from webapp.locate_run import LocateRun


def put_a_gate_before(kind: type[BackgroundWork]) -> None:
    """Have this kind of work wait after the photos that are allowed, until more are or it is stopped."""
    as_ever = kind._steps

    def up_to_the_gate(run: BackgroundWork) -> Iterator[None]:
        allowed = Path(os.environ["PHOTOS_ALLOWED"])
        for _ in as_ever(run):
            while run.done >= int(allowed.read_text()) and not run.stopping:
                time.sleep(0.02)
            yield

    kind._steps = up_to_the_gate


put_a_gate_before(LocateRun)
put_a_gate_before(EvaluationRun)

if __name__ == "__main__":
    main(prog_name="streamlit")
