"""Files at `s3://BUCKET/KEY` addresses, through pyarrow.

Credentials and region are taken from where the AWS tools take them; the environment variable
AWS_ENDPOINT_URL names another S3 server. Keys stand in addresses as they are: nothing is percent-encoded.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, BinaryIO, cast

from geo_model.errors import GeoModelError

_READ_AHEAD = 1 << 18


def open_object(address: str) -> BinaryIO:
    """Open an object for reading, at any position.

    Raises:
        GeoModelError: pyarrow is missing, or the address is none.
        OSError: The store does not give it.
    """
    system, path = _located(address)
    # Headers of a tar are read a few bytes at a time, and each reading asks the store.
    return io.BufferedReader(cast("io.RawIOBase", system.open_input_file(path)), _READ_AHEAD)


def object_addresses(address: str) -> Iterator[str]:
    """Addresses of all objects below an address, or the address itself where it is an object."""
    from pyarrow.fs import FileSelector, FileType

    system, path = _located(address)
    if system.get_file_info(path).type == FileType.File:
        yield address
        return
    for info in system.get_file_info(FileSelector(path, recursive=True)):
        if info.type == FileType.File:
            yield f"s3://{info.path}"


def object_exists(address: str) -> bool:
    """Whether there is an object at an address."""
    from pyarrow.fs import FileType

    system, path = _located(address)
    return bool(system.get_file_info(path).type == FileType.File)


def upload(local: str, address: str) -> None:
    """Copy a local file to an address; the object appears at the end, or, if that fails, not at all.

    Raises:
        GeoModelError: The store does not take it.
    """
    system, path = _located(address)
    try:
        with open(local, "rb") as source:
            _copy(source, system, path)
    except OSError as error:
        raise GeoModelError(f"{address} cannot be written: {' '.join(str(error).split())[:200]}") from error


def _copy(source: BinaryIO, system: Any, path: str) -> None:  # noqa: ANN401 - pyarrow has no types
    target = system.open_output_stream(path)
    try:
        while block := source.read(8 << 20):
            target.write(block)
    except BaseException:
        # Closing completes the object, however little of it is there.
        with contextlib.suppress(OSError):
            target.close()
            system.delete_file(path)
        raise
    target.close()


def _located(address: str) -> tuple[Any, str]:
    """The file system that an address is in, and the path there."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    try:
        system = _system(bucket, os.environ.get("AWS_ENDPOINT_URL"))
    except ImportError as error:
        raise GeoModelError(f"{address}: s3:// needs pyarrow; install it: pip install pyarrow") from error
    except (ValueError, OSError) as error:
        raise GeoModelError(
            f"{address}: the address cannot be used ({str(error)[:150]}); check it."
        ) from error
    return system, f"{bucket}/{key}".rstrip("/")


@lru_cache(maxsize=16)
def _system(bucket: str, _endpoint: str | None) -> Any:  # noqa: ANN401
    """The file system of a bucket; asking for it may mean to ask the store where the bucket lies."""
    from pyarrow.fs import FileSystem

    return FileSystem.from_uri(f"s3://{bucket}")[0]
