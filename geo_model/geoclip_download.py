"""CLIP's weights from Hugging Face's hub into its cache, in a download that can be stopped and goes on later.

The hub's own library begins a file anew when it was stopped, which hurts at 1.7 GB. Here the bytes gather in
a file of their own beside the blobs of the library's cache (a blob is named after its hash, says "Understand
caching" in its documentation). With the size and the hash that the hub names it becomes such a blob, which
the library and all that use it find there.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from geo_model.errors import GeoModelError
from geo_model.geoclip_parts import CLIP_FILES, CLIP_REPOSITORY, NAME, clip_download

Progress = Callable[[int, int], None]
"""Told how many bytes are here and how many there are in all; a GeoModelError that it raises ends the
download, and what was fetched is kept."""


def fetch_clip(progress: Progress | None = None) -> Path:
    """Download CLIP's weights into Hugging Face's cache; what an earlier attempt fetched is kept.

    Args:
        progress: Without it the hub's library draws its own bar.

    Returns:
        The folder that holds them.

    Raises:
        GeoModelError: They cannot be had.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    hide_bar = progress is not None and not are_progress_bars_disabled()
    if hide_bar:
        disable_progress_bars()
    try:
        files = [(url, get_hf_file_metadata(url)) for url in map(_url_of(hf_hub_url), CLIP_FILES)]
        total = sum(facts.size or 0 for _, facts in files)
        before = 0
        for url, facts in files:
            _fetch_blob(url, str(facts.etag), int(facts.size or 0), _shifted(progress, before, total))
            before += facts.size or 0
        # All of it is in the cache; this gives the files their names there.
        paths = [Path(hf_hub_download(CLIP_REPOSITORY, name)) for name in CLIP_FILES]
        return paths[0].parent
    except GeoModelError:
        raise
    except Exception as error:  # the hub, its network library and the disk fail in many ways
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise GeoModelError(
            f"{NAME}: CLIP's weights could not be fetched from {clip_download().host} ({reason}); check the "
            "connection and the free disk space and try again, what was fetched so far is kept"
        ) from error
    finally:
        if hide_bar:
            enable_progress_bars()


def partial_bytes() -> int:
    """How much of a download that was stopped is on this machine, in bytes."""
    return sum(part.stat().st_size for part in _blobs().glob(f"*{_PART}"))


_PART = ".geolocation-part"


def _url_of(hf_hub_url: Callable[..., str]) -> Callable[[str], str]:
    return lambda name: hf_hub_url(CLIP_REPOSITORY, name)


def _blobs() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE) / f"models--{CLIP_REPOSITORY.replace('/', '--')}" / "blobs"


def _shifted(progress: Progress | None, before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, total) if progress else None


def _fetch_blob(url: str, etag: str, size: int, report: Callable[[int], None]) -> None:
    """Have one file as a blob of the cache; goes on with what is there of it."""
    from filelock import FileLock, Timeout
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    if not re.fullmatch(r"[\w-]{1,128}", etag) or not size:
        raise GeoModelError(
            f"{NAME}: {clip_download().host} does not name size and hash of CLIP's weights; try again later"
        )
    folder = _blobs()
    blob, part = folder / etag, folder / f"{etag}{_PART}"
    if blob.is_file():
        report(size)
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{part}.lock", timeout=0):
            with open(part, "ab") as file:
                here = file.tell()
                if here > size:
                    file.truncate(here := 0)
                _check_space(folder, size - here)
                report(here)
                if here < size:
                    counted: Any = _Counted(file, report)
                    http_get(url, counted, resume_size=here, headers=build_hf_headers(), expected_size=size)
            _check_hash(part, etag, size)
            part.replace(blob)
    except Timeout as error:
        raise GeoModelError(
            f"{NAME}: another program on this machine is fetching CLIP's weights; wait for it"
        ) from error
    Path(f"{part}.lock").unlink(missing_ok=True)


class _Counted:
    """An open file that tells how many bytes it holds after each write."""

    def __init__(self, file: BinaryIO, report: Callable[[int], None]) -> None:
        self._file, self._report = file, report

    def write(self, data: bytes) -> int:
        """As the file does."""
        written = self._file.write(data)
        self._report(self._file.tell())
        return written

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever files have
        return getattr(self._file, name)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise GeoModelError(
            f"{NAME}: CLIP's weights need {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB left; "
            "make room, or set HF_HOME to a folder on another disk"
        )


def _check_hash(part: Path, etag: str, size: int) -> None:
    """Compare with the hash that the hub names: SHA-256 of large files, git's SHA-1 of small ones."""
    if len(etag) == 64:
        digest = hashlib.sha256()
    elif len(etag) == 40:
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    else:
        return
    with open(part, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != etag:
        part.unlink()
        raise GeoModelError(
            f"{NAME}: what {clip_download().host} sent of CLIP's weights is not what it says it is; try again"
        )
