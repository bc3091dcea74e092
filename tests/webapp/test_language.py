import ast
import json
import string
from pathlib import Path

import pytest

from webapp.language import CATALOGUES, german_texts

WEBAPP = CATALOGUES.parent
MODULES = sorted(path for path in WEBAPP.rglob("*.py") if path.name != "make_land.py")


def fields(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def texts_of(file: Path):
    """What a module shows: literals given to `tr`, and all constants of a module of wording."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tr":
            yield from constants(node.args[:1])
    if file.name.endswith("_wording.py"):
        for node in tree.body:
            if isinstance(node, ast.Assign):
                yield from constants(ast.walk(node.value))


def constants(nodes):
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(WEBAPP)))
def test_every_text_has_a_german_one(file):
    missing = [text for text in texts_of(file) if text not in german_texts()]
    assert not missing


def test_no_german_text_is_left_over_and_none_is_given_twice():
    used = {text for file in MODULES for text in texts_of(file)}
    seen = {}
    for file in sorted(CATALOGUES.glob("*.json")):
        pairs = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=list)
        for english, german in pairs:
            assert german.strip(), f"{file.name}: {english!r} is empty"
            assert english not in seen, f"{file.name}: {english!r} is in {seen[english]} already"
            seen[english] = file.name
    assert set(seen) == used


def test_both_languages_put_in_the_same_values():
    for english, german in german_texts().items():
        assert fields(english) == fields(german), english
