"""Bytes of a file on disk or behind a web address, from any position on."""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from typing import Protocol

from geo_model.errors import GeoModelError, reason_of
from train.hosts import host_of
from train.http_rules import RedirectError, retry_after_s, strict_opener

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60.0
_TRIES = 8
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 120.0
_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class ByteSource(Protocol):
    """What bytes are read from."""

    name: str
    """What to call it in a message."""

    size: int | None
    """How many bytes it has; None while nobody knows."""

    def chunks(self, start: int = 0) -> Generator[bytes, None, None]:
        """Its bytes from byte `start` on, in pieces.

        Raises:
            GeoModelError: They cannot be read.
        """
        ...


class FileSource:
    """A file on disk.

    Raises:
        GeoModelError: It cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        try:
            with open(path, "rb") as file:
                self.size: int | None = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise self._error(error) from error

    def chunks(self, start: int = 0) -> Generator[bytes, None, None]:
        """See `ByteSource`."""
        try:
            with open(self.name, "rb") as file:
                file.seek(start)
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> GeoModelError:
        return GeoModelError(f"{self.name} cannot be read: {reason_of(error)}")


class _Passing(Exception):
    """A failure after which the same request may succeed.

    Attributes:
        wait_seconds: How long the server asks to wait, if it does.
    """

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class UrlSource:
    """A file behind an http or https address; a broken connection is taken up where it broke.

    Nothing is fetched before `chunks` is called.

    Args:
        url: The address.
        on_wait: Called with a sentence before each pause after a failure.
        first_wait_seconds: Pause after the first failure; doubled after each failure that follows without a
            byte in between.
        timeout_seconds: After so long without a byte the connection counts as broken.

    Raises:
        GeoModelError: It is no such address.
    """

    def __init__(
        self,
        url: str,
        on_wait: Callable[[str], None] = lambda sentence: None,
        *,
        first_wait_seconds: float = _FIRST_WAIT_SECONDS,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self.name = url
        self.size: int | None = None
        self._tag: str | None = None
        self._on_wait = on_wait
        self._first_wait_seconds = first_wait_seconds
        self._timeout_seconds = timeout_seconds
        self._opener = strict_opener()
        host_of(url)

    def chunks(self, start: int = 0) -> Generator[bytes, None, None]:
        """See `ByteSource`."""
        position, failures = start, 0
        while True:
            try:
                for chunk in self._once(position):
                    position += len(chunk)
                    failures = 0
                    yield chunk
                return
            except _Passing as failure:
                failures += 1
                if failures >= _TRIES:
                    raise GeoModelError(
                        f"{self.name}: given up after {failures} failures in a row ({failure}); the same "
                        "command goes on from here later"
                    ) from failure
                pause = min(self._first_wait_seconds * 2 ** (failures - 1), _LONGEST_WAIT_SECONDS)
                if failure.wait_seconds is not None:
                    pause = min(max(pause, failure.wait_seconds), _LONGEST_WAIT_SECONDS)
                self._on_wait(f"{self.name}: {failure}; going on at byte {position:,} in {pause:.3g} s")
                time.sleep(pause)

    def _once(self, position: int) -> Generator[bytes, None, None]:
        """What one connection gives.

        Raises:
            _Passing: The connection failed before the file's end.
            GeoModelError: The server refuses, or the file is another one by now.
        """
        headers = {"Accept-Encoding": "identity", "User-Agent": "geolocation-images"}
        if position:
            headers["Range"] = f"bytes={position}-"
            if self._tag:
                headers["If-Range"] = self._tag
        try:
            with self._opener.open(
                urllib.request.Request(self.name, headers=headers), timeout=self._timeout_seconds
            ) as answer:
                skip = self._skipped(answer, position)
                while chunk := answer.read1(_CHUNK_BYTES):
                    chunk, skip = chunk[skip:], max(skip - len(chunk), 0)
                    position += len(chunk)
                    if chunk:
                        yield chunk
        except RedirectError as error:
            where = f"another host, {error.host}" if error.host else "no usable address"
            raise GeoModelError(
                f"{self.name} leads to {where}; give the address there if that host may be asked"
            ) from error
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and position == self.size:
                return
            if error.code not in _PASSING_STATUSES:
                raise GeoModelError(
                    f"{self.name}: the server answers {error.code} {error.reason}; check the address"
                ) from error
            raise _Passing(
                f"the server answers {error.code} {error.reason}",
                retry_after_s(error.headers.get("Retry-After")),
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise _Passing(
                str(getattr(reason, "strerror", None) or reason or type(error).__name__)
            ) from error
        if self.size is not None and position < self.size:
            raise _Passing("the connection broke off")

    def _skipped(self, answer: http.client.HTTPResponse, position: int) -> int:
        """Check an answer, and tell how many of its bytes come before `position`."""
        skipped, size = 0, _number(answer.headers.get("Content-Length"))
        if answer.status == 206:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
            if span is None or int(span[1]) != position:
                raise GeoModelError(
                    f"{self.name}: the server sends another part of the file than it was asked for"
                )
            size = _number(span[2])
        else:
            skipped = position  # it does not know ranges: all of the file comes once more
        tag = answer.headers.get("ETag")
        tag = None if tag is None or tag.startswith("W/") else tag
        if (self._tag or tag) != tag or (self.size or size) != size:
            raise GeoModelError(
                f"{self.name}: the file has changed while it was fetched; run the command again"
            )
        self._tag, self.size = tag, size
        return skipped


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
