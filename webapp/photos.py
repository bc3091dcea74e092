"""From the files of a visitor to located photos, in memory only. Nothing here knows Streamlit."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from geo_model.images import read_gps, read_image
from geo_model.measurements import REGION_SHARES
from geo_model.photo_files import shown_name
from geo_model.predict import PhotoFailure, Prediction
from geo_model.sphere import great_circle_km

SAMPLES_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "samples"

_PREVIEW_PX = 800
_THUMBNAIL_PX = 96
_CARD_PX = (320, 240)


@dataclass(frozen=True)
class Sample:
    """A photo that comes with the app, as `samples.json` lists it; its coordinates are degrees."""

    file: str
    title: str
    author: str
    licence: str
    licence_url: str
    source_url: str
    place: str
    latitude: float
    longitude: float

    @property
    def path(self) -> Path:
        """Its file."""
        return SAMPLES_FOLDER / self.file

    @property
    def short_title(self) -> str:
        """The first part of its title."""
        return self.title.split(",")[0]

    @property
    def credit(self) -> tuple[str, str, str]:
        """Title, author and licence, those with an address as Markdown links."""
        return f"[{self.title}]({self.source_url})", self.author, f"[{self.licence}]({self.licence_url})"


def sample_card(sample: Sample) -> bytes:
    """A sample cropped to 4:3 for a row of samples, as a JPEG."""
    return _jpeg(ImageOps.fit(read_image(sample.path, short_side_px=_CARD_PX[1]), _CARD_PX))


def read_samples() -> list[Sample]:
    """The sample photos of assets/samples/samples.json."""
    entries = json.loads((SAMPLES_FOLDER / "samples.json").read_text(encoding="utf-8"))
    return [Sample(**{key: entry[key] for key in Sample.__dataclass_fields__}) for entry in entries]


@dataclass(frozen=True)
class Photo:
    """A photo to locate.

    Attributes:
        key: Names its content; two files with the same bytes have the same key.
        name: What to call it, printable. Still untrusted text.
        read: Gives the encoded bytes.
        sample: The sample that it is, if it is one.
    """

    key: str
    name: str
    read: Callable[[], bytes]
    sample: Sample | None = None

    @property
    def short_name(self) -> str:
        """The name at a length that fits a page. Still untrusted text."""
        return shown_name(self.name, longest=60)


def content_key(data: bytes) -> str:
    """A name for bytes: their SHA-256."""
    return hashlib.sha256(data).hexdigest()


def sample_photo(sample: Sample) -> Photo:
    """A sample as a photo to locate."""
    # Not the key of the same photo uploaded, of which it is not known where it was taken.
    key = f"sample-{content_key(sample.path.read_bytes())}"
    return Photo(key, sample.title, sample.path.read_bytes, sample)


@dataclass(frozen=True)
class Truth:
    """Where a photo was really taken, and how far the prediction is from it.

    Attributes:
        latitude: Degrees.
        longitude: Degrees.
        distance_km: Great-circle distance to the predicted point.
        from_tag: From the photo's own GPS tag; else from the list of samples.
        region: Share of the smallest credible region, 0.5 or 0.9, whose cells hold the place; None if it lies
            outside of both.
    """

    latitude: float
    longitude: float
    distance_km: float
    from_tag: bool
    region: float | None = None


@dataclass(frozen=True, eq=False)
class Located:
    """A photo that was located, and what the page shows of it.

    Attributes:
        prediction: What the model says.
        preview: A small JPEG without metadata.
        preview_size: Its width and height in pixels.
        thumbnail: A smaller one as a data address.
        truth: Where it was taken, if the photo or the list of samples says so.
    """

    prediction: Prediction
    preview: bytes
    preview_size: tuple[int, int]
    thumbnail: str
    truth: Truth | None


def to_show(photo: Photo, result: Prediction | PhotoFailure) -> Located | PhotoFailure:
    """A prediction with its preview and truth; a failure stays one."""
    if isinstance(result, PhotoFailure):
        return result
    data = photo.read()
    image = read_image(data, name=photo.name, short_side_px=_PREVIEW_PX // 2)
    image.thumbnail((_PREVIEW_PX, _PREVIEW_PX))
    thumbnail = image.copy()
    thumbnail.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    return Located(
        prediction=result,
        preview=_jpeg(image),
        preview_size=image.size,
        thumbnail="data:image/jpeg;base64," + base64.b64encode(_jpeg(thumbnail)).decode("ascii"),
        truth=_truth(photo, data, result),
    )


def _truth(photo: Photo, data: bytes, prediction: Prediction) -> Truth | None:
    tag = read_gps(data)
    place = tag or photo.sample
    if place is None:
        return None
    km = great_circle_km(prediction.latitude, prediction.longitude, place.latitude, place.longitude)
    cell = prediction.hierarchy.fine.class_of(place.latitude, place.longitude)
    held_by = (
        share for share in REGION_SHARES if cell is not None and cell in prediction.region(share).classes
    )
    return Truth(place.latitude, place.longitude, float(km), tag is not None, next(held_by, None))


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
