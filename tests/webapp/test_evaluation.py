"""The page Evaluation without a browser: its figures, choices, cards and runs."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from streamlit.testing.v1 import AppTest

from geo_model.prediction_table import WRITTEN_COLUMNS, read_predictions, table_csv
from webapp import evaluation_wording as words
from webapp import serving
from webapp.error_globe import MOST_LINES, class_colours, drawn_rows, error_classes
from webapp.palette import DARK, LIGHT

APP = Path(__file__).resolve().parents[2] / "webapp" / "app.py"
HEADER = ",".join(WRITTEN_COLUMNS)


@pytest.fixture
def page(tiny_model_folder, monkeypatch) -> AppTest:
    monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
    at = AppTest.from_file(str(APP), default_timeout=6000).run()
    return run(at.switch_page("app_pages/evaluation.py"))


def run(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception
    return at


def texts(at: AppTest) -> str:
    """Everything that the page says in words."""
    parts = [
        *at.markdown,
        *at.caption,
        *at.subheader,
        *at.error,
        *at.info,
        *at.text,
        *at.warning,
        *at.success,
    ]
    return "\n".join(part.value for part in parts)


def html(at: AppTest, number: int = 0) -> str:
    """A table of figures as text, a space between cells."""
    tables = [entry.proto.body for entry in at.get("html") if "class='figures" in entry.proto.body]
    return re.sub(r"\s+", " ", re.sub("<style>.*?</style>|<[^>]+>", " ", tables[number], flags=re.DOTALL))


def spec(at: AppTest) -> dict:
    (chart,) = at.get("deck_gl_json_chart")
    return json.loads(chart.proto.json)


def clickable(at: AppTest) -> list[dict]:
    """What the layer that takes clicks on lines holds."""
    return next(entry["data"] for entry in spec(at)["layers"] if entry["@@type"] == "PathLayer")


def upload(at: AppTest, label: str, name: str, content: bytes) -> AppTest:
    field = next(field for field in at.file_uploader if field.label == label)
    field.upload(name, content, "application/octet-stream")
    return run(at)


def images(at: AppTest) -> list[str]:
    """Addresses of the pictures on the page."""
    return [image.url for entry in at.get("image") for image in entry.proto.imgs]


def button(at: AppTest, label: str):
    return next(entry for entry in at.button if entry.label == label)


def open_card(at: AppTest, photo_id: str, set_key: str = "im2gps") -> AppTest:
    state = at.session_state["evaluation"]
    entry = next(entry for entry in state.sets() if entry.key == set_key)
    state.chosen = (set_key, entry.table.photo_ids.index(photo_id))
    return run(at)


def test_the_bundled_table_shows_the_published_figures(page):
    assert re.search(
        r"ISN\(M, f\*, S3\), published 16\.9 12\.6–22\.2 43\.0 36\.9–49\.4 51\.9 45\.6–58\.2 66\.7 "
        r"60\.4–72\.4 80\.2 74\.6–84\.7 145 km 1,733 km 3,435 237",
        html(page),
    )
    assert "PIGEOTTO, 2024 14.8" in html(page)
    assert "Europe ISN(M, f*, S3), published" in html(page, 1)
    assert "237 of 237 photos" in texts(page)
    assert len(clickable(page)) == 237
    assert "The predictions are theirs" in texts(page).replace("\\", "")
    control = next(entry for entry in page.button_group if entry.label == words.PUBLISHED_OF)
    control.set_value("im2gps3k")
    assert "GeoRanker, 2025 18.8" in html(run(page))


def test_an_uploaded_table_is_shown_with_its_bad_rows_named(page):
    ids = read_predictions(APP.parent.parent / "assets" / "im2gps.csv").photo_ids[:3]
    rows = [f"{photo_id},10,10.1,20,20,,,,,,," for photo_id in ids]
    rows += ["bad.jpg,95,0,0,0,,,,,,,", "linked.jpg,0,0,0,0,,javascript:alert(1),,=x,,,"]
    upload(page, words.ADD_TABLE, "mine <b>.csv", "\n".join([HEADER, *rows]).encode())
    assert "1 row of `mine <b>.csv` left out" in texts(page)
    assert "latitude 95 is beyond 90 degrees" in texts(page).replace("\\", "")
    assert "is no web address" in texts(page)
    assert "mine &lt;b&gt;.csv" in html(page)
    assert "25.0" not in html(page).split("mine")[0]
    assert "mine &lt;b&gt;.csv 25.0 4.6–69.9 100.0" in html(page)  # one of four is right to within 1 km
    verdict = texts(page).replace("\\", "")
    assert "On 3 photos mine <b>.csv is " in verdict
    button(page, words.REMOVE).click()
    run(page)
    assert "mine" in html(page)  # the bundled set is the one that was removed
    assert "published 16.9" not in html(page)


def test_a_table_that_cannot_be_read_is_refused_in_a_sentence(page):
    upload(page, words.ADD_TABLE, "mine.csv", b"a,b\n1,2\n")
    (error,) = page.error
    assert error.value.replace("\\", "").startswith("mine.csv, line 1: the header needs the columns img_id")
    assert "16.9" in html(page)


def test_choices_narrow_the_globe_and_the_table(page):
    (slider,) = page.select_slider
    slider.set_value((2500, 20_100))
    run(page)
    assert "47 of 237 photos" in texts(page)
    assert len(clickable(page)) == 47
    countries = next(entry for entry in page.multiselect if entry.label == words.COUNTRIES)
    countries.select("Thailand")
    run(page)
    assert {row["taken"].rsplit(", ", 1)[-1] for row in clickable(page)} == {"Thailand"}
    licences = next(entry for entry in page.multiselect if entry.label == words.LICENCES)
    licences.select("CC-BY 2.0")
    run(page)
    assert words.NOTHING_LEFT in texts(page)


def test_a_card_loads_the_photo_only_after_its_host_is_allowed(page):
    open_card(page, "104123223_7410c654ba_19_19355699@N00.jpg")
    said = texts(page).replace("\\", "")
    assert "14,600 km off" in said
    assert "**Taken**: About 35 km from Cairns, Australia" in said
    assert "**Predicted**: Munich, Germany" in said
    assert "Photo by m0bile, [CC-BY-ND 2.0](<https://creativecommons.org/licenses/by-nd/2.0/>)" in said
    address = "https://farm1.staticflickr.com/19/104123223_7410c654ba.jpg"
    links = [entry.proto.url for entry in page.get("link_button")]
    assert links == [address]
    assert images(page) == []
    (toggle,) = page.toggle
    assert toggle.label.replace("\\", "") == "Load photos from farm1.staticflickr.com"
    toggle.set_value(True)
    run(page)
    assert images(page) == [address]
    open_card(page, "1185597181_0158ab4213_1311_43616936@N00.jpg")  # on another host
    assert "farm2" in page.toggle[0].label
    assert images(page) == []
    button(page, words.CARD_CLOSE).click()
    assert "Photo by m" not in texts(run(page))
    assert not page.get("link_button")


def test_an_address_of_a_licence_cannot_bring_an_image(page):
    evil = "http://a.b/x)![y](http://tracker.example/p.png"
    row = f"a.jpg,0,0,0,0,,http://c.d/photo.jpg,1,me,0,free,{evil}"
    upload(page, words.ADD_TABLE, "mine.csv", f"{HEADER}\n{row}\n".encode())
    made = page.session_state["evaluation"].sets()[-1]
    next(entry for entry in page.selectbox if entry.label == words.CASES_OF).set_value(made.key)
    open_card(page, "a.jpg", made.key)
    (line,) = (entry.value for entry in page.markdown if entry.value.startswith("Photo by"))
    assert evil in line
    assert "<img" not in MarkdownIt("commonmark").render(line)


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "x" * 5000, "a\0b"])
def test_a_path_that_the_system_does_not_take_is_one_sentence(page, monkeypatch, path):
    monkeypatch.setattr(serving.st, "get_option", lambda name: "localhost")
    run(page)
    next(field for field in page.text_input if field.label == words.RUN_FOLDER).set_value(path)
    run(page)
    assert "check the path" in page.error[0].value.replace("\\", "")


def test_a_photo_without_an_address_says_so(page):
    open_card(page, "1095548455_f636d22cbb_1277_8576809@N08.jpg")
    assert words.CARD_NO_CREDIT in texts(page)
    assert not page.get("link_button")
    assert not page.toggle


def test_a_run_becomes_a_second_set(page, sample_photos):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for photo in sample_photos:
            archive.write(photo, photo.name)
        archive.writestr("../evil.jpg", b"")
    upload(page, words.RUN_ARCHIVE, "mine.zip", buffer.getvalue())
    assert "`../evil.jpg` — its name leads out of the archive" in texts(page).replace("\\", "")
    assert words.RUN_NO_MATCH in texts(page)
    samples = json.loads((sample_photos[0].parent / "samples.json").read_text(encoding="utf-8"))
    rows = [f"{entry['file']},{entry['latitude']},{entry['longitude']}" for entry in samples]
    upload(page, words.RUN_TRUTH_TABLE, "truth.csv", "\n".join(["IMG_ID,LAT,LON", *rows]).encode())
    button(page, "Locate 3 photos").click()
    run(page)
    state = page.session_state["evaluation"]
    state.active_run.wait(300)
    run(page)
    assert "3 of 3 photos located" in texts(page)
    figures = html(page)
    for name in ("the answer, along the hierarchy", "coarse cells", "middle cells", "fine cells"):
        assert f"tiny on mine.zip: {name}" in figures
    assert re.search(r"Region Holds the truth Median area 50% .+ 90% ", html(page, 2))
    assert "Expected calibration error" in texts(page)
    made = state.sets()[-1]
    assert made.table.photo_ids == tuple(photo.name for photo in sample_photos)
    again = read_predictions("".join(table_csv(made.table)).encode(), "run.csv")
    assert again.photo_ids == made.table.photo_ids
    assert np.allclose(again.distances_km, made.distances_km, atol=1e-3)
    next(entry for entry in page.selectbox if entry.label == words.CASES_OF).set_value(made.key)
    open_card(page, sample_photos[0].name, made.key)
    (own,) = images(page)  # the photo as it was given
    assert "/media/" in own


def test_what_was_done_is_there_after_another_page(page):
    (slider,) = page.select_slider
    slider.set_value((2500, 20_100))
    run(page)
    run(page.switch_page("app_pages/locate.py"))
    run(page.switch_page("app_pages/evaluation.py"))
    assert "47 of 237 photos" in texts(page)


def test_a_path_is_asked_for_only_where_the_app_serves_this_machine(page, monkeypatch):
    assert not any(field.label == words.RUN_FOLDER for field in page.text_input)  # no address is set here
    monkeypatch.setattr(serving.st, "get_option", lambda name: "localhost")
    assert serving.serves_this_machine_only()
    assert any(field.label == words.RUN_FOLDER for field in run(page).text_input)


@pytest.mark.parametrize(
    ("address", "headers", "local"),
    [
        ("localhost", {"Host": "localhost:8501"}, True),
        ("127.0.0.1", {"Host": "127.0.0.1:8501"}, True),
        ("::1", {"Host": "[::1]:8501"}, True),
        ("0.0.0.0", {"Host": "localhost:8501"}, False),
        (None, {"Host": "localhost:8501"}, False),
        ("localhost", {"Host": "example.org"}, False),
        ("localhost", {"Host": "localhost", "X-Forwarded-For": "10.0.0.1"}, False),
        ("localhost", {"Host": "localhost:8501", "Origin": "http://localhost:8501"}, True),
        ("localhost", {"Host": "localhost:8501", "Origin": "https://example.org"}, False),
        ("localhost", {"Host": "localhost:8501", "Origin": "null"}, False),
        ("localhost", {"Host": "localhost:8501", "Origin": "http://[::1"}, False),
        ("localhost", {"Host": "[::1"}, False),
    ],
)
def test_whom_the_app_serves(monkeypatch, address, headers, local):
    class Context:
        pass

    context = Context()
    context.headers = headers
    monkeypatch.setattr(serving.st, "get_option", lambda name: address)
    monkeypatch.setattr(serving.st, "context", context)
    assert serving.serves_this_machine_only() is local


def test_an_error_at_the_end_of_a_class_belongs_to_it():
    assert error_classes(np.array([0.0, 1.0, 1.01, 25.0, 2500.0, 2500.1])).tolist() == [0, 0, 1, 1, 4, 5]


@pytest.mark.parametrize(("palette", "sign"), [(LIGHT, -1), (DARK, 1)])
def test_the_colours_of_errors_differ_in_lightness_alone(palette, sign):
    colours = np.array(class_colours(palette), dtype=float) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]  # WCAG 2, relative luminance
    assert np.all(sign * np.diff(luminance) > 0.01)


def test_many_photos_are_thinned_evenly_over_the_errors():
    distances = np.arange(3000.0)
    drawn = drawn_rows(np.arange(3000), distances)
    assert len(set(drawn.tolist())) == MOST_LINES
    assert {0, 2999} <= set(drawn.tolist())
    assert np.diff(np.sort(distances[drawn])).max() <= 4
    assert len(drawn_rows(np.arange(10), distances)) == 10
