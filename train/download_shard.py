"""One shard of addresses to one tar, by img2dataset's Downloader; in a worker process or a Spark task.

Everything half-written lies in a work folder of the shard. When all of its addresses have answered, the tar
is moved to its place, then the shard's record, then the work folder is removed. Whatever of this is broken
off, the same call goes on with it and asks no address again.

File format of a record, `NUMBER.parquet` beside the shard's `NUMBER.arrow` with the addresses:

    id, latitude, longitude, url   as in the shard
    key                            text, the photo's name in the tar
    reason                         text, why there is no photo; empty where there is one
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from train.download_fetch import Fetcher
from train.download_reasons import FORBIDDEN, LOST, FetchError
from train.download_spool import Spool

if TYPE_CHECKING:
    from urllib.response import addinfourl

    import pyarrow

SHARD_DIGITS = 5
"""Digits in the name of a tar."""

SHORT_SIDE_PX = 320
JPEG_QUALITY = 95

_DISALLOWED = "Use of image disallowed by X-Robots-Tag directive"
_LOCK = "lock"
_PATIENCE_S = 30.0
"""The worker of a run that was killed ends soon."""

_FAULT = "fault.txt"


@dataclass(frozen=True)
class ShardDownload:
    """How shards are fetched; a call fetches one. Small and picklable, so that it travels to any worker.

    Attributes:
        out: Absolute path of the folder of tars. Every worker must see it.
        work: Absolute path of the folder of work folders, on the same file system.
        shard_size: Most addresses of a shard.
        threads: Photos that are fetched at a time.
        timeout_s: Longest wait for a connection or a piece of a photo, seconds.
        back_off_s: First pause when a host asks to slow down, seconds.
    """

    out: str
    work: str
    shard_size: int
    threads: int
    timeout_s: float
    back_off_s: float

    def __call__(self, row: tuple[int, str]) -> tuple[bool, tuple[int, str]]:
        """Fetch one shard, or go on with it.

        Args:
            row: Its number and the path of its addresses, an Arrow file with the columns `id`, `latitude`,
                `longitude` and `url`.

        Returns:
            Whether it is done, and the row, as img2dataset's distributors want it. Why not stands in the
            shard's work folder: `fault_of`.
        """
        number, plan = row[0], Path(row[1])
        folder = self.folder(number)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / _LOCK, patience_s=_PATIENCE_S):
                if not is_done(plan):
                    self._fetch(number, plan, folder)
            shutil.rmtree(folder, ignore_errors=True)
            plan.unlink(missing_ok=True)
        except Exception as error:
            with contextlib.suppress(OSError):
                (folder / _FAULT).write_text(_sentence(error), encoding="utf-8")
            return False, row
        return True, row

    def folder(self, number: int) -> Path:
        """The work folder of a shard."""
        return Path(self.work, shard_name(number))

    def fault_of(self, number: int) -> str:
        """Why a shard is not done."""
        try:
            return (self.folder(number) / _FAULT).read_text(encoding="utf-8")
        except OSError:
            return "it ended without a word"

    def _fetch(self, number: int, plan: Path, folder: Path) -> None:
        import pyarrow.parquet

        (folder / _FAULT).unlink(missing_ok=True)
        addresses = folder / "addresses.arrow"
        shutil.copyfile(plan, addresses)  # img2dataset removes what it was given
        with Spool(folder) as spool, _installed(_Opener(self, spool)):
            reasons = self._run_img2dataset(number, addresses, folder)
            if spool.error is not None:
                raise spool.error
        record = _record(read_addresses(plan), self.keys(number), reasons)
        tar = folder / f"{shard_name(number)}.tar"
        if "" in reasons.values():  # a tar without a photo would be refused by `fit`
            _to_disk(tar)
            os.replace(tar, Path(self.out, tar.name))
            _to_disk(Path(self.out))
        part = folder / "record.parquet"
        pyarrow.parquet.write_table(record, part, compression="zstd")
        _to_disk(part)
        os.replace(part, plan.with_suffix(".parquet"))
        _to_disk(plan.parent)

    def _run_img2dataset(self, number: int, addresses: Path, folder: Path) -> dict[str, str]:
        """Reason of each address, empty where its photo is in the tar; those that got lost are not there."""
        import pyarrow.parquet

        from train.download_img2dataset import downloader

        downloader(self, folder).download_shard((number, str(addresses)))
        columns = ["url", "status", "error_message"]
        table = pyarrow.parquet.read_table(folder / f"{shard_name(number)}.parquet", columns=columns)
        return {
            row["url"]: "" if row["status"] == "success" else _reason(row["error_message"])
            for row in table.to_pylist()
        }

    def keys(self, number: int) -> Iterator[str]:
        """The keys of a shard's photos, as img2dataset names them."""
        from img2dataset.downloader import compute_key

        digits = key_digits(self.shard_size)
        return (compute_key(row, number, digits, SHARD_DIGITS) for row in range(self.shard_size))


def shard_name(number: int) -> str:
    """Name of a shard's tar, without suffix."""
    return f"{number:0{SHARD_DIGITS}}"


def key_digits(shard_size: int) -> int:
    """Digits of a key that count the photos of a shard."""
    return len(str(shard_size - 1)) if shard_size > 1 else 0


def is_done(plan: str | Path) -> bool:
    """Whether the shard with these addresses has its record."""
    return Path(plan).with_suffix(".parquet").exists()


def read_addresses(path: Path) -> pyarrow.Table:
    """A shard's addresses."""
    import pyarrow

    with pyarrow.OSFile(str(path), "rb") as file:
        return pyarrow.ipc.open_file(file).read_all()


@contextlib.contextmanager
def locked(path: Path, patience_s: float = 0.0) -> Iterator[None]:
    """Hold a lock for a block; it ends with the process, however that ends.

    Args:
        path: The file to lock; made if it is not there.
        patience_s: How long to wait for another process that holds it, seconds.

    Raises:
        BlockingIOError: Another process holds it.
    """
    until = time.monotonic() + patience_s
    with open(path, "a+b") as file:
        while True:
            try:
                _lock(file)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.1)
        yield


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from None
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _Opener(urllib.request.OpenerDirector):
    """Answers img2dataset's requests: from the spool, or else from the network, and then keeps the answer."""

    def __init__(self, how: ShardDownload, spool: Spool) -> None:
        super().__init__()
        self._spool = spool
        self._fetcher = Fetcher(how.back_off_s, failures_in_a_row=2 * how.threads)

    def open(self, fullurl: Any, data: object = None, timeout: Any = None) -> addinfourl:  # noqa: ANN401
        """See `urllib.request.urlopen`."""
        address = fullurl.full_url
        if self._spool.error is not None:
            raise self._spool.error
        answer = self._spool.get(address)
        if answer is None:
            try:
                answer = self._fetcher.fetch(fullurl, timeout)
            except FetchError as error:
                self._spool.keep_failure(address, error.reason)
                raise
            self._spool.keep(address, answer)
        return answer.response(address)


@contextlib.contextmanager
def _installed(opener: urllib.request.OpenerDirector) -> Iterator[None]:
    """Have `urllib.request.urlopen` use an opener for a block; Spark's workers live on after it."""
    before = urllib.request._opener  # type: ignore[attr-defined] # there is no public way to ask
    urllib.request.install_opener(opener)
    try:
        yield
    finally:
        urllib.request._opener = before  # type: ignore[attr-defined]


def _record(addresses: pyarrow.Table, keys: Iterator[str], reasons: dict[str, str]) -> pyarrow.Table:
    import pyarrow

    urls = addresses.column("url").to_pylist()
    columns = {
        "key": [key for _, key in zip(urls, keys, strict=False)],
        "reason": [reasons.get(url, LOST) for url in urls],
    }
    for name, texts in columns.items():
        addresses = addresses.append_column(name, pyarrow.array(texts, pyarrow.string()))
    return addresses


def _reason(error_message: str) -> str:
    return FORBIDDEN if error_message == _DISALLOWED else error_message


def _to_disk(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk itself, for power cuts."""
    if path.is_dir() and sys.platform == "win32":
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sentence(error: Exception) -> str:
    if isinstance(error, BlockingIOError):
        return "another process is at work on it"
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return f"{type(error).__name__}: {text}" if not isinstance(error, OSError) else text.lower()
