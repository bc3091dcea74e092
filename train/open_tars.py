"""Tars that stay open between reads."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, BinaryIO

from geo_model.errors import PhotoError, reason_of

_MOST = 4096
_WITHOUT_LIMITS = 256


class OpenTars:
    """Reads bytes of tars, each of which is opened once; in loader processes, once in each.

    Args:
        paths: Of the tars.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()
        self._process = os.getpid()
        self._most = _files_allowed()

    def read(self, tar: int, offset: int, size: int) -> bytes:
        """Bytes of a tar; fewer than asked for where it has become shorter.

        Args:
            tar: Its position in `paths`.
            offset: Where the bytes begin.
            size: How many.

        Raises:
            PhotoError: The tar cannot be read.
        """
        try:
            file = self._file(tar)
            file.seek(offset)
            return file.read(size)
        except OSError as error:
            reason = reason_of(error)
            raise PhotoError(f"{self._paths[tar]}: it cannot be read any more ({reason}).") from error

    def _file(self, tar: int) -> BinaryIO:
        if self._process != os.getpid():  # forked: files of the parent share their position with it
            self._open, self._process = OrderedDict(), os.getpid()
        if tar in self._open:
            self._open.move_to_end(tar)
        else:
            if len(self._open) >= self._most:
                self._open.popitem(last=False)[1].close()
            self._open[tar] = open(self._paths[tar], "rb", buffering=0)  # noqa: SIM115
        return self._open[tar]

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenTars, (self._paths,)


def _files_allowed() -> int:
    """Half of what the system lets a process open."""
    try:
        import resource
    except ImportError:  # Windows
        return _WITHOUT_LIMITS
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST if soft == resource.RLIM_INFINITY else max(16, min(_MOST, soft // 2))
