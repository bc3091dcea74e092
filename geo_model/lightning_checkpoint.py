"""Reading a Lightning checkpoint without running anything that it holds.

A `.ckpt` is a pickle, and a pickle can name any function to be called. Here torch's restricted unpickler
reads it (`weights_only=True`): tensors, plain Python values and the types of `STAND_INS`, of which
none is imported or built; an inert object takes their place. Any other type ends the reading with its name.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo_model.errors import CheckpointError, reason_of
from geo_model.pickle_types import check_sums, types_named_in

if TYPE_CHECKING:
    from torch import Tensor

_SAFE_TORCH = "2.10"
"""The restricted unpickler of older releases can be made to run code: CVE-2025-32434, CVE-2026-24747."""

_NAMED_TYPE = re.compile(r"GLOBAL ([\w.]+)")


class _Inert:
    """Takes the place of an object whose content is not needed; takes any arguments and keeps none."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


STAND_INS: Mapping[str, type] = {
    # Hyper-parameters.
    "argparse.Namespace": _Inert,
    "pytorch_lightning.utilities.parsing.AttributeDict": dict,
    "lightning.pytorch.utilities.parsing.AttributeDict": dict,
    "lightning_fabric.utilities.data.AttributeDict": dict,
    "lightning.fabric.utilities.data.AttributeDict": dict,
    "pathlib.PosixPath": _Inert,
    "pathlib.WindowsPath": _Inert,
    # Best scores and the like: one number each.
    "numpy.core.multiarray.scalar": _Inert,
    "numpy._core.multiarray.scalar": _Inert,
    "numpy.dtype": _Inert,
    # Lightning before 1.5 names the callbacks whose state it keeps by their classes.
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint": _Inert,
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping": _Inert,
    "pytorch_lightning.callbacks.lr_monitor.LearningRateMonitor": _Inert,
}
"""Types beyond torch's own list (tensors, OrderedDict, ...) that may occur, and what stands in for each."""


@dataclass(frozen=True, eq=False)
class LightningCheckpoint:
    """What is kept of a checkpoint.

    Attributes:
        state_dict: Tensors by name.
        facts: `epoch`, `global_step` and `pytorch-lightning_version`, as far as they are there.
    """

    state_dict: dict[str, Tensor]
    facts: dict[str, int | str]


def read_lightning_checkpoint(path: Path) -> LightningCheckpoint:
    """Read a `.ckpt` file.

    Raises:
        CheckpointError: It is missing, damaged, no Lightning checkpoint, or holds a type that is not allowed;
            or the installed torch is too old to read it safely.
    """
    import torch

    if torch.__version__ < _SAFE_TORCH:
        raise CheckpointError(
            f"{path} was not opened: torch {torch.__version__} has holes that let a checkpoint run code; "
            f"install torch {_SAFE_TORCH} or newer to convert."
        )
    if not path.is_file():
        what = "it is a folder" if path.is_dir() else "there is no such file"
        raise CheckpointError(f"{path}: {what}; give the .ckpt that Lightning wrote.")
    allowed: list[Any] = [(stand_in, name) for name, stand_in in STAND_INS.items()]
    try:
        check_sums(path)
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other protocols; what cannot be read is said below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {reason_of(error)}.") from error
    except Exception as error:  # a damaged or hostile file can raise nearly anything
        named = _NAMED_TYPE.search(str(error))
        # Pickles of other protocols than torch's are refused before any type is named.
        if strange := named[1] if named else next(filter(_is_strange, types_named_in(path)), None):
            raise CheckpointError(
                f"{path} holds the type {strange}, which a checkpoint of this kind does not need; nothing "
                "of it was run, get the checkpoint from its authors again or save its state_dict alone."
            ) from error
        raise CheckpointError(
            f"{path}: it cannot be read as a checkpoint, it is damaged or of another format; get it again."
        ) from error
    state_dict = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state_dict, dict) or not state_dict:
        raise CheckpointError(f"{path}: it has no 'state_dict'; give the .ckpt that Lightning wrote.")
    for name, value in state_dict.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{path}: state_dict holds {name!r}, which is no tensor; get it again.")
    return LightningCheckpoint(dict(state_dict), _facts(content))


def _is_strange(name: str) -> bool:
    """Whether a type is none of those that every checkpoint names."""
    return name not in STAND_INS and not name.startswith(("torch.", "collections.OrderedDict"))


def _facts(content: Mapping[str, Any]) -> dict[str, int | str]:
    facts: dict[str, int | str] = {}
    for key in ("epoch", "global_step"):
        if type(content.get(key)) is int:
            facts[key] = content[key]
    version = content.get("pytorch-lightning_version")
    if isinstance(version, str) and re.fullmatch(r"[\w.+-]{1,40}", version):
        facts["lightning_version"] = version
    return facts
