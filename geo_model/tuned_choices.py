"""What `python -m geo_model tune` found on this machine, kept in the user's cache folder.

File format: JSON with the keys `format` (1) and `choices`, which maps "device | backbone | torch version" to
an object with the fields of `measured_choices.Choices`; `dtype` is a name such as "bfloat16". A choice counts
only where all three are the same. GEO_MODEL_TUNED_CHOICES names another file, or, empty, none at all.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch

from geo_model.errors import GeoModelError
from geo_model.files import replaced_when_written
from geo_model.measured_choices import Choices, JpegDecoder, Way

FILE_VARIABLE = "GEO_MODEL_TUNED_CHOICES"
_FORMAT = 1
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_MOST = 4096
"""Photos in a batch, or threads: more is a damaged file."""


def choices_file() -> Path | None:
    """The file that keeps them; None if the environment wants none."""
    given = os.environ.get(FILE_VARIABLE)
    if given is not None:
        return Path(given) if given else None
    from platformdirs import user_cache_path

    return user_cache_path("geolocation-images", appauthor=False) / "tuned-choices.json"


def device_name(device: torch.device) -> str:
    """The device's own name; of a processor with its cores and the threads that torch takes."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def tuned(device: torch.device, backbone: str) -> Choices | None:
    """What was found for a network on this device with this torch; None if nothing was."""
    file = choices_file()
    return None if file is None else _read(file).get(_key(device, backbone))


def keep(device: torch.device, backbone: str, choices: Choices) -> Path:
    """Keep what was found; returns the file.

    Raises:
        GeoModelError: It cannot be written, or the environment wants no file.
    """
    file = choices_file()
    if file is None:
        raise GeoModelError(f"{FILE_VARIABLE} is empty, so nothing is kept; unset it or name a file.")
    everything = {**_read(file), _key(device, backbone): choices}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GeoModelError(f"{file.parent} cannot be made: {error.strerror or error}") from error
    content = {"format": _FORMAT, "choices": {key: _plain(value) for key, value in everything.items()}}
    with replaced_when_written(file) as out:
        json.dump(content, out, indent=2)
        out.write("\n")
    return file


def forget() -> Path | None:
    """Remove the file; returns which it was, None if there was none."""
    file = choices_file()
    if file is None or not file.exists():
        return None
    try:
        file.unlink()
    except OSError as error:
        raise GeoModelError(f"{file} cannot be removed: {error.strerror or error}") from error
    return file


def _key(device: torch.device, backbone: str) -> str:
    return f"{device_name(device)} | {backbone} | torch {torch.__version__}"


def _read(file: Path) -> dict[str, Choices]:
    try:
        status = file.stat()
    except OSError:
        return {}
    return _parsed(file, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4)
def _parsed(file: Path, changed: int, size: int) -> dict[str, Choices]:
    """What the file holds, read once each time that it changes; nothing, with a warning, if it is damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
        return {str(key): _choices(value) for key, value in content["choices"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        logging.getLogger(__name__).warning(
            "%s is damaged and ignored (%s); `python -m geo_model tune` writes it anew.",
            file,
            " ".join(str(error).split())[:100] or type(error).__name__,
        )
        return {}


def _plain(choices: Choices) -> dict[str, Any]:
    return {**asdict(choices), "dtype": str(choices.dtype).removeprefix("torch.")}


def _choices(values: Mapping[str, Any]) -> Choices:
    """Raises one of what `_parsed` catches where a value is impossible."""
    choices = Choices(**{**values, "dtype": _DTYPES[values["dtype"]]})
    counts = [choices.batch_size, choices.readers, choices.batches_ahead + 1]
    counts += [] if choices.photos_at_once is None else [choices.photos_at_once]
    for count in counts:
        if type(count) is not int or not 1 <= count <= _MOST:
            raise ValueError(f"{count!r} is no number of photos or threads")
    if choices.way not in get_args(Way) or choices.jpegs not in get_args(JpegDecoder):
        raise ValueError(f"{choices.way!r} or {choices.jpegs!r} is unknown")
    return choices
