"""The command `python -m geo_model tune`: what is fastest on this machine, measured, and kept for `auto`."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command `tune` to the command line."""
    app.command("tune")(tune_command)


def tune_command(
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER",
            help="A model that `models` lists, or a model folder.",
            show_default="the bundled model",
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Measure torch.compile too; if it is chosen, every run compiles first, for up to minutes.",
        ),
    ] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Remove everything that was kept.")] = False,
) -> None:
    """Measure what is fastest on this machine, and keep it for `auto`.

    Precision, photos at once, threads, and on a GPU CUDA graphs and decoding by nvJPEG are measured side by
    side with the given model, in a minute or two. The choice is kept in your cache folder for this device,
    network and version of torch; commands, app and library take it from then on unless they are told
    otherwise. Another precision can change near answers. Ctrl-C keeps nothing.
    """
    from geo_model.cli import plain_endings

    with plain_endings():
        from geo_model.progress import Work

        if forget:
            from geo_model.tuned_choices import forget as forget_all

            file = forget_all()
            print(f"Removed {file}." if file else "Nothing was kept.", flush=True)
            return
        with Work("Loading the model"):
            from geo_model.predict import load
            from geo_model.tuned_choices import keep
            from geo_model.tuning import Tuning
            from geo_model.tuning_text import tuning_lines

            tuning = Tuning(load(model, device, "float32"), compiled)
        with Work("Measuring", tuning.steps) as work:
            chosen = tuning.run(work.advance)
        print("\n".join(tuning_lines(tuning)))
        file = keep(tuning.model.device, tuning.model.spec.backbone, chosen)
        print(f"Kept in {file}; `python -m geo_model tune --forget` removes it.", flush=True)
