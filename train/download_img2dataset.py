"""What of img2dataset is used, and where it is changed. Importing this imports img2dataset.

Its Downloader runs a shard: threads that fetch, one that decodes, resizes and writes. Three things are
otherwise than in `img2dataset.download`:

- Photos are decoded by `geo_model.images`, as later by the model: upright, in sRGB, never incomplete.
- A writer that cannot write, on a full disk, ends the shard; img2dataset would go on without the photo.
- Fetching is train/download_fetch.py's, through urllib's opener.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask a server for its newest version

from img2dataset.downloader import Downloader
from img2dataset.resizer import Resizer
from img2dataset.writer import WebDatasetSampleWriter
from PIL import Image

from geo_model.errors import PhotoError
from geo_model.images import read_image
from geo_model.photo_files import Limits, open_photo
from train.download_reasons import DAMAGED, NOT_A_PHOTO, TOO_LARGE
from train.download_shard import JPEG_QUALITY, SHARD_DIGITS, SHORT_SIDE_PX

if TYPE_CHECKING:
    from train.download_shard import ShardDownload

_JPEG = b"\xff\xd8"

USER_AGENT = "geolocation-images"


def downloader(how: ShardDownload, folder: Path) -> Downloader:
    """img2dataset's Downloader for one shard, whose files go to a folder."""
    return Downloader(
        sample_writer_class=StrictWriter,
        resizer=UprightResizer(
            image_size=SHORT_SIDE_PX,
            resize_mode="keep_ratio",
            resize_only_if_bigger=True,
            encode_format="jpg",
            encode_quality=JPEG_QUALITY,
        ),
        thread_count=how.threads,
        save_caption=False,
        extract_exif=False,  # it would carry the camera's own GPS tag into the JSON
        output_folder=str(folder),
        column_list=["id", "latitude", "longitude", "url"],
        timeout=how.timeout_s,
        number_sample_per_shard=how.shard_size,
        oom_shard_count=SHARD_DIGITS,
        compute_hash=None,
        verify_hash_type=None,
        encode_format="jpg",
        retries=0,  # it would ask again at once; here a later round does
        user_agent_token=USER_AGENT,
        disallowed_header_directives=["noai", "noimageai", "noindex", "noimageindex"],  # its defaults
    )


class UprightResizer(Resizer):
    """img2dataset's Resizer on photos that `geo_model.images.read_image` has decoded.

    OpenCV alone leaves a photo on its side whose EXIF says so, takes the numbers of any colour space for
    sRGB, and some versions fill up what is missing of a JPEG with grey.
    """

    def __call__(self, img_stream: io.BytesIO, blurring_bbox_list: object = None) -> tuple[Any, ...]:
        """The photo resized and encoded, its size, its first size, and what is wrong with it if anything."""
        try:
            image, original = _decoded(img_stream.getvalue())
        except _RefusedError as error:
            return None, None, None, None, None, str(error)
        bitmap = io.BytesIO()
        image.save(bitmap, "BMP")
        encoded, width, height, _, _, error_message = super().__call__(bitmap)
        return encoded, width, height, *original, error_message


class StrictWriter(WebDatasetSampleWriter):
    """img2dataset's writer of a tar, whose first error is raised again at the end.

    The Downloader prints an error of `write` and goes on, after which a tar may be damaged.
    """

    _error: Exception | None = None

    def write(self, img_str: bytes | None, key: str, caption: None, meta: dict[str, Any]) -> None:
        """Add a photo and its JSON to the tar, or only a row to the table of what failed."""
        if self._error is not None:
            return
        try:
            super().write(img_str, key, caption, meta)
        except Exception as error:
            self._error = error

    def close(self) -> None:
        """End both files."""
        if self._error is None:
            super().close()
            return
        for part in (self.buffered_parquet_writer, self.tarwriter, self.tar_fd):
            with contextlib.suppress(Exception):
                part.close()
        raise self._error


class _RefusedError(Exception):
    """A photo that is not used; its text is the reason."""


def _decoded(data: bytes) -> tuple[Image.Image, tuple[int, int]]:
    """The upright photo, reduced at most to twice the short side wanted, and its first width and height."""
    try:
        header = open_photo(data, "photo")
    except PhotoError:
        # A JPEG may be cut off in its header; anything else is more likely a page that says sorry.
        raise _RefusedError(DAMAGED if data.startswith(_JPEG) else NOT_A_PHOTO) from None
    width, height = header.size
    try:
        image = read_image(data, short_side_px=SHORT_SIDE_PX)
    except PhotoError:
        raise _RefusedError(TOO_LARGE if width * height > Limits().max_pixels else DAMAGED) from None
    if (width > height) != (image.width > image.height):  # it lay on its side
        width, height = height, width
    return image, (width, height)
