"""The command `python -m geo_model download`, and the question that others ask before they download."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command `download` to the command line."""
    app.command("download")(download_command)


def download_command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="geoclip.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Fetch without a question.")] = False,
) -> None:
    """Fetch what a model lacks, so that it runs without a network afterwards.

    GeoCLIP needs CLIP's weights, about 1.7 GB from huggingface.co. They are asked for once, here or when the
    model is first used, and kept in Hugging Face's cache. Then its gallery is encoded, which takes a while.
    Stopped, or cut off, it goes on where it was when it is run again.
    """
    from geo_model.cli import plain_endings

    with plain_endings():
        from geo_model.errors import GeoModelError
        from geo_model.geoclip_parts import NAME, local_clip, names_geoclip, the_package

        if not names_geoclip(model):
            raise GeoModelError(f"{model}: nothing can be downloaded for it; give {NAME}")
        make_ready(model, agreed=yes)

        from geo_model.geoclip_gallery import cache_file

        print(f"CLIP's weights: {local_clip()}")
        print(f"Encoded gallery: {cache_file(the_package())}", flush=True)


def make_ready(model: str | None, *, agreed: bool = False, device: str = "cpu") -> None:
    """Fetch and compute what a model needs before it can be loaded; most need nothing.

    Args:
        model: As for --model.
        agreed: Whether downloading was agreed to beforehand; else it is asked on the terminal.
        device: Where to compute.

    Raises:
        GeoModelError: A part cannot be had, the answer is no, or nobody is there to answer.
    """
    from geo_model import geoclip_parts

    if not geoclip_parts.names_geoclip(model):
        return
    package = geoclip_parts.the_package()
    if geoclip_parts.local_clip() is None:
        from geo_model.hosts import confirm_host

        download = geoclip_parts.clip_download()
        confirm_host(
            download.url,
            download.what,
            agreed=agreed or geoclip_parts.download_allowed(),
            how=geoclip_parts.how_to_agree(),
        )
        from geo_model import geoclip_download

        with _bar("Fetching CLIP's weights, MB", 1_000_000) as show:
            geoclip_download.fetch_clip(show)
    from geo_model.geoclip_gallery import cache_file

    if cache_file(package).is_file():
        return
    with _bar("Encoding GeoCLIP's gallery, once, thousand places", 1_000) as show:
        from geo_model.geoclip_gallery import load_gallery

        load_gallery(package, device, show)


@contextlib.contextmanager
def _bar(title: str, unit: int) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told how much is done and how much there is, and counts in steps of `unit`."""
    from geo_model.progress import Work

    with contextlib.ExitStack() as stack:
        work: Work | None = None
        shown = 0

        def show(done: int, total: int) -> None:
            nonlocal work, shown
            if work is None:  # only now is the total known; what an earlier attempt did is no speed
                shown = done // unit
                work = stack.enter_context(Work(title, max(1, total // unit), done=shown))
            while shown < done // unit:
                work.advance()
                shown += 1

        yield show
