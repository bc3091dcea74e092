"""From a table to shards of addresses, and when a folder may be gone on with."""

from __future__ import annotations

import hashlib

import pytest

pytest.importorskip("pyarrow", reason="needs pyarrow: pip install -r train/requirements.txt")

from geo_model.errors import GeoModelError, TableError
from train.download import close_gaps
from train.download_addresses import MULTIMEDIA_COMMONS, address_of, clean_address
from train.download_plan import check_plan, make_plan, plan_round, read_plan, rounds, unfinished
from train.download_reasons import NO_ADDRESS, REPEATED
from train.download_report import write_report
from train.download_shard import read_addresses

HASH = hashlib.md5(b"a photo").hexdigest()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://a/b.jpg", "http://a/b.jpg"),
        (" https://a:8080/b.jpg?c=d&e=%20f#g ", "https://a:8080/b.jpg?c=d&e=%20f#g"),
        ("http://127.0.0.1:80/ä b\n.jpg", "http://127.0.0.1:80/%C3%A4%20b%0A.jpg"),
        ("http://[::1]/b.jpg", "http://[::1]/b.jpg"),
        ("http://me:secret@a/b.jpg", None),
        *[(junk, None) for junk in ("", "b.jpg", "//a/b.jpg", "file:///etc/passwd", "ftp://a/b.jpg")],
        *[(junk, None) for junk in ("data:image/jpeg;base64,AA", "http://", "http:///b.jpg", "javascript:x")],
        *[
            (junk, None)
            for junk in ("http://a:99999/b.jpg", "http://a b/c.jpg", "http://[::1/b", "http://ä/b")
        ],
    ],
)
def test_addresses(text, address):
    assert clean_address(text) == address
    if address:
        assert clean_address(address) == address


@pytest.mark.parametrize("junk", ["", "abc", "../../../../secret", "a/b", "é" * 10, HASH + "\n" + HASH])
def test_what_is_no_hash_has_no_address(junk):
    assert address_of(junk, MULTIMEDIA_COMMONS) is None


def test_the_object_of_a_hash():
    # The layout of the bucket as its README gives it: data/images/123/456/123456....jpg
    assert address_of("0123456789abcdef", MULTIMEDIA_COMMONS) == (
        "https://multimedia-commons.s3-us-west-2.amazonaws.com/data/images/012/345/0123456789abcdef.jpg"
    )
    assert address_of(" 0123456789abcdef ", "http://127.0.0.1:80/x/") == (
        "http://127.0.0.1:80/x/012/345/0123456789abcdef.jpg"
    )


@pytest.fixture
def write(tmp_path):
    def write(text, name="photos.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


def planned(folder):
    return [row for _, path in unfinished(folder) for row in read_addresses(path).to_pylist()]


def test_a_table_becomes_shards(write, tmp_path):
    table = write(
        "author,URL,Longitude,id,Latitude\r\n"
        "x,http://a/0.jpg,2.29448,45/77/0.jpg,48.858370000000001\r\n"
        '"y, z",http://a/1.jpg,-180,"=1+1",-90\r\n'
        "\r\n"
        "x,nowhere,1,2,3\r\n"
        "x,http://a/0.jpg,1,3,3\r\n"
        "x, http://a/1.jpg,1,4,3\r\n"
        "x,http://b:81/5.jpg,1,5,3\r\n"
    )
    folder = tmp_path / "plan"
    plan = make_plan(table, folder, None, shard_size=2)
    assert (plan.rows, plan.host_count, plan.hosts) == (6, 2, (("http://a", 2), ("http://b:81", 1)))
    assert [number for number, _ in unfinished(folder)] == [0, 1]
    assert planned(folder) == [
        {"id": "45/77/0.jpg", "latitude": 48.85837, "longitude": 2.29448, "url": "http://a/0.jpg"},
        {"id": "=1+1", "latitude": -90.0, "longitude": -180.0, "url": "http://a/1.jpg"},
        {"id": "5", "latitude": 3.0, "longitude": 1.0, "url": "http://b:81/5.jpg"},
    ]
    assert read_plan(folder) == plan
    report = write_report(tmp_path, folder, plan)
    assert (report.repeated, report.missing) == (2, {NO_ADDRESS: 1})
    assert report.missing_csv.read_bytes().decode() == (
        "id,address,reason\n"
        f"2,nowhere,{NO_ADDRESS}\n"
        f"3,http://a/0.jpg,{REPEATED}\n"
        f"4,http://a/1.jpg,{REPEATED}\n"
    )


def test_hashes_are_looked_up_in_the_public_bucket_or_where_one_says(write, tmp_path):
    table = write(f"IMG_ID,LAT,LON,hash\n1,2,3,{HASH}\n")
    plan = make_plan(table, tmp_path / "a", None, 10)
    assert plan.hosts == (("https://multimedia-commons.s3-us-west-2.amazonaws.com", 1),)
    make_plan(table, tmp_path / "b", "http://127.0.0.1:9/data", 10)
    assert planned(tmp_path / "b")[0]["url"] == (f"http://127.0.0.1:9/data/{HASH[:3]}/{HASH[3:6]}/{HASH}.jpg")


@pytest.mark.parametrize(
    ("text", "base_url", "sentence"),
    [
        ("IMG_ID,LAT,LON\n1,2,3\n", None, "needs one column url or hash"),
        ("IMG_ID,LAT,LON,url,URL\n1,2,3,4,5\n", None, "needs one column url or hash"),
        ("IMG_ID,LAT,LON,url\n1,2,3,http://a/b\n", "http://a", "leave --base-url away"),
        ("IMG_ID,LAT,LON,hash\n1,2,3,abcdefgh\n", "a.org/images", "it must begin with http:// or https://"),
        ("LAT,LON,url\n2,3,http://a/b\n", None, "no column IMG_ID or id"),
        ("IMG_ID,LAT,LON,url\n1,91,3,http://a/b\n", None, "line 2, column LAT: 91 is beyond 90 degrees"),
        ("IMG_ID,LAT,LON,url\n1,2,3\n", None, "line 2: 3 fields where the header has 4"),
        ("", None, "is empty"),
    ],
)
def test_a_table_that_cannot_be_used(write, tmp_path, text, base_url, sentence):
    with pytest.raises(TableError, match=sentence):
        make_plan(write(text), tmp_path / "plan", base_url, 10)
    assert read_plan(tmp_path / "plan") is None


def test_no_table(tmp_path):
    with pytest.raises(TableError, match="no such file"):
        make_plan(tmp_path / "no.csv", tmp_path / "plan", None, 10)


def test_a_folder_is_gone_on_with_for_the_same_request_only(write, tmp_path):
    table = write(f"IMG_ID,LAT,LON,hash\n1,2,3,{HASH}\n")
    plan = make_plan(table, tmp_path / "plan", "http://127.0.0.1:9/data", 10)
    for base_url in (None, "http://127.0.0.1:9/data", "http://127.0.0.1:9/data/"):
        check_plan(plan, table, base_url, 10, tmp_path)
    for other, base_url, size, sentence in (
        (write(f"IMG_ID,LAT,LON,hash\n1,2,4,{HASH}\n", "o.csv"), None, 10, r"another table \(photos.csv\)"),
        (table, "http://127.0.0.1:9/other", 10, "from http://127.0.0.1:9/data; give the same"),
        (table, None, 11, "with --shard-size 10; give the same"),
    ):
        with pytest.raises(GeoModelError, match=sentence):
            check_plan(plan, other, base_url, size, tmp_path)


def test_a_plan_that_was_broken_off_is_none(write, tmp_path):
    folder = tmp_path / "plan"
    table = write("id,LAT,LON,url\n" + "".join(f"{n},1,2,http://a/{n}\n" for n in range(30)))
    make_plan(table, folder, None, 10)
    (folder / "plan.json").unlink()
    assert read_plan(folder) is None
    make_plan(write("id,LAT,LON,url\n1,1,2,http://a/1\n"), folder, None, 10)
    assert len(planned(folder)) == 1
    (folder / "plan.json").write_text("{")
    with pytest.raises(GeoModelError, match="damaged or of another version"):
        read_plan(folder)


def test_shards_of_another_round_are_full_and_have_new_numbers(write, tmp_path):
    folder = tmp_path / "plan"
    table = write("id,LAT,LON,url\n" + "".join(f"{n},1,2,http://a/{n}\n" for n in range(25)))
    make_plan(table, folder, None, 10)
    tables = [read_addresses(path) for _, path in unfinished(folder)]
    lengths = (7, 0, 5, 1)
    parts = [table.slice(0, length) for table, length in zip([*tables, tables[0]], lengths, strict=True)]
    plan_round(folder, parts, 6)
    assert [path.name for path in rounds(folder)] == ["round-000", "round-001"]
    added = sorted((folder / "round-001").iterdir())
    assert [(path.stem, len(read_addresses(path))) for path in added] == [
        ("00003", 6),
        ("00004", 6),
        ("00005", 1),
    ]
    rows = [row["id"] for path in added for row in read_addresses(path).to_pylist()]
    assert rows == [row["id"] for part in parts for row in part.to_pylist()]


def test_gaps_in_the_numbers_are_closed_from_the_end(tmp_path):
    for number in (1, 2, 5, 9, 11):
        (tmp_path / f"{number:05}.tar").write_text(str(number))
    for _ in range(2):
        close_gaps(tmp_path)
        tars = {path.name: path.read_text() for path in sorted(tmp_path.iterdir())}
        assert list(tars) == [f"{number:05}.tar" for number in range(5)]
        assert list(tars.values()) == ["11", "1", "2", "9", "5"]
