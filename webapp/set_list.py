"""The sets of predictions on the page Evaluation: what each is, to take away, to remove, to add to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from geo_model.photo_files import shown_name
from geo_model.prediction_table import PredictionTable, table_csv
from webapp import evaluation_wording as words
from webapp.evaluation_session import EvaluationSession
from webapp.language import tr
from webapp.library_sentences import said
from webapp.prediction_sets import PredictionSet
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
        _show_remarks(entry)


def show_add_table(state: EvaluationSession) -> None:
    """The field that takes tables of predictions."""
    key = f"evaluation-tables-{state.table_round}"

    def take() -> None:
        state.refusals = []
        for file in st.session_state[key]:
            state.add_table(file.name, file.getvalue())
        state.table_round += 1  # a field under a new key is empty: the tables are in the list now

    with st.expander(tr(words.ADD_TABLE), icon=":material/table:", expanded=bool(state.refusals)):
        st.file_uploader(
            tr(words.ADD_TABLE),
            type=[".csv"],
            accept_multiple_files=True,
            key=key,
            help=tr(words.ADD_TABLE_HELP),
            on_change=take,
            label_visibility="collapsed",
            max_upload_size=_MAX_TABLE_MB,
        )
        st.caption(tr(words.ADD_TABLE_HELP))
        for sentence in state.refusals:
            st.error(literal(said(sentence)), icon=":material/error:")


def _show_remarks(entry: PredictionSet) -> None:
    table, name = entry.table, as_code(entry.name)
    if table.bad_rows:
        heading = tr(words.ROWS_LEFT_OUT, rows=count(len(table.bad_rows), "row"), name=name)
        show_warning(heading, [("", said(sentence)) for sentence in table.bad_rows])
    if table.without_answer:
        heading = tr(words.WITHOUT_ANSWER, photos=count(len(table.without_answer), "photo"), name=name)
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
