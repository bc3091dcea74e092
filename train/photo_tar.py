"""Writing a WebDataset tar that is there whole or not at all."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from types import TracebackType
from typing import Any

from geo_model.errors import GeoModelError, reason_of


class PhotoTar:
    """Pairs KEY.jpg and KEY.json on their way into a tar. Use as a context manager.

    Until the block ends without an error, the tar has another name, which no `*.tar` matches; what a killed
    program leaves under it is overwritten the next time. Without a photo there will be no tar.

    Args:
        path: The tar to write.

    Raises:
        GeoModelError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._part = path.with_name(f".{path.name}.part")
        try:
            self._file = open(self._part, "wb")  # noqa: SIM115
            self._tar = tarfile.TarFile(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)
        except OSError as error:
            raise self._error(error) from error

    def __enter__(self) -> PhotoTar:
        return self

    def add(self, key: str, jpeg: bytes, annotation: dict[str, Any]) -> None:
        """Add a photo.

        Args:
            key: Its name without suffix; no dot in it.
            jpeg: The photo.
            annotation: What its JSON says.

        Raises:
            GeoModelError: It cannot be written.
        """
        try:
            for suffix, content in ((".jpg", jpeg), (".json", json.dumps(annotation).encode())):
                member = tarfile.TarInfo(key + suffix)
                member.size = len(content)
                member.mode = 0o644
                self._tar.addfile(member, io.BytesIO(content))
        except OSError as error:
            raise self._error(error) from error
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._tar.close()
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            if kind is None and self.count:
                os.replace(self._part, self.path)
            else:
                self._part.unlink(missing_ok=True)
                if kind is None:
                    self.path.unlink(missing_ok=True)
        except OSError as failure:
            self._file.close()
            self._part.unlink(missing_ok=True)
            raise self._error(failure) from failure

    def _error(self, error: OSError) -> GeoModelError:
        return GeoModelError(f"{self.path} cannot be written: {reason_of(error)}")
