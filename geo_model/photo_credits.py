"""Where a photo can be seen, who took it and under which licence, as a table of predictions says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from geo_model.photo_files import photo_name

CREDIT_COLUMNS = ("url", "author", "license_name", "license_url")
"""Columns of a table of predictions that say these things; any of them may be missing."""

LICENCE_IDS = {
    "All Rights Reserved": 0,
    "CC-BY-NC-SA 2.0": 1,
    "CC-BY-NC 2.0": 2,
    "CC-BY-NC-ND 2.0": 3,
    "CC-BY 2.0": 4,
    "CC-BY-SA 2.0": 5,
    "CC-BY-ND 2.0": 6,
}
"""Number of each licence in Flickr's interface (https://www.flickr.com/services/api, photos.licenses)."""

_LONGEST_ADDRESS = 2000


@dataclass(frozen=True)
class PhotoCredit:
    """Where a photo can be seen and whose it is; a text is empty where the table does not say.

    Attributes:
        url: Address of the photo, http or https.
        author: Photographer. Untrusted text, printable.
        licence: Name of the licence. Untrusted text, printable.
        licence_url: Address of the licence, http or https.
    """

    url: str = ""
    author: str = ""
    licence: str = ""
    licence_url: str = ""

    @property
    def host(self) -> str:
        """The host that the photo lies on, or nothing."""
        return web_host(self.url)


def web_host(address: str) -> str:
    """The host of an http or https address; nothing for any other text."""
    plain = address.isascii() and address.isprintable() and not set(address) & set(' "<>\\^`{|}')
    if not plain or len(address) > _LONGEST_ADDRESS:
        return ""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        _ = parts.port  # raises where it is no number
    except ValueError:
        return ""
    return host if parts.scheme in ("http", "https") and "@" not in parts.netloc else ""


def read_credit(where: str, cells: Mapping[str, str]) -> tuple[PhotoCredit | None, str | None]:
    """The credit in a row's cells.

    Args:
        where: File and line, for the remark.
        cells: Those of `CREDIT_COLUMNS` that the table has.

    Returns:
        The credit, None if the row says nothing; and a sentence if an address in it is none and is left out.
    """
    texts = {column: _text(cells.get(column, "")) for column in CREDIT_COLUMNS}
    remark = None
    for column in ("url", "license_url"):
        if texts[column] and not web_host(texts[column]):
            remark = (
                f"{where}, column {column}: {texts[column][:60]!r} is no web address; "
                "the photo is shown without it."
            )
            texts[column] = ""
    if not any(texts.values()):
        return None, remark
    return PhotoCredit(*(texts[column] for column in CREDIT_COLUMNS)), remark


def _text(cell: str) -> str:
    """A cell's text, printable, without the ' that goes before what could be a spreadsheet's formula."""
    text = photo_name(cell.strip(), "")
    return text[1:] if text[:1] == "'" and text[1:2] in {"=", "+", "-", "@"} else text
