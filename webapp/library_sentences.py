"""Sentences that geo_model writes in English, said in the visitor's language.

Nothing here knows what a sentence means: it is compared with the texts of `library_wording` and
`model_error_wording`, and what stands in the places of their fields goes into the German text. A sentence
that none of them fits stays as it is.
"""

from __future__ import annotations

import string
from functools import cache
from itertools import chain

from geo_model.cells import LEVELS
from webapp import library_wording as words
from webapp import model_error_wording as model_words
from webapp.language import figures, language, tr

_SENTENCES = (
    *(*words.PHOTOS, *words.FORMATS, *words.REFUSALS, *words.ARCHIVES, *words.TABLES, *words.RUNS),
    *model_words.ERRORS,
)
_WITHIN = {
    "axis": words.AXES,
    "formats": words.FORMATS,
    "level": tuple(level.value for level in LEVELS),
    "problem": (*model_words.SETTINGS, *model_words.PARTITIONINGS),
    "reason": _SENTENCES,
    "row": _SENTENCES,
    "where": words.POSITIONS,
}
"""Fields that hold one of the library's own texts in turn; all others are left as they are."""


def said(sentence: str) -> str:
    """A sentence of geo_model in the visitor's language. Untrusted text, as its names are."""
    return sentence if language() == "en" else _said(sentence, _SENTENCES)


def _said(sentence: str, texts: tuple[str, ...]) -> str:
    fitting = ((text, fields_of(text, sentence)) for text in _longest_first(texts))
    for text, fields in fitting:
        if fields is not None and ("problem" not in fields or _is_known(fields["problem"])):
            return tr(text, **{name: _field(name, value) for name, value in fields.items()})
    return sentence


def _is_known(problem: str) -> bool:
    return any(fields_of(text, problem) is not None for text in _WITHIN["problem"])


def _field(name: str, value: str) -> str:
    if name.startswith("number"):
        return figures(value)
    return _said(value, _WITHIN[name]) if name in _WITHIN else value


def fields_of(text: str, sentence: str) -> dict[str, str] | None:
    """What a sentence puts in the places of a text's fields; None if it was not made by this text.

    Takes time in proportion to the sentence's length, whatever stands in it.
    """
    pieces, names = _parts(text)
    if not names:
        return {} if sentence == text else None
    if not sentence.startswith(pieces[0]):
        return None
    fields, begin = {}, len(pieces[0])
    for name, piece in zip(names[:-1], pieces[1:-1], strict=True):
        end = sentence.find(piece, begin)
        if end < 0:
            return None
        fields[name], begin = sentence[begin:end], end + len(piece)
    end = len(sentence) - len(pieces[-1])
    if end < begin or not sentence.endswith(pieces[-1]):
        return None
    return {**fields, names[-1]: sentence[begin:end]}


@cache
def _parts(text: str) -> tuple[list[str], list[str]]:
    """The pieces of a text around its fields, one more than those, and the fields' names."""
    parsed = list(string.Formatter().parse(text))
    names = [name for _, name, _, _ in parsed if name is not None]
    pieces = [piece for piece, _, _, _ in parsed]
    return (pieces if len(pieces) > len(names) else [*pieces, ""]), names


@cache
def _longest_first(texts: tuple[str, ...]) -> list[str]:
    """The texts that say most by themselves first, for several may fit."""
    return sorted(texts, key=lambda text: -len("".join(chain(_parts(text)[0]))))
