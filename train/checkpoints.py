"""Checkpoints that a crash at any moment leaves whole, in the midst of an epoch as well."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from rich.console import Console

from train.ranks import any_says, ranks

_PART = ".part"
_ASK_EVERY = 10
"""Steps after which several processes ask each other whether it is time to save or to stop."""


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there once it is on the disk.

    Lightning writes to the system's folder of temporary files first; from another disk a file is copied to
    its place, and a crash leaves half of it there.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any = None,  # noqa: ANN401 - as Lightning declares it
    ) -> None:
        """Write a checkpoint."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}-", suffix=_PART, dir=target.parent)
        try:
            with open(handle, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)


def remove_parts(folder: Path) -> None:
    """Remove what a crash left of checkpoints that were being written."""
    for path in folder.glob(f".*{_PART}"):
        path.unlink(missing_ok=True)


def within_epoch(checkpoint: Path) -> tuple[int, int]:
    """Which epoch a run goes on with after a checkpoint, and how many of its passes have been made.

    Args:
        checkpoint: Its path.
    """
    content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    return tuple(content.get("within_epoch") or (int(content["epoch"]) + 1, 0))  # type: ignore[return-value]


class WithinEpoch(Checkpoint):
    """Saves a checkpoint in the midst of an epoch, now and then and when the run is asked to stop.

    Ctrl-C or a request to terminate ends the run after the step at hand, once that is saved; after the epoch,
    if it is being validated. A second one ends it at once.

    Args:
        path: Of the checkpoint.
        minutes: Between two of them; 0 for none by time.
        steps: Likewise, steps of the optimiser.
        console: To say so.
    """

    def __init__(self, path: Path, minutes: float, steps: int, console: Console) -> None:
        self._path, self._minutes, self._steps, self._console = path, minutes, steps, console
        self._saved_at = 0.0
        self._passes: tuple[int, int] | None = None
        self._stop = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take over the signals; Lightning gives them back after training."""
        self._saved_at = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._ask_to_stop)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,  # noqa: ANN401 - as Lightning declares it
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Save if it is time, and stop if that was asked for."""
        passes = batch_idx + 1
        if passes % trainer.accumulate_grad_batches or passes >= trainer.num_training_batches:
            return  # in the midst of a step nothing is whole; the end of an epoch is saved elsewhere
        due, stop = self._decide(trainer.global_step)
        if due or stop:
            pl_module.gather_loss()  # type: ignore[operator]
            self._passes = trainer.current_epoch, passes
            trainer.save_checkpoint(self._path)
            self._passes = None
            self._saved_at = time.monotonic()
            self._console.print(
                f"epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}  step "
                f"{passes // trainer.accumulate_grad_batches:,} of "
                f"{trainer.num_training_batches // trainer.accumulate_grad_batches:,}: saved",
                highlight=False,
                markup=False,
            )
        if stop:
            raise KeyboardInterrupt

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop now that the epoch is saved, if that was asked for."""
        self._saved_at = time.monotonic()
        if any_says([self._stop])[0]:
            raise KeyboardInterrupt

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note how far the epoch is."""
        checkpoint["within_epoch"] = list(self._passes) if self._passes else None

    def _decide(self, step: int) -> tuple[bool, bool]:
        """Whether to save and whether to stop; the same in all processes."""
        by_steps = self._steps > 0 and step % self._steps == 0
        if ranks().world > 1 and step % _ASK_EVERY:
            return by_steps, False
        by_time = self._minutes > 0 and time.monotonic() - self._saved_at >= 60 * self._minutes
        by_time, stop = any_says([by_time, self._stop])
        return by_steps or by_time, stop

    def _ask_to_stop(self, number: int, _: FrameType | None) -> None:
        self._stop = True
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if ranks().first:
            self._console.print("Stopping once the work so far is saved; Ctrl-C again stops at once.")
