"""The model of every page, or, where it cannot answer yet, what it lacks and how it gets it."""

from __future__ import annotations

import streamlit as st

from geo_model.errors import GeoModelError
from geo_model.geoclip_parts import CLIP_REPOSITORY, NAME, Download
from geo_model.predict import Model
from webapp.language import figures, tr
from webapp.library_sentences import said
from webapp.preparation import GeoclipPreparation, NotReadyError
from webapp.serving import serves_this_machine_only
from webapp.session import preparation, the_model
from webapp.wording import literal, time_left

_POLL_SECONDS = 1.0


def model_or_panel() -> Model | None:
    """The model that the visitor chose; None where the page says why there is none yet."""
    try:
        return the_model()
    except NotReadyError as needed:
        show_preparation(needed)
    except GeoModelError as error:
        st.error(literal(said(str(error))), icon=":material/error:")
    return None


def note_borrowed_cells(model: Model) -> None:
    """Say of a model without cells of its own whose cells, and whose training photos, are on show."""
    if model.spec.name == NAME:
        st.caption(
            tr(
                "GeoCLIP has no cells of its own: these, with their numbers of training photos, are those of "
                "the bundled model unless other ones were named."
            )
        )


def show_preparation(needed: NotReadyError) -> None:
    """What the model lacks, how large it is and where it lies, and how far it is on its way."""
    work = preparation()
    if needed.download is None and not work.begun:
        work.start()  # it only computes
    if work.state == "running":
        _poll(work)
        return
    if needed.download is not None and not serves_this_machine_only():
        st.warning(_missing(needed.download), icon=":material/cloud_off:")
        st.markdown(
            tr("This app may serve others as well, so it downloads nothing. Whoever runs it can do it with:")
        )
        st.code(f"python -m geo_model download {NAME}", language="sh")
        return
    if work.error is not None:
        st.error(literal(said(work.error)), icon=":material/error:")
    elif work.begun:
        st.info(tr("Stopped; what is here is kept."), icon=":material/pause:")
    if needed.download is None:
        st.button(tr("Encode the gallery"), icon=":material/play_arrow:", on_click=_start, type="primary")
    else:
        _ask(needed.download)


def _ask(download: Download) -> None:
    """Nothing is fetched before the click."""
    from geo_model.geoclip_download import partial_bytes

    st.warning(
        f"{_missing(download)} "
        + tr(
            "Nothing is fetched unless you click; the photos stay here either way. The host may pass the "
            "download on to its own storage servers. The weights are kept in Hugging Face's cache on this "
            "computer, and then GeoCLIP's gallery is encoded once, which takes a minute or two. The page "
            "About has other models."
        ),
        icon=":material/cloud_download:",
    )
    size = figures(f"{download.megabytes / 1000:.1f} GB")
    label = tr("Download {size} from {host}", size=size, host=download.host)
    if here := partial_bytes():
        label = tr(
            "Go on: {here} of {size} are here, the rest comes from {host}",
            here=_bytes_text(here),
            size=size,
            host=download.host,
        )
    st.button(label, icon=":material/download:", on_click=_start, key="model-download", type="primary")


def _missing(download: Download) -> str:
    size = figures(f"{download.megabytes / 1000:.1f} GB")
    name = literal(CLIP_REPOSITORY)
    return tr("The model lacks CLIP's weights ({name}, about {size}).", name=name, size=size)


def _start() -> None:
    """Begin, if this visitor may: a download only for somebody at this computer."""
    try:
        preparation().check()
    except NotReadyError as needed:
        if needed.download is None or serves_this_machine_only():
            preparation().start()
    except GeoModelError:
        pass  # the page says it


@st.fragment(run_every=_POLL_SECONDS)
def _poll(work: GeoclipPreparation) -> None:
    """How far it is, asked again every second; the whole page runs again when it ends."""
    if work.state != "running":
        st.rerun()
    st.progress(min(1.0, work.done / max(work.total, 1)), text=_progress_text(work))
    if serves_this_machine_only():
        st.button(tr("Stop"), icon=":material/close:", on_click=work.cancel, key="model-download-stop")
    if work.part == "gallery":
        st.caption(tr("It goes on while you look at other pages. Stopped, it begins anew."))
    else:
        st.caption(tr("It goes on while you look at other pages. Stopped, it can go on later."))


def _progress_text(work: GeoclipPreparation) -> str:
    if work.part == "gallery":
        text = tr(
            "Encoding GeoCLIP's gallery, once: {done} of {total} places",
            done=figures(f"{work.done:,}"),
            total=figures(f"{work.total:,}"),
        )
    elif work.total > 1:
        text = tr(
            "Downloading CLIP's weights: {done} of {total}",
            done=_bytes_text(work.done),
            total=_bytes_text(work.total),
        )
    else:
        return tr("Asking what there is to download …")
    left = work.seconds_left
    return text if left is None else f"{text}, {time_left(left)}"


def _bytes_text(count: int) -> str:
    """A number of bytes: "820 MB", "1.7 GB"."""
    return figures(f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB")
