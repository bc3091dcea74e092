"""What GeoCLIP needs before it can answer: CLIP's weights, and its encoded gallery. No Streamlit in here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Literal

from geo_model import geoclip_parts
from geo_model.errors import GeoModelError
from geo_model.geoclip_parts import Download
from webapp.background import BackgroundWork


class NotReadyError(GeoModelError):
    """The chosen model cannot answer yet.

    Args:
        download: What must be downloaded first; None if it only computes for a while.
    """

    def __init__(self, download: Download | None) -> None:
        self.download = download
        what = f"it lacks {download.what}" if download else "its gallery must be encoded"
        super().__init__(f"{geoclip_parts.NAME} is not ready: {what}; choose it on the page About.")


class _StoppedError(GeoModelError):
    """The visitor stopped it."""


class GeoclipPreparation(BackgroundWork):
    """Downloads what GeoCLIP lacks, then encodes its gallery; both are kept on this machine for good.

    Attributes:
        part: What it is at; `total` and `done` count bytes of the download, or places of the gallery.
        ready: Whether nothing is lacking any more, as far as it is known.
    """

    def __init__(self) -> None:
        super().__init__()
        self.part: Literal["download", "gallery"] = "download"
        self.ready = False
        self._total, self._done = 1, 0

    @property
    def total(self) -> int:
        """Bytes or places in all."""
        return self._total

    @property
    def done(self) -> int:
        """Bytes or places that are there."""
        return self._done

    @property
    def begun(self) -> bool:
        """Whether anybody started it."""
        return self._thread is not None

    def check(self) -> None:
        """Find out whether GeoCLIP can answer.

        Raises:
            NotReadyError: It cannot yet.
            GeoModelError: Its package is not installed, or damaged.
        """
        if self.ready:
            return
        from geo_model.geoclip_gallery import cache_file

        package = geoclip_parts.the_package()
        if geoclip_parts.local_clip() is None:
            raise NotReadyError(geoclip_parts.clip_download())
        if not cache_file(package).is_file():
            raise NotReadyError(None)
        self.ready = True

    def _steps(self) -> Iterator[None]:
        from geo_model.geoclip_download import fetch_clip
        from geo_model.geoclip_gallery import load_gallery

        try:
            if geoclip_parts.local_clip() is None:
                fetch_clip(self._told("download"))
                yield
            import torch

            device = "cuda" if torch.cuda.is_available() else "cpu"
            load_gallery(geoclip_parts.the_package(), device, self._told("gallery"))
        except _StoppedError:
            return
        # Also where the cache cannot be written to and the gallery is encoded at each start.
        self.ready = True
        self._done = self._total
        yield

    def _told(self, part: Literal["download", "gallery"]) -> Callable[[int, int], None]:
        """What is told how far a part is, and stops it when that is wanted."""
        first = True

        def tell(done: int, total: int) -> None:
            nonlocal first
            if self._stop.is_set():
                raise _StoppedError
            self._done, self._total, self.part = done, total, part
            if first:  # what an earlier attempt left took no time now
                self._begun, self._done_before, first = time.monotonic(), done, False

        return tell
