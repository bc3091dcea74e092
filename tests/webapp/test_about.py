"""The page About, the choice of a model, and the operator's limit, without a browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from geo_model.level_limit import FINEST_LEVEL_VARIABLE
from webapp import model_choice

APP = Path(__file__).resolve().parents[2] / "webapp" / "app.py"


@pytest.fixture
def about(tiny_model_folder, monkeypatch):
    """The page About of an app for this machine only, or for others."""

    def open_page(own_machine: bool = True) -> AppTest:
        monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
        for module in ("serving", "model_choice", "responsible_use"):
            monkeypatch.setattr(f"webapp.{module}.serves_this_machine_only", lambda: own_machine)
        at = AppTest.from_file(str(APP), default_timeout=6000).run()
        at.switch_page("app_pages/about.py").run()
        assert not at.exception
        return at

    return open_page


def texts(at: AppTest) -> str:
    return "\n".join(entry.value for entry in [*at.markdown, *at.caption, *at.info, *at.error])


def test_it_says_which_model_answers_how_it_computes_and_what_it_is_for(about, tiny_model_folder):
    at = about()
    said = texts(at)
    for part in (
        "tiny",
        "test_efficientnet".replace("_", r"\_"),
        "cpu",
        "Random weights",
        "find, follow or harass",
    ):
        assert part in said
    assert "do not leave it" in said
    (choice,) = [radio for radio in at.radio if radio.label == "Model that answers"]
    assert choice.value == str(tiny_model_folder)
    assert "geoclip" in choice.options
    assert not at.info


def test_another_folder_is_loaded_and_a_wrong_one_is_refused_in_one_sentence(
    about, tiny_model_folder, tmp_path
):
    at = about()
    other = tmp_path / "other"
    shutil.copytree(tiny_model_folder, other)
    at.text_input[0].set_value(str(other)).run()
    assert not at.exception
    assert at.session_state["chosen-model"] == str(other)
    at.text_input[0].set_value(str(tmp_path / "nowhere")).run()
    assert at.session_state["chosen-model"] == str(other)
    (error,) = at.error
    assert "there is no model folder" in error.value
    at.switch_page("app_pages/locate.py").run()
    at.switch_page("app_pages/about.py").run()
    (choice,) = [radio for radio in at.radio if radio.label == "Model that answers"]
    assert choice.value == str(other)


def test_a_server_for_others_reads_no_folder_and_offers_no_download(about, monkeypatch):
    monkeypatch.setattr("geo_model.geoclip_parts.local_clip", lambda: None)
    at = about(own_machine=False)
    assert not at.text_input
    assert "geoclip" in model_choice.installed_models(True)
    assert "geoclip" not in model_choice.installed_models(False)
    (choice,) = [radio for radio in at.radio if radio.label == "Model that answers"]
    assert "geoclip" not in choice.options


def test_the_choice_of_language_stays_from_page_to_page(about):
    at = about()
    (language,) = list(at.sidebar.radio)
    language.set_value("de").run()
    assert at.title[0].value == "Über"
    assert "Gerät" in texts(at)
    for name, title in (("against", "Sie gegen das Modell"), ("about", "Über")):
        at.switch_page(f"app_pages/{name}.py").run()
        assert not at.exception
        assert at.title[0].value == title


def test_a_limit_is_said_and_no_finer_cell_is_known(about, monkeypatch):
    monkeypatch.setenv(FINEST_LEVEL_VARIABLE, "coarse")
    at = about()
    assert "limits its answers to the coarse cells" in texts(at)
    at.switch_page("app_pages/against.py").run()
    next(entry for entry in at.button if entry.label == "Play with the sample photos").click().run()
    at.number_input[0].set_value(40.0).run()
    at.number_input[1].set_value(116.0).run()
    next(entry for entry in at.button if entry.label == "That is my guess").click().run()
    assert not at.exception
    (played,) = at.session_state["game"].rounds.values()

    from webapp.session import the_model

    model = the_model()
    coarse = model.hierarchy.coarse
    assert model.hierarchy.fine is coarse
    assert played.model.point in set(zip(coarse.latitudes.tolist(), coarse.longitudes.tolist(), strict=True))


def test_a_wrong_limit_opens_nothing_and_is_one_sentence(tiny_model_folder, monkeypatch):
    monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
    monkeypatch.setenv(FINEST_LEVEL_VARIABLE, "city")
    at = AppTest.from_file(str(APP), default_timeout=6000).run()
    (error,) = at.error
    assert error.value.startswith("The environment variable GEO_MODEL_FINEST_LEVEL is 'city'")
    assert not at.get("file_uploader")
    assert not at.title


def test_what_the_browser_sends_as_a_model_must_be_one_of_the_choices(about, monkeypatch, tmp_path):
    at, chosen = about(), []
    monkeypatch.setattr("webapp.model_choice.take_model", chosen.append)
    radio = next(field for field in at.radio if field.key == "model-choice")
    monkeypatch.setattr(type(radio), "_widget_state", property(forged(radio, str(tmp_path))))
    at.run()
    assert chosen == []


def forged(radio, value: str):
    """A message of the browser with a value that is no choice."""
    honest = type(radio)._widget_state.fget

    def state(self):
        found = honest(self)
        if self.key == radio.key:
            found.ClearField(found.WhichOneof("value"))
            found.string_value = value
        return found

    return state


def test_the_language_does_not_load_the_model_again(tiny_model_folder, monkeypatch):
    import streamlit

    import webapp.session as kept

    streamlit.cache_resource.clear()
    loaded, load = [], kept.load
    monkeypatch.setattr(kept, "load", lambda folder: loaded.append(folder) or load(folder))
    monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
    at = AppTest.from_file(str(APP), default_timeout=6000).run()
    at.sidebar.radio[0].set_value("de").run()
    at.switch_page("app_pages/cells.py").run()
    at.sidebar.radio[0].set_value("en").run()
    assert not at.exception
    assert len(loaded) == 1
