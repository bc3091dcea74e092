"""The photos of this session whose place is known, to guess it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial

import streamlit as st

from geo_model.errors import GeoModelError
from geo_model.images import read_image
from geo_model.photo_files import shown_name
from webapp.evaluation_session import EvaluationSession
from webapp.guess_game import Challenge
from webapp.photos import Sample, content_key, read_samples
from webapp.session import session, the_model

MOST_OF_A_RUN = 500
"""Photos of one evaluation run that take part at most."""

_LONG_SIDE_PX = 900


def challenges(with_samples: bool) -> list[Challenge]:
    """Photos of the page Locate, those of runs of the page Evaluation, and the samples if wanted."""
    found = [*_located(), *_evaluated(), *(_samples() if with_samples else ())]
    return list({challenge.key: challenge for challenge in found}.values())


def picture(challenge: Challenge) -> bytes:
    """The photo as a JPEG without metadata, which would tell where it was taken.

    Raises:
        GeoModelError: It cannot be read, or is gone.
    """
    try:
        image = read_image(challenge.read(), name=challenge.name, short_side_px=_LONG_SIDE_PX // 2)
    except KeyError as error:
        raise GeoModelError(f"{challenge.name}: the photo is gone; add it again.") from error
    image.thumbnail((_LONG_SIDE_PX, _LONG_SIDE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _located() -> Iterator[Challenge]:
    for photo, result in session().located:
        if result.truth:
            yield Challenge(
                photo.key,
                photo.short_name,
                photo.read,
                (result.truth.latitude, result.truth.longitude),
                result.prediction.point(),
                *(_credits(photo.sample) if photo.sample else ()),
            )


def _evaluated() -> Iterator[Challenge]:
    state = st.session_state.get("evaluation")
    if not isinstance(state, EvaluationSession):
        return
    for _, run in state.runs:
        found = run.results()
        if found is None or run.model.path != the_model().path:  # another model's answers
            continue
        photo_ids, measured = found
        for photo_id, truth, point in list(
            zip(photo_ids, measured.truth.tolist(), measured.points.tolist(), strict=True)
        )[:MOST_OF_A_RUN]:
            name = shown_name(photo_id, longest=60)
            read = partial(run.photos.read, photo_id)
            yield Challenge(f"{run.key}-{photo_id}", name, read, (truth[0], truth[1]), (point[0], point[1]))


def _samples() -> Iterator[Challenge]:
    for sample in read_samples():
        data = sample.path.read_bytes()
        yield Challenge(
            f"sample-{content_key(data)}",
            sample.title,
            sample.path.read_bytes,
            (sample.latitude, sample.longitude),
            None,
            *_credits(sample),
        )


def _credits(sample: Sample) -> tuple[str, str]:
    licence = f"[{sample.licence}]({sample.licence_url})"
    return f"{sample.author}, {licence}", f"[{sample.title}]({sample.source_url}), {sample.author}, {licence}"
