"""Files at `s3://BUCKET/KEY` addresses, through pyarrow.

Credentials and region are taken from where the AWS tools take them; the environment variable
AWS_ENDPOINT_URL names another S3 server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from geo_model.errors import GeoModelError


def open_object(address: str) -> BinaryIO:
    """Open an object for reading, at any position.

    Raises:
        GeoModelError: pyarrow is missing, or the address is none.
        OSError: The store does not give it.
    """
    system, path = _located(address)
    return cast("BinaryIO", system.open_input_file(path))


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
    """Copy a local file to an address; the object appears whole or not at all.

    Raises:
        GeoModelError: The store does not take it.
    """
    system, path = _located(address)
    try:
        with open(local, "rb") as source, system.open_output_stream(path) as target:
            while block := source.read(8 << 20):
                target.write(block)
    except OSError as error:
        raise GeoModelError(f"{address} cannot be written: {' '.join(str(error).split())[:200]}") from error


def _located(address: str) -> tuple[Any, str]:
    try:
        from pyarrow.fs import FileSystem
    except ImportError as error:
        raise GeoModelError(f"{address}: s3:// needs pyarrow; install it: pip install pyarrow") from error
    try:
        return cast("tuple[Any, str]", FileSystem.from_uri(address))
    except (ValueError, OSError) as error:
        raise GeoModelError(
            f"{address}: the address cannot be used ({str(error)[:150]}); check it."
        ) from error
