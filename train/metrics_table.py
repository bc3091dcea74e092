"""A few lines an epoch on the screen, one row an epoch in metrics.csv."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar
from rich.console import Console

from geo_model.measurements import ANSWERS, HIERARCHY
from geo_model.metrics import THRESHOLDS_KM
from train.data import EpochBatches
from train.figures import TOP


class MetricsTable(L.Callback):
    """Writes metrics.csv (LF, UTF-8, header) and prints each epoch's figures.

    Columns: `epoch` from 0, `step`, `seconds` of the epoch, `photos_per_second` of its training, `lr/...`
    at its end, `train/loss`, `val/...`. A resumed run keeps the rows of the epochs it does not repeat. Of
    several processes the first does this.

    Args:
        path: Of the CSV.
        console: For the lines.
    """

    def __init__(self, path: Path, console: Console) -> None:
        self._path, self._console = path, console
        self._rows: list[dict[str, str]] = []
        self._started = self._trained = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Read what an earlier part of the run wrote."""
        self._rows = []
        if self._path.is_file():
            with open(self._path, newline="", encoding="utf-8") as file:
                self._rows = [
                    row for row in csv.DictReader(file) if int(row["epoch"]) < trainer.current_epoch
                ]
        # What the epoch at hand took before it was interrupted counts as well.
        self._started = time.monotonic() - self._trained
        batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        if trainer.global_step and trainer.current_epoch < (trainer.max_epochs or 0):
            within = 0 < batches < trainer.num_training_batches
            done = f" and step {batches // trainer.accumulate_grad_batches:,}" if within else ""
            self._print(trainer, f"Resuming after epoch {trainer.current_epoch}{done}.")

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note the time."""
        self._started = time.monotonic()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note how long training took."""
        self._trained = time.monotonic() - self._started

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write a row and print a line."""
        figures = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if not name.startswith("step/")
        }
        batches: EpochBatches = trainer.train_dataloader.batch_sampler  # type: ignore[union-attr]
        speed = batches.photos / max(self._trained, 1e-9)
        row: dict[str, float | int] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "seconds": round(time.monotonic() - self._started, 1),
            "photos_per_second": speed,
        }
        self._trained = 0.0
        row |= {f"lr/{g['name']}": g["lr"] for o in trainer.optimizers for g in o.param_groups}
        row |= figures
        self._rows.append({name: f"{value:.8g}" for name, value in row.items()})
        if trainer.is_global_zero:
            self._write()
        self._print(trainer, epoch_line(trainer.current_epoch, trainer.max_epochs, figures, speed))

    def state_dict(self) -> dict[str, float]:
        """For a checkpoint in the midst of an epoch."""
        return {"trained": time.monotonic() - self._started}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Take it up again."""
        self._trained = state_dict["trained"]

    def _print(self, trainer: L.Trainer, line: str) -> None:
        bar = trainer.progress_bar_callback
        # A live progress bar must do the printing itself, or the line lands in the middle of it.
        console = bar.progress.console if isinstance(bar, RichProgressBar) and bar.progress else self._console
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        fresh = self._path.with_suffix(".new")
        with open(fresh, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)
        fresh.replace(self._path)


def epoch_line(epoch: int, epochs: int | None, figures: dict[str, float], speed: float) -> str:
    """An epoch's figures: the losses, shares within 200, 750 and 2500 km by kind, and a line for each answer.

    Args:
        epoch: From 0.
        epochs: Of the run.
        figures: As they are logged.
        speed: Photos a second.
    """
    parts = [
        f"epoch {epoch + 1:>3}/{epochs}",
        f"loss {figures.get('train/loss', math.nan):.3f}",
        f"val loss {figures.get('val/loss', math.nan):.3f}",
        f"nll {figures.get('val/nll', math.nan):.3f}",
    ]
    groups = sorted(
        name[len("val/") : -len("/accuracy_750")]
        for name in figures
        if name.count("/") > 1 and name.startswith("val/") and name.endswith("/accuracy_750")
    )
    for group in groups:
        shares = [100 * figures[f"val/{group}/accuracy_{km}"] for km in (200, 750, 2500)]
        parts.append(f"{group} {shares[0]:.1f} / {shares[1]:.1f} / {shares[2]:.1f}%")
    parts.append(f"{speed:,.0f} photos/s")
    return "\n".join(["  ".join(parts), *(_answer_line(answer, figures) for answer in ANSWERS)])


def _answer_line(answer: str, figures: dict[str, float]) -> str:
    """How often the true cell is among the most probable, and how near the answer is."""
    tops = " / ".join(f"{100 * figures.get(f'val/top{k}_{answer}', math.nan):4.1f}" for k in TOP)
    level = "" if answer == HIERARCHY else f"_{answer}"
    shares = " / ".join(
        f"{100 * figures.get(f'val/accuracy_{km:g}{level}', math.nan):4.1f}" for km in THRESHOLDS_KM
    )
    thresholds = " / ".join(f"{km:g}" for km in THRESHOLDS_KM)
    return f"  {answer:<9}  top {' / '.join(map(str, TOP))}: {tops}%  within {thresholds} km: {shares}%"


def group_line(name: str, figures: dict[str, float]) -> str:
    """The calibrated figures of one group of photos in one line."""
    shares = " / ".join(f"{100 * figures[f'accuracy_{km}']:.1f}" for km in (1, 25, 200, 750, 2500))
    return (
        f"  {name} ({figures['photos']:,.0f} photos): {shares} % within 1 / 25 / 200 / 750 / 2500 km, median "
        f"{figures['median_km']:,.0f} km, 50% and 90% regions hold {figures['coverage_0.5']:.1%} and "
        f"{figures['coverage_0.9']:.1%}"
    )
