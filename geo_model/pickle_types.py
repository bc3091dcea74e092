"""What a pickle names, found by reading its instructions and following none of them."""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_MOST_INSTRUCTIONS = 1_000_000


def types_named_in(path: Path) -> list[str]:
    """Types and functions that the pickles of a file name, in their order; fewer where it is damaged.

    Args:
        path: A pickle, or a zip as torch writes it, with pickles in it.
    """
    found: dict[str, None] = {}
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    if member.endswith(".pkl"):
                        with archive.open(member) as file:
                            _collect(file, found)
        else:
            with path.open("rb") as file:
                while file.peek(1):  # older releases of torch wrote several pickles one after the other
                    _collect(file, found)
    except Exception:  # junk; what was found up to there counts
        return list(found)
    return list(found)


def check_sums(path: Path) -> None:
    """Compare the parts of a zip with their checksums, which torch does not do; other files have none.

    Raises:
        zipfile.BadZipFile: A part is damaged.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(damaged)


def _collect(file: IO[bytes], found: dict[str, None]) -> None:
    for name in _names(file):
        found.setdefault(name)


def _names(file: IO[bytes]) -> Iterator[str]:
    texts: list[str] = []
    memo: list[str] = []
    last = ""
    for number, (instruction, argument, _) in enumerate(pickletools.genops(file)):
        name = instruction.name
        if number > _MOST_INSTRUCTIONS:
            return
        if name in ("GLOBAL", "INST"):
            yield _printable(str(argument).replace(" ", "."))
        elif name == "STACK_GLOBAL":
            yield _printable(".".join(texts[-2:]))
        elif "UNICODE" in name:
            texts.append(str(argument))
        elif name == "MEMOIZE":
            memo.append(texts[-1] if "UNICODE" in last else "")
        elif name in ("BINGET", "LONG_BINGET", "GET") and int(argument or 0) < len(memo):
            texts.append(memo[int(argument or 0)])
        last = name


def _printable(name: str) -> str:
    return re.sub(r"[^\w.]", "_", name)[:100]
