"""The photo's own GPS tag: as devices write it, as they should not, and as junk."""

import io

import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from geo_model.errors import PhotoError
from geo_model.gps import GpsTag, read_gps

LYON = {1: "N", 2: (45.0, 45.0, 50.4), 3: "E", 4: (4.0, 49.0, 30.0), 5: b"\x00", 6: 173.5}


def with_gps(tags, name="JPEG"):
    """A small photo whose EXIF block holds these GPS tags, by their numbers in EXIF 2.32, section 4.6.6."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Camera"
    exif.get_ifd(0x8825).update(tags)
    exif[0x8825] = exif.get_ifd(0x8825)  # without this Pillow leaves them out of TIFF
    buffer = io.BytesIO()
    image = Image.new("RGB", (16, 12), "green")
    if name == "HEIF":
        pillow_heif.from_pillow(image).save(buffer, exif=exif.tobytes())
    else:
        image.save(buffer, name, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_every_format_with_exif(name):
    tag = read_gps(with_gps(LYON, name))
    assert tag.latitude == pytest.approx(45 + 45 / 60 + 50.4 / 3600, abs=1e-9)
    assert tag.longitude == pytest.approx(4 + 49 / 60 + 30 / 3600, abs=1e-9)
    assert tag.altitude_m == pytest.approx(173.5)


def test_south_west_and_below_the_sea():
    tag = read_gps(with_gps({**LYON, 1: "S", 3: "W", 5: b"\x01"}))
    assert (tag.latitude < 0, tag.longitude < 0, tag.altitude_m) == (True, True, -173.5)


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ({2: (45.5,), 4: (4.25,)}, (45.5, 4.25)),  # degrees alone
        ({2: (45.0, 30.6), 4: (4.0, 15.0)}, (45.51, 4.25)),  # no seconds
        ({2: (45.0, 30.0, 60.0), 4: (4.0, 15.0, 0.0)}, (45 + 31 / 60, 4.25)),  # 59.99 rounded
        ({1: "n", 3: "e"}, (45.764, 4.825)),
        ({1: "North", 3: "East"}, (45.764, 4.825)),
        ({2: (90.0, 0.0, 0.0), 4: (180.0, 0.0, 0.0)}, (90.0, 180.0)),
        ({2: (0.0, 0.0, 0.0)}, (0.0, 4.825)),  # on the equator
    ],
)
def test_ways_that_devices_write(tags, wanted):
    tag = read_gps(with_gps({**LYON, **tags}))
    assert (tag.latitude, tag.longitude) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    "tags",
    [
        {2: (IFDRational(45, 1), IFDRational(0, 0), IFDRational(0, 0))},
        {4: (IFDRational(1, 0), IFDRational(0, 1), IFDRational(0, 1))},
        {2: (90.0, 0.0, 1.0)},
        {2: (91.0, 0.0, 0.0)},
        {4: (180.0, 30.0, 0.0)},
        {2: (45.0, 61.0, 0.0)},
        {4: (4.0, 0.0, 75.0)},
        {1: "E"},
        {1: ""},
        {3: "?"},
        {2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)},  # no fix
        {2: (1.0, 2.0, 3.0, 4.0)},
    ],
)
def test_what_is_impossible_is_no_tag(tags):
    assert read_gps(with_gps(LYON)) is not None
    assert read_gps(with_gps({**LYON, **tags})) is None


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_half_a_tag_is_none(missing):
    assert read_gps(with_gps({key: value for key, value in LYON.items() if key != missing})) is None


def test_altitude_may_be_missing_or_impossible():
    without = {key: value for key, value in LYON.items() if key < 5}
    assert read_gps(with_gps(without)).altitude_m is None
    assert read_gps(with_gps({**without, 6: IFDRational(1, 0)})).altitude_m is None
    assert read_gps(with_gps({**without, 6: 12.0})).altitude_m == 12


def test_photos_without_a_tag(sample_photos):
    assert [read_gps(path) for path in sample_photos] == [None] * len(sample_photos)
    assert read_gps(with_gps({})) is None


def test_a_png_whose_tag_follows_its_pixels():
    data = with_gps(LYON, "PNG")
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    last = data.index(b"IEND") - 4
    moved = data[:start] + data[end:last] + data[start:end] + data[last:]
    assert moved.index(b"IDAT") < moved.index(b"eXIf")
    assert read_gps(moved) == read_gps(data) == GpsTag(pytest.approx(45.764), pytest.approx(4.825), 173.5)


def test_no_pixel_is_decoded():
    # What remains after the header would not decode: the tag is read all the same.
    data = with_gps(LYON)
    assert read_gps(data[: data.index(b"\xff\xda") + 20]) == read_gps(data)


@settings(max_examples=150, deadline=None)
@given(latitude=st.floats(-90, 90), longitude=st.floats(-180, 180))
def test_what_was_written_is_read(latitude, longitude):
    def parts(degrees):
        thousandths = round(abs(degrees) * 3_600_000)
        return (
            IFDRational(thousandths // 3_600_000),
            IFDRational(thousandths // 60_000 % 60),
            IFDRational(thousandths % 60_000, 1000),
        )

    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    tag = read_gps(with_gps({1: north, 2: parts(latitude), 3: east, 4: parts(longitude)}))
    if round(abs(latitude) * 3_600_000) == round(abs(longitude) * 3_600_000) == 0:
        assert tag is None
    else:
        assert (tag.latitude, tag.longitude) == pytest.approx((latitude, longitude), abs=2e-7)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged metadata
def test_junk_metadata_never_raises(data):
    damaged = bytearray(with_gps(LYON))
    first, last = damaged.index(b"Exif") + 6, damaged.index(b"\xff\xdb")
    for _ in range(data.draw(st.integers(1, 12))):
        damaged[data.draw(st.integers(first, last - 1))] = data.draw(st.integers(0, 255))
    tag = read_gps(bytes(damaged))
    assert tag is None or (abs(tag.latitude) <= 90 and abs(tag.longitude) <= 180)


def test_what_is_no_photo_is_an_error(tmp_path):
    with pytest.raises(PhotoError, match="there is no such file"):
        read_gps(tmp_path / "nowhere.jpg")
    with pytest.raises(PhotoError, match=r"^letter\.jpg: this is not a photo"):
        read_gps(b"Dear Sir", name="letter.jpg")
