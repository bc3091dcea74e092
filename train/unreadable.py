"""Training photos that cannot be decoded and are left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from rich.console import Console

from geo_model.errors import ConfigError
from geo_model.files import replaced_when_written
from train.ranks import from_all, ranks

_SHARE = 0.01
"""More unreadable photos than this are a fault of the data, not of a photo."""

_FEW = 10
"""So many are no fault, however few have been seen."""


class UnreadablePhotos(L.Callback):
    """Lists photos that were left out, and ends a run in which they are many.

    Args:
        path: Of the list: a line for each photo, saying which and why (UTF-8, LF, sorted).
        console: To say how many there are after each epoch.
    """

    def __init__(self, path: Path, console: Console) -> None:
        self._path, self._console = path, console
        self._reasons: list[str] = []
        self._seen = 0

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,  # noqa: ANN401 - as Lightning declares it
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Note what was left out.

        Raises:
            ConfigError: It is too much.
        """
        self._reasons += batch["unreadable"]
        self._seen += len(batch["row"]) + len(batch["unreadable"])
        if len(self._reasons) > max(_FEW, _SHARE * self._seen):
            raise ConfigError(
                f"data.unreadable_photos: {len(self._reasons):,} of the first {self._seen:,} photos of an "
                f"epoch cannot be read, more than {_SHARE:.0%}; the last: {self._reasons[-1]}"
            )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add to the list."""
        reasons = {reason for part in from_all(self._reasons) for reason in part}
        self._reasons, self._seen = [], 0
        if not reasons or not ranks().first:
            return
        if self._path.is_file():
            reasons.update(self._path.read_text(encoding="utf-8").splitlines())
        with replaced_when_written(self._path) as file:
            file.writelines(f"{reason}\n" for reason in sorted(reasons))
        self._console.print(
            f"{len(reasons):,} photos cannot be read and were left out; {self._path} lists them.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint in the midst of an epoch."""
        return {"reasons": list(self._reasons), "seen": self._seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        if ranks().first:
            self._reasons, self._seen = list(state_dict["reasons"]), int(state_dict["seen"])
