"""Sentences of the library in German: about real input, and every one that it can raise."""

from __future__ import annotations

import ast
import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest

import geo_model
from geo_model.errors import GeoModelError
from geo_model.images import read_image
from geo_model.model_folder import read_model_folder
from geo_model.photo_archive import ArchiveLimits, PhotoArchive
from geo_model.photo_collection import PhotoCollection
from geo_model.prediction_table import read_predictions
from geo_model.truth import read_truth_csv
from webapp import language, library_sentences
from webapp.library_sentences import fields_of, said

LIBRARY = Path(geo_model.__file__).parent
MODULES = (
    *("photo_files", "images", "photo_archive", "archive_entries", "photo_collection"),
    *("truth", "prediction_table"),
    *("geoclip_parts", "geoclip_download", "geoclip_gallery", "geoclip_model", "network"),
)
IN_MODELS = ("model_folder", "decoding", "crops", "partition_csv")
"""Modules whose sentences stand in that on the model folder."""
NOT_SHOWN = (
    # Errors in how the library is called, and three whose text the archive's reader replaces by a sentence.
    *("a photo is bytes, a path or", "the stream gives text, not bytes"),
    *("a header is damaged", "the end is missing", "unexpected end of data"),
)


@pytest.fixture(autouse=True)
def german(monkeypatch):
    for module in (language, library_sentences):
        monkeypatch.setattr(module, "language", lambda: "de")


def zip_of(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        link = zipfile.ZipInfo("link.jpg")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def test_why_entries_of_an_archive_are_refused():
    entries = {
        "good.jpg": b"x",
        "../out.jpg": b"x",
        "/abs.jpg": b"x",
        "inner.zip": b"x",
        "notes.txt": b"x",
        "bomb.jpg": bytes(20_000_000),
        "huge.json": bytes(2**20 + 1),
    }
    refused = {entry.name: entry.reason for entry in PhotoArchive(zip_of(entries), "photos.zip").refused}
    assert "times its size" in refused["bomb.jpg"]
    german = {name: said(reason) for name, reason in refused.items()}
    assert german.pop("bomb.jpg").endswith("-mal so groß, was kein Foto tut")
    assert german == {
        "../out.jpg": "der Name führt aus dem Archiv hinaus",
        "/abs.jpg": "der Name ist kein Pfad innerhalb des Archivs",
        "inner.zip": "ein Archiv im Archiv",
        "notes.txt": "kein Foto",
        "huge.json": "entpackt 1 MiB, und höchstens 1 sind erlaubt",
        "link.jpg": "eine Verknüpfung oder ein Gerät, keine Datei",
    }


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [
        (
            lambda: PhotoArchive(zip_of({"notes.txt": b"x"}), "a.zip"),
            "a.zip: Darin ist kein brauchbares Foto; von 2 anderen Einträgen ist der erste notes.txt: kein "
            "Foto. Geben Sie Dateien mit diesen Endungen an: .apng",
        ),
        (
            lambda: PhotoArchive(b"words", "a.zip"),
            "a.zip: Das ist kein lesbares Zip oder Tar; erstellen Sie das Archiv neu.",
        ),
        (
            lambda: PhotoArchive(zip_of({"a.jpg": b"x"}), "a.zip", ArchiveLimits(entries=1)),
            "a.zip: Es sind mehr als 1 Einträge; teilen Sie das Archiv auf.",
        ),
        (
            lambda: read_predictions(b"a,b\n1,2\n", "t.csv"),
            "t.csv, Zeile 1: Die Kopfzeile braucht die Spalten "
            "img_id,gt_lat,gt_long,predicted_lat,predicted_long oder "
            "photo,truth_latitude,truth_longitude,latitude,longitude und hat 'a,b'.",
        ),
        (
            lambda: read_truth_csv(b"IMG_ID,LAT,LON\na.jpg,95,0\n", "t.csv"),
            "t.csv, Zeile 2, Spalte LAT: Die Breite 95 liegt jenseits von 90 Grad; sind Breite und Länge "
            "vertauscht?",
        ),
        (
            lambda: read_truth_csv(b"IMG_ID,LAT,LON\na.jpg,0,1_0\n", "t.csv"),
            "t.csv, Zeile 2, Spalte LON: '1_0' ist keine Zahl; geben Sie die Länge in Grad an.",
        ),
        (
            lambda: read_predictions(
                b"img_id,gt_lat,gt_long,predicted_lat,predicted_long\na.jpg,0,0,0,181\n", "t.csv"
            ),
            "t.csv, Zeile 2, Spalte predicted_long: Die Länge 181 liegt jenseits von 180 Grad; geben Sie sie "
            "von -180 bis 180 an. Auch keine andere Zeile ist brauchbar.",
        ),
        (
            lambda: read_image(b"only words", name="a.jpg"),
            "a.jpg: Das ist kein Foto in einem bekannten Format; möglich sind JPEG, PNG, WebP, TIFF, BMP, "
            "GIF, HEIC und AVIF.",
        ),
        (lambda: read_image(b"", name="a.jpg"), "a.jpg: Die Datei ist leer; geben Sie ein Foto an."),
        (
            lambda: PhotoCollection("/no/such"),
            "/no/such: Diesen Ordner oder dieses Tar gibt es nicht; prüfen Sie den Pfad.",
        ),
    ],
)
def test_real_errors_in_german(attempt, expected):
    with pytest.raises(GeoModelError) as caught:
        attempt()
    assert said(str(caught.value)).startswith(expected)


def raised(module: str) -> list[str]:
    """Every sentence that a module raises an error with, its values as VALUE."""
    found = []
    for node in ast.walk(ast.parse((LIBRARY / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            for argument in node.exc.args:
                if isinstance(argument, ast.JoinedStr):
                    parts = [
                        part.value if isinstance(part, ast.Constant) else "VALUE" for part in argument.values
                    ]
                    found.append("".join(map(str, parts)))
                elif isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found.append(argument.value)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_sentence_that_can_be_raised_has_a_german_one(module):
    larger = "VALUE: the file is larger than {}; give a smaller copy of the photo."
    # What the library itself puts in the place of a value.
    filled = {
        "VALUE: VALUE VALUE is beyond VALUE degrees; VALUE": "a.csv, line 2: longitude VALUE is beyond "
        "180 degrees; give it in -180 to 180.",
        "VALUE: VALUE; make it again.": "VALUE: it is no zip or tar that can be read; make it again.",
        "VALUE: it holds no photo that can be usedVALUE. Give files ending in VALUE.": "VALUE: it holds no "
        "photo that can be used. Give files ending in VALUE.",
        "VALUE, line 1: the header needs the columns VALUE and has VALUE.": "VALUE, line 1: the header needs "
        "the columns VALUE or VALUE and has VALUE.",
        larger.format("VALUE"): larger.format("96 MiB"),
    }
    sentences = [text for text in raised(module) if not any(part in text for part in NOT_SHOWN)]
    assert sentences
    assert not [text for text in sentences if said(filled.get(text, text)) == filled.get(text, text)]


@pytest.mark.parametrize("module", IN_MODELS)
def test_every_problem_of_a_model_folder_has_a_german_sentence(module):
    other = ("; export with the partitionings", "; train longer", "VALUE: VALUE.")  # when a folder is written
    problems = [
        text.rstrip(".")
        for text in raised(module)
        if said(text) == text and text != "VALUE." and not any(part in text for part in other)
    ]
    assert problems
    for text in problems:
        filled = text.replace("degreesVALUE", "degrees")
        filled = filled.replace("crop rule: VALUE; the keys", "crop rule: missing key VALUE; the keys")
        sentence = f"/m/model.json: {filled}; get the model folder again."
        if module == "partition_csv":
            sentence = f"{filled}."
        assert filled not in said(sentence)
        assert said(sentence) != sentence


def test_real_errors_of_model_folders_in_german(tiny_model_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_folder, folder)
    settings = json.loads((folder / "model.json").read_text())

    def says(name: str, content: str) -> str:
        kept = (folder / name).read_text()
        (folder / name).write_text(content)
        with pytest.raises(GeoModelError) as caught:
            read_model_folder(folder)
        (folder / name).write_text(kept)
        return said(str(caught.value)).removeprefix(f"{folder}/")

    again = "; besorgen Sie den Modellordner noch einmal."
    assert says("model.json", "[]") == f"model.json: darin ist kein JSON-Objekt{again}"
    assert says("model.json", json.dumps({**settings, "what": 1})) == (
        f"model.json: der Schlüssel 'what' ist unbekannt{again}"
    )
    assert says("model.json", "{").startswith("model.json: Der Modellordner ist nicht brauchbar (Expecting")
    header, first, *rest = (folder / "fine.csv").read_text().splitlines()
    no_cell = first.replace(first.split(",")[1], "zz")
    assert says("fine.csv", "\n".join([header, no_cell, *rest])) == (
        "fine.csv, Zeile 2: hex_id 'zz' ist kein Token einer S2-Zelle."
    )
    assert says("fine.csv", "\n".join([header, first])).startswith(
        "fine.csv: Darin sind 1 Zellen, und model.json nennt 320;"
    )


def test_what_is_not_known_stays_and_values_are_not_translated():
    assert said("Something else.") == "Something else."
    assert said("it is no photo: the file is empty; give a photo.") == (
        "it is no photo: Die Datei ist leer; geben Sie ein Foto an."
    )
    assert said("a.zip: it has more than 200,000 entries; split it.").startswith(
        "a.zip: Es sind mehr als 200.000 "
    )


@pytest.mark.parametrize(
    ("text", "sentence", "fields"),
    [
        ("{a}: no", "x: y: no", {"a": "x: y"}),
        ("{a}: {b}!", "x: y: z!", {"a": "x", "b": "y: z"}),
        ("{a}: {b}!", "x: y", None),
        ("only {a}", "only", None),
        ("as it is", "as it is", {}),
        ("as it is", "as it was", None),
        ("{a}aa{b}aa", "aaa", None),
    ],
)
def test_values_are_found_between_the_pieces_of_a_text(text, sentence, fields):
    assert fields_of(text, sentence) == fields


def test_a_hostile_sentence_takes_no_longer_than_its_length():
    name = ": latitude is beyond degrees; ' is already in line " * 20_000
    assert said(f"{name}: it is empty; name the photo.").endswith(
        ": Die Zelle ist leer; benennen Sie das Foto."
    )
