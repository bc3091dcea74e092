"""Photos as they are kept in tars."""

from __future__ import annotations

import io

from geo_model.errors import PhotoError
from geo_model.images import read_image

SHORT_SIDE_PX = 320

NOT_JPEG = "not a JPEG"
DAMAGED = "a JPEG that cannot be decoded"

_QUALITY = 95


def jpeg_to_keep(data: bytes) -> bytes | str:
    """Check that a photo can be decoded, and reduce one that is larger than training needs.

    Args:
        data: What should be a JPEG.

    Returns:
        The JPEG as it is if its short side is `SHORT_SIDE_PX` or less, else one reduced to that, upright and
        in sRGB; or, as text, what is wrong with it.
    """
    if not data.startswith(b"\xff\xd8\xff"):
        return NOT_JPEG
    try:
        image = read_image(data, name="photo", short_side_px=SHORT_SIDE_PX)
    except PhotoError as error:
        return f"{DAMAGED}: {str(error).removeprefix('photo: ')}"
    short = min(image.size)
    if short <= SHORT_SIDE_PX:
        return data
    width, height = (max(round(side * SHORT_SIDE_PX / short), SHORT_SIDE_PX) for side in image.size)
    reduced = io.BytesIO()
    image.resize((width, height)).save(reduced, "JPEG", quality=_QUALITY)
    return reduced.getvalue()
