"""The command line of the training pipeline: `python -m train COMMAND`.

Heavy packages are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geo_model.errors import GeoModelError
from train import cli_download, cli_tables, cli_test
from train.ranks import ranks, speaks

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    name="python -m train",
    help="From photo coordinates to a model folder: partition the Earth, assign classes, fit, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli_download.register(app)
cli_tables.register(app)
cli_test.register(app)

CoordinatesOption = Annotated[
    Path,
    typer.Option(
        "--coordinates",
        help="CSV of photo coordinates in degrees: columns IMG_ID (optional), LAT, LON; others are ignored.",
        show_default=False,
    ),
]


@app.command("partition")
def partition_command(
    coordinates: CoordinatesOption,
    img_min: Annotated[
        int, typer.Option(min=0, help="Drop cells with this many photos or fewer.", show_default=False)
    ],
    img_max: Annotated[
        int, typer.Option(min=1, help="Split cells with more photos than this.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Partition CSV to write.", show_default=False)],
    lvl_min: Annotated[int, typer.Option(min=0, max=30, help="S2 level of the largest cells.")] = 2,
    lvl_max: Annotated[int, typer.Option(min=0, max=30, help="S2 level of the smallest cells.")] = 30,
) -> None:
    """Split the Earth into S2 cells by where the photos are.

    Use the same --img-min for the coarse, the middle and the fine partitioning: only then does every fine
    cell lie in a middle and a coarse one.
    """
    from geo_model.files import check_writable
    from train.partition import check_thresholds, partition
    from train.tables import read_coordinates

    try:
        check_thresholds(img_min, img_max, lvl_min, lvl_max)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    check_writable(out)
    with progress_bar(f"Reading {coordinates.name}") as progress:
        table = read_coordinates(coordinates, with_ids=False, progress=progress)
    with message_console().status(f"Splitting cells of {len(table):,} photos"):
        made = partition(table.latitudes, table.longitudes, img_min, img_max, lvl_min, lvl_max, out.stem)
        made.write_csv(out)
    kept = int(made.photo_counts.sum())
    print_summary(
        f"{out}: {len(made):,} cells of levels {made.s2_levels.min()} to {made.s2_levels.max()} hold "
        f"{kept:,} of {len(table):,} photos ({kept / len(table):.1%}), {made.photo_counts.min():,} to "
        f"{made.photo_counts.max():,} each."
    )


@app.command("assign")
def assign_command(
    coordinates: CoordinatesOption,
    coarse: Annotated[Path, typer.Option(help="Coarse partition CSV.", show_default=False)],
    middle: Annotated[Path, typer.Option(help="Middle partition CSV.", show_default=False)],
    fine: Annotated[Path, typer.Option(help="Fine partition CSV.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            help="CSV to write, with columns IMG_ID,LAT,LON,coarse,middle,fine.", show_default=False
        ),
    ],
) -> None:
    """Give each photo its class in three partitionings; empty where no cell holds the photo."""
    from geo_model.cells import LEVELS, Hierarchy, Partitioning
    from geo_model.files import check_writable
    from train.assign import assign, write_assigned
    from train.tables import read_coordinates

    check_writable(out)
    hierarchy = Hierarchy.build(
        *(Partitioning.read_csv(path, name=str(path)) for path in (coarse, middle, fine))
    )
    with progress_bar(f"Reading {coordinates.name}") as progress:
        table = read_coordinates(coordinates, progress=progress)
    with message_console().status(f"Looking up the classes of {len(table):,} photos"):
        classes = assign(table.latitudes, table.longitudes, hierarchy)
    with progress_bar(f"Writing {out.name}") as progress:
        write_assigned(out, table, classes, progress)
    shares = ", ".join(
        f"{level.value} {held:,} ({held / len(table):.1%})"
        for level, held in zip(LEVELS, (classes >= 0).sum(axis=0).tolist(), strict=True)
    )
    print_summary(f"{out}: {len(table):,} photos; with a class: {shares}.")


@app.command("fit")
def fit_command(
    config: Annotated[Path, typer.Argument(help="YAML file; see train/configs.", show_default=False)],
    resume: Annotated[
        bool,
        typer.Option(help="Go on from the last checkpoint in the run folder, or start anew, discarding it."),
    ] = True,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the configuration, such as training.epochs=20; may be given often.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a network on WebDataset tars, calibrate it, and leave both in the run folder.

    Starts one process for each of the machine's GPUs (hardware.devices says which). For several machines,
    start it on each of them by: torchrun --nnodes N --nproc-per-node GPUS --rdzv-backend c10d --rdzv-endpoint
    HOST:PORT -m train fit CONFIG.
    """
    from train.config import read_config

    settings = read_config(config, overrides or ())
    if ranks().world == 1:
        from train.devices import choose_device, processes_wanted
        from train.launch import launch

        choose_device(settings)
        if (count := processes_wanted(settings)) > 1:
            changes = [part for override in overrides or () for part in ("--set", override)]
            again = "--resume" if resume else "--no-resume"
            raise typer.Exit(launch(["fit", str(config), again, *changes], count))
    from train.fit import fit

    try:
        run = fit(settings, resume=resume, console=message_console())
    except KeyboardInterrupt:
        if ranks().first:
            print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        raise typer.Exit(130) from None
    if ranks().first:
        print_summary(f"{run}: trained and calibrated; next: python -m train export {run} MODEL_FOLDER")


@app.command("export")
def export_command(
    run_folder: Annotated[Path, typer.Argument(help="Run folder of a finished fit.", show_default=False)],
    model_folder: Annotated[Path, typer.Argument(help="Model folder to write.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="Name of the model.", show_default="the configuration's")
    ] = None,
    card_template: Annotated[
        Path | None,
        typer.Option(
            help="Markdown with placeholders such as $figures; train/model_card.py lists them.",
            show_default="a plain one",
        ),
    ] = None,
    tests: Annotated[
        list[str] | None,
        typer.Option(
            "--test",
            metavar="NAME=PHOTOS[,TRUTH]",
            help="Photos that were never trained on, to measure the written model on: folder or tar, and a "
            "truth CSV if the tar holds no JSON; may be given often.",
            show_default=False,
        ),
    ] = None,
    measure_validation: Annotated[
        bool, typer.Option("--validation/--no-validation", help="Measure it on the validation photos.")
    ] = True,
) -> None:
    """Write a run's best epoch as a model folder, measure it, and fill in its model card."""
    from train.export import TestSet, export
    from train.model_card import DEFAULT_TEMPLATE, read_template
    from train.progress import progress_bar as counting_bar

    template = read_template(card_template) if card_template else DEFAULT_TEMPLATE
    spec = export(
        run_folder,
        model_folder,
        name=name,
        template=template,
        tests=[TestSet.parse(text) for text in tests or ()],
        measure_validation=measure_validation,
        progress=lambda title, total: counting_bar(message_console(), title, total),
    )
    for test, record in spec.accuracy.items():
        shares = " / ".join(f"{100 * at['share']:.1f}" for at in record["answers"]["hierarchy"]["accuracy"])
        print_summary(
            f"{test}: {shares} % within 1 / 25 / 200 / 750 / 2500 km of {record['photos']:,} photos."
        )
    size = sum(file.stat().st_size for file in model_folder.iterdir())
    print_summary(f"{model_folder}: model {spec.name!r}, {size / 1e6:.1f} MB.")


def print_summary(text: str) -> None:
    """Say on standard output what was made."""
    from rich.console import Console

    Console(soft_wrap=True, markup=False, highlight=False, emoji=False).print(text)


def message_console() -> Console:
    """Where progress is shown: standard error, so that standard output holds only what was made."""
    from rich.console import Console

    return Console(stderr=True)


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float], None]]:
    """A progress bar that disappears at the end.

    Yields:
        A function to call with the share that is done, 0 to 1.
    """
    from rich.markup import escape
    from rich.progress import Progress

    console = message_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(title), total=1.0)
        yield lambda share: bar.update(task, completed=share)


def main() -> None:
    """Run the command line; a mistake in what was given is one sentence and exit code 1."""
    try:
        app(prog_name="python -m train")
    except GeoModelError as error:
        if speaks():
            print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
