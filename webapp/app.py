"""The web app: `streamlit run webapp/app.py`."""

import sys
from pathlib import Path

import streamlit as st

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # Streamlit puts only this file's folder there, and the packages lie beside it
    sys.path.insert(0, ROOT)

from geo_model.errors import GeoModelError  # noqa: E402 - from the folder above
from webapp.language import choose_language, tr  # noqa: E402
from webapp.level_notice import level_notice  # noqa: E402
from webapp.library_sentences import said  # noqa: E402

# Not "pages": a first visit to an address such as /evaluation would then run that page without this file.
PAGES = Path(__file__).resolve().parent / "app_pages"
ICON = Path(ROOT) / "assets" / "icon.svg"  # an icon by name would be fetched from an outside host
SIDEBAR_PX = 220

st.set_page_config(
    page_title="Geolocation-Images", page_icon=ICON, layout="wide", initial_sidebar_state=SIDEBAR_PX
)
try:
    limit = level_notice()
except GeoModelError as error:  # an operator's mistake must not open what was to be closed
    st.error(said(str(error)), icon=":material/error:")
    st.stop()
page = st.navigation(
    [
        st.Page(PAGES / "locate.py", title=tr("Locate"), icon=":material/add_photo_alternate:", default=True),
        st.Page(PAGES / "cells.py", title=tr("Cells"), icon=":material/grid_on:"),
        st.Page(PAGES / "evaluation.py", title=tr("Evaluation"), icon=":material/query_stats:"),
        st.Page(PAGES / "against.py", title=tr("You against the model"), icon=":material/sports_score:"),
        st.Page(PAGES / "about.py", title=tr("About"), icon=":material/info:"),
    ],
    position="top",
)
with st.sidebar:
    choose_language()
    st.caption(
        f":material/balance: {tr('Locate only photos that you may, never to find or follow a person.')}"
    )
    if limit:
        st.caption(f":material/lock: {limit}")
page.run()
