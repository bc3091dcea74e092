"""Where the photos of a table are to be fetched from."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from geo_model.errors import TableError

MULTIMEDIA_COMMONS = "https://multimedia-commons.s3-us-west-2.amazonaws.com/data/images"
"""Where the photos of YFCC100M lie, and so those of MP-16."""

_HASH = re.compile(r"[0-9A-Za-z]{7,}")
_SAFE_IN_ADDRESS = "%/:=&?~#+!$,;'@()*[]"


def address_of(text: str, base_url: str | None) -> str | None:
    """Where the photo of a YFCC100M hash lies; None for what is no hash."""
    name = text.strip()
    if not _HASH.fullmatch(name):
        return None
    return clean_address(f"{(base_url or '').rstrip('/')}/{name[:3]}/{name[3:6]}/{name}.jpg")


def clean_address(text: str) -> str | None:
    """An http or https address with all else than plain characters in per cent; None for what is none."""
    address = quote(text.strip(), safe=_SAFE_IN_ADDRESS)
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return address if usable and not {"%", "@"} & set(parts.netloc) else None


def address_column(table: Path, base_url: str | None) -> str:
    """Which column of a table says where the photos are, `url` or `hash`.

    Args:
        table: A CSV file.
        base_url: Where hashes are looked up, if the user says it.

    Raises:
        TableError: Neither, or not the one that belongs to a base address.
    """
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            header = next((row for row in csv.reader(file) if row), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        header = []
    if not header:
        return "url"  # read_coordinates says what is wrong
    if base_url and clean_address(base_url) is None:
        raise TableError(f"--base-url {base_url!r} is no address; it must begin with http:// or https://")
    names = [name.strip().lower() for name in header]
    wanted = ("hash",) if base_url else ("url", "hash")
    for name in wanted:
        if names.count(name) == 1:
            return name
    if base_url and "url" in names:
        raise TableError(f"{table}: its column url has whole addresses; leave --base-url away")
    raise TableError(
        f"{table}: it needs one column {' or '.join(wanted)}, and has {','.join(header)[:200]!r}; "
        "`python -m train hashes` finds the hashes of MP-16's photos"
    )


def column_texts(table: Path, name: str) -> Iterator[str]:
    """The texts of a column, of a table that `read_coordinates` has found nothing wrong with.

    Raises:
        TableError: They are not UTF-8.
    """
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            rows = (row for row in csv.reader(file) if row)
            position = [field.strip().lower() for field in next(rows)].index(name)
            for row in rows:
                yield row[position]
    except UnicodeDecodeError as error:
        raise TableError(f"{table}, column {name}: not UTF-8 text; save it as a UTF-8 CSV") from error
