"""The sets of predictions on the page Evaluation: what each is, to take away, to remove, to add to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from geo_model.photo_files import shown_name
from geo_model.prediction_table import PredictionTable, table_csv
from webapp import evaluation_wording as words
from webapp.evaluation_session import EvaluationSession
from webapp.language import tr
from webapp.library_sentences import said
from webapp.prediction_sets import PredictionSet
from webapp.upload_field import show_upload_field
from webapp.warning_list import show_warning
from webapp.wording import as_code, count, literal

_MAX_TABLE_MB = 96


def show_sets(state: EvaluationSession, sets: Sequence[PredictionSet]) -> None:
    """A line for each set, with what was wrong with rows of its table."""
    for entry in sets:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            note = literal(words.set_note(len(entry.table), tr(entry.note)))
            st.markdown(f"**{literal(entry.name)}** — {note}", width="stretch")
            st.download_button(
                tr(words.DOWNLOAD),
                partial(_csv, entry.table),
                file_name=f"{entry.key}.csv",
                mime="text/csv",
                on_click="ignore",
                icon=":material/download:",
                type="tertiary",
                help=tr(words.DOWNLOAD_HELP),
                key=f"download-{entry.key}",
            )
            if len(sets) > 1:
                st.button(
                    tr(words.REMOVE),
                    key=f"remove-{entry.key}",
                    icon=":material/close:",
                    type="tertiary",
                    on_click=state.remove,
                    args=(entry.key,),
                )
        _show_remarks(state, entry)


def show_add_table(state: EvaluationSession) -> None:
    """The field that takes tables of predictions."""

    def take(files: Sequence[UploadedFile]) -> None:
        state.refusals = []
        for file in files:
            state.add_table(file.name, file.getvalue())
        state.table_round += 1  # the tables are in the list now

    with st.expander(tr(words.ADD_TABLE), icon=":material/table:", expanded=bool(state.refusals)):
        show_upload_field(
            tr(words.ADD_TABLE),
            "evaluation-tables",
            lambda: state.table_round,
            take,
            type=[".csv"],
            accept_multiple_files=True,
            help=tr(words.ADD_TABLE_HELP),
            label_visibility="collapsed",
            max_upload_size=_MAX_TABLE_MB,
        )
        st.caption(tr(words.ADD_TABLE_HELP))
        for sentence in state.refusals:
            st.error(literal(said(sentence)), icon=":material/error:")


def _show_remarks(state: EvaluationSession, entry: PredictionSet) -> None:
    table, name, run = entry.table, as_code(entry.name), state.run_of(entry)
    if table.bad_rows:
        heading = tr(words.ROWS_LEFT_OUT, rows=count(len(table.bad_rows), "row"), name=name)
        show_warning(heading, [("", said(sentence)) for sentence in table.bad_rows])
    if table.without_answer and (run is None or run is not state.active_run):  # whose panel says it
        text = words.WITHOUT_ANSWER if run is None else words.RUN_UNREADABLE_OF
        heading = tr(text, photos=count(len(table.without_answer), "photo"), name=name)
        show_warning(
            heading,
            [
                (photo, said(reason).removeprefix(f"{shown_name(photo)}: "))
                for photo, reason in table.without_answer
            ],
        )
    if table.remarks:
        show_warning(tr(words.REMARKS, name=name), [("", said(sentence)) for sentence in table.remarks])


def _csv(table: PredictionTable) -> bytes:
    return "".join(table_csv(table)).encode("utf-8")
