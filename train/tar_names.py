"""Which tars a pattern names, and whether some are missing."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence

from geo_model.errors import ConfigError
from train.config import Source

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_NUMBER = re.compile(r"\d+(?=\D*$)")
_NAMED = 3


def matching_tars(source: Source, key: str) -> list[str]:
    """The files that a source names, sorted.

    Args:
        source: Its `tars` is a path, a glob pattern, or either with braces: `{00000..00469}` stands for
            each of these numbers, `{a,b}` for each of these texts. Every name that braces lead to must exist.
        key: Of the pattern in the configuration, for errors.

    Raises:
        ConfigError: There is none, or one that braces name is missing.
    """
    named = list(expanded(source.tars))
    found: set[str] = set()
    missing = []
    for pattern in named:
        tars = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
        found.update(tars)
        if not tars:
            missing.append(pattern)
    if not found:
        raise ConfigError(
            f"{key}: no file matches {source.tars!r} (looked from {os.getcwd()}); check the path."
        )
    if missing:
        raise ConfigError(
            f"{key}: {len(missing):,} of the {len(named):,} names of {source.tars!r} are missing: "
            f"{_some(missing)}; get them, or do not name them."
        )
    return sorted(found)


def check_gaps(tars: Sequence[str], key: str) -> None:
    """Refuse tars that are numbered but for some numbers, as after an incomplete copy.

    Args:
        tars: Paths. Those that differ in nothing but their last number are held to be one row of tars, if
            at least half of the numbers from the lowest to the highest are there.
        key: Of the pattern in the configuration, for errors.

    Raises:
        ConfigError: A number of a row is missing.
    """
    rows: dict[tuple[str, str, int], set[int]] = {}
    for path in tars:
        if number := _NUMBER.search(os.path.basename(path)):
            at = len(path) - len(os.path.basename(path)) + number.start()
            text = number.group()
            rows.setdefault((path[:at], path[at + len(text) :], len(text)), set()).add(int(text))
    for (before, after, width), numbers in rows.items():
        span = max(numbers) - min(numbers) + 1
        if len(numbers) < span <= 2 * len(numbers):  # names with fewer of the numbers count something else
            missing = sorted(set(range(min(numbers), max(numbers))) - numbers)
            names = [f"{before}{number:0{width}}{after}" for number in missing]
            raise ConfigError(
                f"{key}: {len(missing):,} numbers of a row of tars are missing: {_some(names)}; get them, or "
                "set data.gaps to allow if that is meant."
            )


def expanded(pattern: str) -> Iterator[str]:
    """The patterns without braces that one with braces stands for; itself where there are none."""
    braces = _BRACES.search(pattern)
    if braces is None:
        yield pattern
        return
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    span = _RANGE.fullmatch(braces.group(1))
    if span:
        first, last = span.groups()
        parts = [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    else:
        parts = braces.group(1).split(",")
    for part in parts:
        yield from expanded(before + part + after)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
