"""The part of the page Evaluation that runs the loaded model over photos whose place is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from geo_model.errors import GeoModelError
from geo_model.evaluation import Intake
from geo_model.photo_files import shown_name
from geo_model.predict import Model
from geo_model.truth import Coordinate
from webapp import evaluation_wording as words
from webapp.evaluation_run import EvaluationRun, PhotosToRun
from webapp.evaluation_session import EvaluationSession
from webapp.language import figures, tr
from webapp.library_sentences import said
from webapp.model_gate import model_or_panel
from webapp.prediction_sets import PredictionSet
from webapp.serving import serves_this_machine_only
from webapp.session import session_watch
from webapp.upload_field import show_upload_field
from webapp.warning_list import show_warning
from webapp.wording import PATH_REFUSALS, as_code, cannot_be_read, count, literal, named_apart

MAX_ARCHIVE_MB = 1024
"""Largest archive that a visitor can upload; it lies in memory while the page is open."""

_ARCHIVE_TYPES = [".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz"]
_POLL_SECONDS = 1.0


_REFUSED_ICON = ":material/block:"
_FOLDER = "run-folder"


def show_run(state: EvaluationSession, sets: Sequence[PredictionSet], running: bool) -> None:
    """Where a run is made ready, and how far the one that was started is.

    Args:
        state: The page's.
        sets: The sets of predictions.
        running: Whether a run was going on when the sets were made. If it has ended since, they lack its last
            photos, and the page runs again.
    """
    with st.expander(tr(words.RUN), icon=":material/play_circle:", expanded=bool(state.photos or state.runs)):
        st.markdown(tr(words.RUN_INTRODUCTION))
        model = model_or_panel()
        if model is None:
            return
        if not running:
            _choose_photos(state)
            if state.photos is not None:
                _prepare(state, model, state.photos, sets)
        if state.active_run is not None:
            _show_progress(state, state.active_run, running)


def _choose_photos(state: EvaluationSession) -> None:
    def take(files: Sequence[UploadedFile]) -> None:
        _read(state, files[0].getvalue() if files else None, files[0].name if files else "")

    show_upload_field(
        tr(words.RUN_ARCHIVE),
        "run-archive",
        lambda: state.round,
        take,
        type=_ARCHIVE_TYPES,
        help=tr(words.RUN_ARCHIVE_HELP),
        max_upload_size=MAX_ARCHIVE_MB,
    )
    if serves_this_machine_only():
        now = state.round

        def take_path() -> None:
            # The browser goes on sending what stands in a field until it has heard that the field is gone.
            if state.round == now:
                path = st.session_state[_FOLDER].strip()
                _read(state, Path(path) if path else None, path)

        state.keep(_FOLDER, "")
        st.text_input(
            tr(words.RUN_FOLDER),
            key=_FOLDER,
            help=tr(words.RUN_FOLDER_HELP),
            on_change=take_path,
            placeholder="/home/me/photos",
        )
        state.note(_FOLDER)
    if state.photos_error:
        st.error(literal(said(state.photos_error)), icon=":material/error:")


def _read(state: EvaluationSession, source: bytes | Path | None, name: str) -> None:
    """Take other photos, or, where there is no source, none any more."""
    state.photos, state.photos_error = None, None
    if source is None or (isinstance(source, Path) and not serves_this_machine_only()):
        return
    try:
        state.photos = PhotosToRun(source.expanduser() if isinstance(source, Path) else source, name)
    except GeoModelError as error:
        state.photos_error = str(error)
    except PATH_REFUSALS as error:
        state.photos_error = cannot_be_read(name, error)


def _prepare(
    state: EvaluationSession, model: Model, photos: PhotosToRun, sets: Sequence[PredictionSet]
) -> None:
    """Say what the photos are, pair them with truth, and offer to start."""
    if photos.refused:
        refused = [(refusal.name, said(refusal.reason)) for refusal in photos.refused]
        heading = tr(
            words.RUN_REFUSED,
            entries=count(len(photos.refused), "entry", "entries"),
            name=as_code(photos.name),
        )
        show_warning(heading, refused, _REFUSED_ICON)
    truths = _choose_truths(state, photos, sets)
    intake = Intake(photos.names(), truths, lambda: None)
    known = sum(1 for _ in intake.named_sources())
    st.markdown(words.photos_with_truth(len(photos), known, as_code(photos.name)))
    if not known:
        st.warning(tr(words.RUN_NO_MATCH), icon=":material/link_off:")
        return

    def start() -> None:
        if state.photos is not photos:  # a second click, before the page was drawn anew
            return
        run = EvaluationRun(model, photos, truths, session_watch())
        state.runs.append((tr(words.RUN_NAME, model=model.spec.name, photos=photos.name), run))
        state.photos = None
        state.round += 1
        st.session_state[_FOLDER] = state.kept[_FOLDER] = ""
        run.start()

    st.button(
        tr(words.RUN_START, photos=count(known, "photo")),
        icon=":material/play_arrow:",
        type="primary",
        on_click=start,
    )


def _choose_truths(
    state: EvaluationSession, photos: PhotosToRun, sets: Sequence[PredictionSet]
) -> Mapping[str, Coordinate]:
    """The table that says where the photos were taken; that which knows most of them stands first."""

    def take(files: Sequence[UploadedFile]) -> None:
        state.truths_error = None
        for file in files:
            try:
                state.add_truths(file.name, file.getvalue())
            except GeoModelError as error:
                state.truths_error = str(error)

    choices: list[tuple[str, Mapping[str, Coordinate]]] = [
        (
            entry.name,
            dict(zip(entry.table.photo_ids, map(tuple, entry.table.truth.tolist()), strict=True)),
        )
        for entry in sets
    ]
    if state.own_truths:
        choices.append(state.own_truths)
    choices.append((tr(words.RUN_TRUTH_ITSELF), {}))
    names = list(photos.names())
    known = [sum(photo.look_up(table) is not None for photo in names) for _, table in choices]
    # Of those that know as many, the visitor's own.
    best = max(
        range(len(choices)), key=lambda number: (known[number], choices[number] is state.own_truths, -number)
    )
    labels = named_apart(
        [f"{name} ({count(number, 'photo')})" for (name, _), number in zip(choices, known, strict=True)]
    )
    key = f"run-truth-of-{state.round}-{len(choices)}-{photos.name}"
    st.selectbox(
        tr(words.RUN_TRUTH),
        range(len(choices)),
        index=best,
        format_func=labels.__getitem__,
        key=key,
    )
    show_upload_field(
        tr(words.RUN_TRUTH_TABLE),
        "run-truth",
        lambda: state.round,
        take,
        type=[".csv"],
        help=tr(words.RUN_TRUTH_TABLE_HELP),
    )
    if state.truths_error:
        st.error(literal(said(state.truths_error)), icon=":material/error:")
    return choices[st.session_state[key]][1]


@st.fragment(run_every=_POLL_SECONDS)
def _poll(state: EvaluationSession) -> None:
    """How far the run is, asked again every second; the whole page runs again when it ends."""
    run = state.active_run
    if run is None or run.state != "running":
        st.rerun()
    st.progress(run.done / max(run.total, 1), text=words.run_progress(run.done, run.total, run.seconds_left))
    if run.stopping:
        st.caption(tr(words.RUN_STOPPING))
        return
    st.button(tr(words.RUN_CANCEL), icon=":material/close:", on_click=run.cancel, key="run-cancel")
    st.caption(tr(words.RUN_SHOWN))


def _show_progress(state: EvaluationSession, run: EvaluationRun, running: bool) -> None:
    if running or run.state == "running":
        _poll(state)
        return
    numbers = {"done": figures(f"{run.done - len(run.unreadable):,}"), "photos": count(run.total, "photo")}
    if run.error:
        st.error(literal(said(run.error)), icon=":material/error:")
    if run.state == "done":
        st.success(tr(words.RUN_DONE, **numbers), icon=":material/check:")
    else:
        st.info(tr(words.RUN_PAUSED, **numbers), icon=":material/pause:")
        st.button(tr(words.RUN_GO_ON), icon=":material/play_arrow:", on_click=run.start, key="run-go-on")
    if run.unreadable:
        unreadable = [
            (name, said(reason).removeprefix(f"{shown_name(name)}: "))
            for name, reason in run.unreadable.items()
        ]
        heading = tr(words.RUN_UNREADABLE, photos=count(len(unreadable), "photo"))
        show_warning(heading, unreadable, _REFUSED_ICON)
    if run.repeated:
        repeated = [(name, "") for name in run.repeated]
        show_warning(tr(words.RUN_REPEATED, photos=count(len(repeated), "photo")), repeated, _REFUSED_ICON)
