"""What `tune` found: measured, chosen, kept, taken by `auto`, forgotten; and damaged files."""

import logging
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

import geo_model
from geo_model import tuned_choices, tuning
from geo_model.cli import app
from geo_model.errors import GeoModelError
from geo_model.measured_choices import built_in, choices_for
from geo_model.tuning import Timing, Tuning
from geo_model.tuning_text import tuning_lines

CPU = torch.device("cpu")
BACKBONE = "test_efficientnet"


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "cache" / "tuned.json"
    monkeypatch.setenv(tuned_choices.FILE_VARIABLE, str(path))
    return path


def other_choices():
    before = built_in(CPU)
    other = torch.float32 if before.dtype is torch.bfloat16 else torch.bfloat16
    return replace(before, dtype=other, batch_size=3, photos_at_once=2)


def test_auto_takes_what_was_kept(file, tiny_model_folder, sample_photos):
    found = other_choices()
    assert tuned_choices.keep(CPU, BACKBONE, found) == file
    auto = geo_model.load(tiny_model_folder, device="cpu")
    assert auto.dtype is found.dtype
    assert auto.choices == found
    taken = 0

    def photos():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield sample_photos[0]

    stream = auto.stream(photos())
    next(stream)
    stream.close()
    assert taken == 2 * 3  # batch_size="auto" is 3; one batch is read ahead


def test_another_precision_or_network_takes_what_is_built_in(file, tiny_model_folder):
    found = other_choices()
    tuned_choices.keep(CPU, BACKBONE, found)
    assert choices_for(CPU, BACKBONE, built_in(CPU).dtype) == built_in(CPU)
    assert choices_for(CPU, "resnet50") == choices_for(CPU) == built_in(CPU)
    own = str(built_in(CPU).dtype).removeprefix("torch.")
    assert geo_model.load(tiny_model_folder, device="cpu", precision=own).choices == built_in(CPU)


def test_other_entries_stay(file):
    tuned_choices.keep(CPU, "one", other_choices())
    tuned_choices.keep(CPU, "two", built_in(CPU))
    assert tuned_choices.tuned(CPU, "one") == other_choices()
    assert tuned_choices.tuned(CPU, "two") == built_in(CPU)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: "[]",
        lambda text: text.replace('"format": 1', '"format": 9'),
        lambda text: text.replace('"batch_size": 3', '"batch_size": 0'),
        lambda text: text.replace('"batch_size": 3', '"batch_size": true'),
        lambda text: text.replace('"photos_at_once": 2', '"photos_at_once": "2"'),
        lambda text: text.replace('"eager"', '"os.system"'),
        lambda text: text.replace("float", "flaot"),
        lambda text: text.replace('"readers"', '"raeders"'),
    ],
)
def test_a_damaged_file_is_ignored_with_one_sentence(file, damage, caplog):
    tuned_choices.keep(CPU, BACKBONE, replace(other_choices(), dtype=torch.float32))
    text = file.read_text()
    file.write_text(damage(text))
    assert file.read_text() != text
    with caplog.at_level(logging.WARNING):
        assert choices_for(CPU, BACKBONE) == choices_for(CPU, BACKBONE) == built_in(CPU)
    [record] = caplog.records
    assert record.getMessage().startswith(f"{file} is damaged and ignored (")
    assert record.getMessage().endswith("`python -m geo_model tune` writes it anew.")
    tuned_choices.keep(CPU, BACKBONE, other_choices())
    assert choices_for(CPU, BACKBONE) == other_choices()


def test_an_empty_variable_keeps_nothing(monkeypatch):
    monkeypatch.setenv(tuned_choices.FILE_VARIABLE, "")
    assert choices_for(CPU, BACKBONE) == built_in(CPU)
    with pytest.raises(GeoModelError, match="so nothing is kept"):
        tuned_choices.keep(CPU, BACKBONE, other_choices())


def timing(seconds, **changes):
    return Timing(replace(built_in(CPU), **changes), 1.0, list(seconds), list(seconds))


def test_only_what_is_faster_in_every_round_is_chosen(tiny_model_folder):
    measured = Tuning(geo_model.load(tiny_model_folder, device="cpu", precision="float32"))
    built = timing([2.0, 2.0, 2.0])
    clearly, mostly = timing([1.5, 1.5, 1.6], readers=7), timing([0.5, 0.5, 2.1], readers=8)
    hardly = timing([1.99, 1.99, 1.99], readers=9)
    failed = Timing(replace(built.choices, readers=6), problem="out of memory")
    assert measured._best([built, failed, clearly, mostly, hardly]) == clearly.choices
    assert measured._best([built, mostly, hardly]) == built.choices
    assert measured._best([failed, clearly]) == clearly.choices
    with pytest.raises(GeoModelError, match="nothing could be measured: out of memory"):
        measured._best([failed])


def test_the_command_measures_shows_and_keeps(file, tiny_model_folder, monkeypatch):
    monkeypatch.setattr(tuning, "_ROUNDS", 1)
    monkeypatch.setattr(tuning, "_CPU_PHOTOS_AT_ONCE", (1, 2))
    result = CliRunner().invoke(app, ["tune", "--model", str(tiny_model_folder), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    found = tuned_choices.tuned(CPU, BACKBONE)
    assert found is not None
    for text in ("precision", "float32", "readers", "pillow", "Chosen: ", f"Kept in {file}"):
        assert text in result.stdout
    assert geo_model.load(tiny_model_folder, device="cpu").choices == found
    for _ in range(2):
        result = CliRunner().invoke(app, ["tune", "--forget"])
        assert result.exit_code == 0
    assert result.stdout == "Nothing was kept.\n"
    assert not file.exists()


def test_stopping_keeps_nothing(file, tiny_model_folder, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Tuning, "_measured", stopped)
    result = CliRunner().invoke(app, ["tune", "--model", str(tiny_model_folder), "--device", "cpu"])
    assert result.exit_code == 130
    assert not file.exists()


def test_compiling_is_left_out_without_a_compiler_and_priced_with_one(tiny_model_folder, monkeypatch):
    model = geo_model.load(tiny_model_folder, device="cpu", precision="float32")
    monkeypatch.setattr(tuning.shutil, "which", lambda name: None)
    without = Tuning(model, compiled=True)
    assert without.notes == [
        "torch.compile is left out: there is no C++ compiler, which it needs; install g++ or clang++."
    ]
    assert all(choices.way == "eager" for choices in without._networks)
    monkeypatch.setattr(tuning.shutil, "which", lambda name: f"/usr/bin/{name}")
    with_one = Tuning(model, compiled=True)
    assert with_one.steps > without.steps
    with_one.network = [timing([0.2, 0.2, 0.2]), timing([0.1, 0.1, 0.1], way="compiled")]
    with_one.reading = [timing([0.2])]
    assert "saves 100.0 ms a photo: it pays after 10 photos." in "\n".join(tuning_lines(with_one))
