"""Every page in German, with what it shows of a photo: no English text of the catalogues is left on it."""

from __future__ import annotations

import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from streamlit.testing.v1 import AppTest

from geo_model.level_limit import FINEST_LEVEL_VARIABLE
from webapp.guess_game import Game
from webapp.language import german_texts

APP = Path(__file__).resolve().parents[2] / "webapp" / "app.py"
PAGES = sorted((APP.parent / "app_pages").glob("*.py"))


@cache
def english() -> tuple[frozenset[str], tuple[str, ...]]:
    """English texts: those that are all of what is shown, and long pieces to find within what is shown."""
    german = german_texts()
    every_german = "\n".join(german.values())
    pieces = {
        max((piece for piece, *_ in string.Formatter().parse(text)), key=len).strip() for text in german
    }
    whole = frozenset(text for text, translation in german.items() if text not in every_german)
    return whole, tuple(piece for piece in pieces if len(piece.split()) > 2 and piece not in every_german)


def shown(at: AppTest) -> Iterator[str]:
    """Every text that the page hands to the browser: contents, labels, options, help, what charts say."""

    def strings(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for part in value.values():
                yield from strings(part)
        elif isinstance(value, list):
            for part in value:
                yield from strings(part)

    for block in (at.main, at.sidebar):
        for element in block:
            if element.proto is not None:
                yield from strings(MessageToDict(element.proto))


def left_in_english(at: AppTest) -> list[str]:
    assert not at.exception
    whole, pieces = english()
    texts = [text.strip() for text in shown(at)]
    found = [text for text in texts if text.strip("*: ") in whole]
    return found + [piece for piece in pieces for text in texts if piece in text]


@pytest.fixture
def german_app(tiny_model_folder, monkeypatch) -> AppTest:
    monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
    at = AppTest.from_file(str(APP), default_timeout=6000).run()
    assert left_in_english(at), "the test finds no English text on an English page"
    at.sidebar.radio[0].set_value("de").run()
    return at


def test_the_page_without_a_photo(german_app):
    assert left_in_english(german_app) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_with_photos(german_app, sample_photos, page):
    at = german_app
    files = {photo.name: photo.read_bytes() for photo in sample_photos[:2]}
    for name, data in {**files, "words.jpg": b"only words", "empty.jpg": b""}.items():
        at.file_uploader[0].upload(name, data, "image/jpeg")
    at.run()
    at.session_state["locate"].run.wait()
    at.run()
    assert "Nicht lesbar: 2 Fotos" in at.error[0].value
    if page.stem != "locate":
        at.switch_page(f"app_pages/{page.name}").run()
    assert left_in_english(at) == []
    if page.stem == "locate":
        at.toggle[0].set_value(True).run()
        assert "Orange hat die Bewertung" in "\n".join(shown(at))
        assert left_in_english(at) == []


def test_a_limit_and_a_wrong_model_folder(german_app, monkeypatch, tmp_path):
    at = german_app
    monkeypatch.setenv(FINEST_LEVEL_VARIABLE, "middle")
    monkeypatch.setattr("webapp.model_choice.serves_this_machine_only", lambda: True)
    at.switch_page("app_pages/about.py").run()
    at.text_input[0].set_value(str(tmp_path / "nowhere")).run()
    assert "Es gibt weder diesen Modellordner" in at.error[0].value
    assert left_in_english(at) == []


def test_photos_that_the_game_cannot_use(german_app):
    at = german_app
    at.session_state["game"] = Game(failures={"key": "a.jpg: the file is empty; give a photo."})
    at.switch_page("app_pages/against.py").run()
    assert "Die Datei ist leer" in at.error[0].value.replace("\\", "")
    assert left_in_english(at) == []
