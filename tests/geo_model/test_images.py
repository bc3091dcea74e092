"""Every format, mode and orientation becomes the same upright RGB photo, or one sentence."""

import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from geo_model.crops import CropRule, five_crop
from geo_model.errors import PhotoError
from geo_model.gps import GpsTag, read_gps
from geo_model.images import Limits, read_image, upright_rgb

FORMATS = {
    "JPEG": {"quality": 92},
    "progressive JPEG": {"quality": 92, "progressive": True},
    "PNG": {},
    "WebP": {"quality": 92},
    "lossless WebP": {"lossless": True},
    "TIFF": {},
    "LZW TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
    "GIF": {},
    "HEIF": {"quality": 92},
    "AVIF": {"quality": 92},
}
WITH_EXIF = [name for name in FORMATS if name not in {"BMP", "GIF"}]


def encode(image, name, **options):
    """The image in one of `FORMATS`."""
    buffer = io.BytesIO()
    options = {**FORMATS[name], **options}
    if name == "HEIF":
        if "exif" in options:
            options["exif"] = options["exif"].tobytes()
        pillow_heif.from_pillow(image).save(buffer, **options)
    else:
        image.save(buffer, name.split()[-1], **options)
    return buffer.getvalue()


def difference(image, other):
    """Mean absolute difference of two images' pixels, in grey levels."""
    assert image.mode == "RGB"
    assert image.size == other.size
    return float(np.abs(np.asarray(image, dtype=float) - np.asarray(other, dtype=float)).mean())


@pytest.fixture(scope="module")
def photo(sample_photos):
    """A real photo, 120 × 80 pixels, whose four corners differ."""
    return read_image(sample_photos[0]).resize((120, 80), Image.Resampling.LANCZOS)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read(photo, name):
    image = read_image(encode(photo, name))
    assert image.info == {}
    assert difference(image, photo) < (12 if name == "GIF" else 4)


def test_the_sample_photos_are_read(sample_photos):
    for path in sample_photos:
        image = read_image(path)
        assert image.mode == "RGB"
        assert min(image.size) >= 400


@pytest.mark.parametrize("name", WITH_EXIF)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(photo, name, orientation):
    # How an upright photo is stored in each orientation: where row 0 and column 0 lie, EXIF 2.32.
    stored = {
        1: photo,
        2: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: photo.transpose(Image.Transpose.ROTATE_180),
        4: photo.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: photo.transpose(Image.Transpose.TRANSPOSE),
        6: photo.transpose(Image.Transpose.ROTATE_90),
        7: photo.transpose(Image.Transpose.TRANSVERSE),
        8: photo.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert difference(read_image(encode(stored, name, exif=exif)), photo) < 4


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_changes_nothing(photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert difference(read_image(encode(photo, "PNG", exif=exif)), photo) == 0


def test_junk_exif_does_not_lose_the_photo(photo):
    data = encode(photo, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff junk")
    assert difference(read_image(data), photo) < 4


def test_colours_of_cmyk_as_adobe_writes_it():
    # Pure inks: cyan, magenta, yellow, black, none.
    inks = [(255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255), (0, 0, 0, 0)]
    image = Image.new("CMYK", (16 * len(inks), 16))
    for index, ink in enumerate(inks):
        image.paste(ink, (16 * index, 0, 16 * index + 16, 16))
    data = encode(image, "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in data[:200]  # the marker of inverted inks
    read = np.asarray(read_image(data), dtype=int)[8, 8::16]
    wanted = [(0, 255, 255), (255, 0, 255), (255, 255, 0), (0, 0, 0), (255, 255, 255)]
    np.testing.assert_allclose(read, wanted, atol=4)


def test_sixteen_bits_of_grey_are_scaled_and_not_clipped():
    levels = np.array([[0, 256, 257, 32768, 65278, 65535]], dtype=np.uint16)
    for name in ("PNG", "TIFF"):
        read = np.asarray(read_image(encode(Image.fromarray(levels), name)))
        assert (read[..., 0] == read[..., 1]).all()
        assert (read[..., 0] == read[..., 2]).all()
        assert read[0, :, 0].tolist() == [0, 1, 1, 128, 254, 255]


def test_floating_point_and_32_bit_greys():
    for levels in ([[0.0, 0.5, 1.0, np.nan]], [[-3.0, 0.0, 3.0, -3.0]]):
        read = read_image(encode(Image.fromarray(np.array(levels, dtype=np.float32)), "TIFF"))
        assert np.asarray(read)[0, :, 0].tolist() == [0, 128, 255, 0]
    deep = Image.fromarray(np.array([[-(2**30), 0, 2**30]], dtype=np.int32))
    assert np.asarray(read_image(encode(deep, "TIFF")))[0, :, 0].tolist() == [0, 128, 255]


def test_alpha_is_laid_on_white():
    image = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    image.paste((200, 0, 0, 255), (0, 0, 2, 4))
    image.putpixel((3, 3), (0, 0, 0, 128))
    for name in ("PNG", "lossless WebP", "TIFF"):
        read = read_image(encode(image, name))
        assert [read.getpixel(xy) for xy in ((0, 0), (3, 0))] == [(200, 0, 0), (255, 255, 255)]
        assert read.getpixel((3, 3)) == (127, 127, 127)
    read = read_image(encode(image.convert("LA"), "PNG"))
    assert read.getpixel((3, 0)) == (255, 255, 255)


def test_palettes_with_and_without_a_transparent_colour():
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 200, 100, 50, 0, 0, 0])
    image.putdata([0, 1, 2])
    assert read_image(encode(image, "PNG")).getpixel((1, 0)) == (200, 100, 50)
    for name in ("PNG", "GIF"):
        read = read_image(encode(image, name, transparency=2))
        assert [read.getpixel((x, 0)) for x in range(3)] == [(10, 20, 30), (200, 100, 50), (255, 255, 255)]


def test_one_bit_and_grey(photo):
    black_and_white = photo.convert("1")
    assert difference(read_image(encode(black_and_white, "PNG")), black_and_white.convert("RGB")) == 0
    grey = photo.convert("L")
    assert difference(read_image(encode(grey, "JPEG")), grey.convert("RGB")) < 4


def test_lab_becomes_srgb(photo):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    stored = ImageCms.profileToProfile(photo, srgb, lab, outputMode="LAB")
    assert difference(read_image(encode(stored, "TIFF")), photo) < 2


@pytest.mark.parametrize("name", ["GIF", "PNG", "lossless WebP", "TIFF", "AVIF"])
def test_the_first_frame_of_an_animation(name):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    data = encode(frames[0], name, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(read_image(data).getpixel((8, 8)), (255, 0, 0), atol=3)


def icc_profile(*, red, green, blue):
    """A small ICC 4 display profile with sRGB's tone curve and the given primaries (XYZ, D50)."""

    def fixed(*values):
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    curve = b"para\0\0\0\0\0\3\0\0" + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    text = "Test".encode("utf-16-be")
    words = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags = {
        b"desc": words,
        b"cprt": words,
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249),
        b"rXYZ": b"XYZ \0\0\0\0" + fixed(*red),
        b"gXYZ": b"XYZ \0\0\0\0" + fixed(*green),
        b"bXYZ": b"XYZ \0\0\0\0" + fixed(*blue),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, content, position = b"", b"", 128 + 4 + 12 * len(tags)
    for key, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += key + struct.pack(">II", position + len(content), len(value))
        content += padded
    body = struct.pack(">I", len(tags)) + table + content
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), b"\0\0\0\0", 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(4 + 4 + 4 + 4 + 8 + 4)
    head += fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + body


DISPLAY_P3 = icc_profile(
    red=(0.5151, 0.2412, -0.0011), green=(0.2920, 0.6922, 0.0419), blue=(0.1571, 0.0666, 0.7841)
)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "lossless WebP", "TIFF", "HEIF", "AVIF"])
def test_display_p3_becomes_srgb(name):
    # sRGB's pure red and green are (234, 51, 35) and (117, 251, 76) in Display P3.
    for stored, wanted in [((234, 51, 35), (255, 0, 0)), ((117, 251, 76), (0, 255, 0)), ((90, 90, 90),) * 2]:
        data = encode(Image.new("RGB", (16, 16), stored), name, icc_profile=DISPLAY_P3)
        np.testing.assert_allclose(read_image(data).getpixel((8, 8)), wanted, atol=14)


def test_srgb_junk_and_foreign_profiles_change_nothing(photo):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (srgb, lab, b"junk", DISPLAY_P3[:300]):
        assert difference(read_image(encode(photo, "PNG", icc_profile=profile)), photo) == 0
    grey = photo.convert("L")
    data = encode(grey, "PNG", icc_profile=DISPLAY_P3)
    assert difference(read_image(data), grey.convert("RGB")) == 0
    cmyk = encode(photo.convert("CMYK"), "JPEG", icc_profile=b"junk")
    assert difference(read_image(cmyk), photo) < 8


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_photo_is_refused(photo, name, share):
    data = encode(photo, name)
    with pytest.raises(PhotoError, match=r"^cut\.jpg: .*; (get a fresh copy|give JPEG)[^\n]*\.$"):
        read_image(data[: int(len(data) * share)], name="cut.jpg")


def test_a_jpeg_cut_near_its_end_is_refused_at_reduced_size_too(sample_photos):
    data = sample_photos[0].read_bytes()
    for short_side_px in (None, 50, 224):
        with pytest.raises(PhotoError, match="truncated"):
            read_image(data[: len(data) - 2000], short_side_px=short_side_px)


def test_a_text_file_renamed(tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Sir or Madam,\n")
    with pytest.raises(PhotoError, match=r"letter\.jpg: this is not a photo in a known format; give JPEG"):
        read_image(path)


def test_the_content_counts_and_not_the_suffix(tmp_path, photo):
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(encode(photo, "PNG"))
    assert difference(read_image(path), photo) == 0


def png_of(width, height, data, bits=8):
    """A PNG of grey pixels, so many bits each, whose compressed rows are whatever `data` is."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("short_side_px", [None, 224])
def test_a_png_bomb_is_refused_by_its_header(short_side_px):
    # Its pixel data is no zlib stream: had a pixel been decoded, the error would be about damage.
    with pytest.raises(
        PhotoError, match=r"^bomb\.png: the photo has 20,000 × 20,000 pixels, more than the 100 million that"
    ):
        read_image(png_of(20_000, 20_000, b"junk"), name="bomb.png", short_side_px=short_side_px)


def test_a_real_png_bomb_is_refused():
    packer = zlib.compressobj()
    rows = b"".join(packer.compress(bytes(2501 * 1000)) for _ in range(20)) + packer.flush()
    assert len(rows) < 60_000  # of 400 million black and white pixels
    bomb = png_of(20_000, 20_000, rows, bits=1)
    with pytest.raises(PhotoError, match="20,000 × 20,000 pixels"):
        read_image(bomb)
    assert read_gps(bomb) is None


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_refused_by_its_pixels(photo, name):
    data = encode(photo, name)
    with pytest.raises(PhotoError, match="120 × 80 pixels, more than"):
        read_image(data, limits=Limits(max_pixels=120 * 80 - 1, max_reduced_pixels=120 * 80 - 1))
    assert read_image(data, limits=Limits(max_pixels=120 * 80)).size == (120, 80)


@pytest.mark.filterwarnings("error")
def test_a_photo_that_pillow_warns_of_is_our_decision_alone():
    # 100 million pixels: above the 89 million at which Pillow warns.
    with pytest.raises(PhotoError, match="damaged or incomplete"):
        read_image(png_of(10_000, 10_000, b"junk"))


def test_a_big_jpeg_is_decoded_small_and_stays_sharp(sample_photos):
    small = read_image(sample_photos[0])
    big = small.resize((small.width * 4, small.height * 4), Image.Resampling.LANCZOS)
    for name in ("JPEG", "progressive JPEG"):
        data = encode(big, name)
        reduced = read_image(data, short_side_px=224)
        assert 2 * 224 <= min(reduced.size) < 4 * 224
        assert reduced.width / reduced.height == pytest.approx(big.width / big.height, rel=0.01)
        rule = CropRule(224, 224, (0.5,) * 3, (0.5,) * 3)
        whole, part = five_crop(read_image(data), rule).float(), five_crop(reduced, rule).float()
        assert float((whole - part).abs().mean()) < 2  # grey levels of 255


@pytest.mark.parametrize("name", ["PNG", "WebP", "TIFF", "BMP", "HEIF", "AVIF"])
def test_other_big_photos_are_reduced_before_they_are_returned(photo, name):
    big = photo.resize((600, 400), Image.Resampling.LANCZOS)
    reduced = read_image(encode(big, name), short_side_px=50)
    assert reduced.size == (150, 100)
    assert difference(reduced, big.resize((150, 100), Image.Resampling.BOX)) < 4


def test_a_photo_is_never_enlarged_nor_reduced_below_the_margin(photo):
    for short_side_px in (40, 79, 1000):
        assert read_image(encode(photo, "JPEG"), short_side_px=short_side_px).size == photo.size


def test_a_huge_baseline_jpeg_is_read_when_little_of_it_is_needed():
    limits = Limits(max_pixels=1_000_000, max_reduced_pixels=7_000_000)
    huge = Image.new("RGB", (3000, 2000), "green")
    assert min(read_image(encode(huge, "JPEG"), short_side_px=100, limits=limits).size) >= 200
    for data, short_side_px in [
        (encode(huge, "JPEG"), None),
        (encode(huge, "JPEG"), 1000),  # too little reduced
        (encode(huge, "progressive JPEG"), 100),  # all its coefficients would be held in memory
        (encode(huge, "PNG"), 100),
    ]:
        with pytest.raises(PhotoError, match="pixels, more than the 1 million"):
            read_image(data, short_side_px=short_side_px, limits=limits)
    with pytest.raises(PhotoError, match="3,600 × 2,000 pixels, more than the 7 million"):
        read_image(encode(huge.resize((3600, 2000)), "JPEG"), short_side_px=100, limits=limits)


def test_an_opened_image_is_treated_like_a_file(photo):
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encode(photo, "PNG", exif=exif, icc_profile=DISPLAY_P3)
    opened = Image.open(io.BytesIO(data))
    assert upright_rgb(opened).tobytes() == read_image(data).tobytes()
    copy = upright_rgb(photo)
    copy.putpixel((0, 0), (1, 2, 3))
    assert photo.getpixel((0, 0)) != (1, 2, 3)
    truncated = encode(photo, "JPEG")[:1500]
    with pytest.raises(PhotoError, match=r"^mine: the JPEG data is damaged or incomplete"):
        upright_rgb(Image.open(io.BytesIO(truncated)), name="mine")


def test_pillows_settings_stay_as_they_were(photo):
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, "HEIF" in Image.OPEN)
    read_image(encode(photo, "HEIF"))
    with pytest.raises(PhotoError):
        read_image(encode(photo, "JPEG")[:900])
    assert before == (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, "HEIF" in Image.OPEN)


@pytest.fixture(scope="module")
def whole_photos(photo):
    """Small photos with orientation, GPS tag and profile, to be damaged."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825).update({1: "N", 2: (45.0, 45.0, 0.0), 3: "E", 4: (4.0, 50.0, 0.0), 6: 170.0})
    extras = {"exif": exif, "icc_profile": DISPLAY_P3}
    small = photo.resize((48, 32))
    whole = {
        name: encode(small, name, **extras) for name in ("JPEG", "progressive JPEG", "PNG", "WebP", "TIFF")
    }
    whole["palette PNG"] = encode(small.quantize(16), "PNG", transparency=3)
    whole["CMYK JPEG"] = encode(small.convert("CMYK"), "JPEG")
    whole["GIF"], whole["BMP"] = encode(small, "GIF"), encode(small, "BMP")
    for data in whole.values():
        assert isinstance(read_image(data), Image.Image)
    return whole


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged metadata
def test_damage_gives_a_photo_or_one_sentence_and_nothing_else(whole_photos, data):
    name = data.draw(st.sampled_from(sorted(whole_photos)), label="format")
    damaged = bytearray(whole_photos[name])
    for _ in range(data.draw(st.integers(1, 8), label="changes")):
        # Headers lie at the start: half of the changes go there.
        last = data.draw(st.sampled_from([min(400, len(damaged)), len(damaged)]))
        at = data.draw(st.integers(0, last), label="at")
        removed = data.draw(st.sampled_from([1, 0, 3, len(damaged)]), label="bytes removed")
        damaged[at : at + removed] = data.draw(st.binary(max_size=6), label="bytes put there")
    limits = Limits(max_pixels=4_000_000, max_reduced_pixels=8_000_000)
    for short_side_px in (None, 8):
        image = outcome(read_image, bytes(damaged), short_side_px=short_side_px, limits=limits)
        if isinstance(image, Image.Image):
            assert image.mode == "RGB"
            assert min(image.size) >= 1
        else:
            assert image.isprintable()
            assert image.endswith(".")
    tag = outcome(read_gps, bytes(damaged))
    if isinstance(tag, GpsTag):
        assert abs(tag.latitude) <= 90
        assert abs(tag.longitude) <= 180
    else:
        assert tag is None or tag.isprintable()


def outcome(read, *arguments, **options):
    """What was read, or the sentence of the PhotoError; any other exception fails the test."""
    try:
        return read(*arguments, **options)
    except PhotoError as error:
        return str(error)
