"""Any number of photos into a table, so that the run can be stopped, or killed, and gone on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from geo_model.bulk_formats import check_format, header_of, row_of
from geo_model.bulk_output import BulkOutput
from geo_model.exports import flat_columns
from geo_model.photo_sources import PhotoSources
from geo_model.progress import Work

if TYPE_CHECKING:
    from geo_model.decoding import CropReduction
    from geo_model.predict import Model

_COMPLAINTS = 20


@dataclass(frozen=True)
class BulkSettings:
    """What a bulk run writes.

    Attributes:
        out: The file, or an `s3://` address.
        failures: The CSV of photos that could not be read.
        file_format: csv, parquet or geojsonl.
        top_k: How many of the most probable cells to name.
        regions: Whether geojsonl draws the 90% region.
        resume: Whether to go on with a run.
        crops: See `Model.stream`.
        batch_size: See `Model.stream`.
    """

    out: str
    failures: str
    file_format: str
    top_k: int = 5
    regions: bool = False
    resume: bool = False
    crops: CropReduction | None = None
    batch_size: int | Literal["auto"] = "auto"

    def row_settings(self, model: str) -> dict[str, Any]:
        """What must not change while a run goes on."""
        return {
            "format": self.file_format,
            "model": model,
            "top_k": self.top_k,
            "regions": self.regions,
            "crops": self.crops or "as measured",
        }


Line = tuple[str, "str | None", str]
"""Name of a photo, why it could not be read (None if it was), and its row."""

Engine = Callable[[PhotoSources], Iterator[Line]]


def lines_of(photos: PhotoSources, model: Model, settings: BulkSettings) -> Iterator[Line]:
    """The rows of photos, in their order: the engine of one process."""
    from geo_model.locating import located
    from geo_model.predict import PhotoFailure

    for result in located(photos, lambda: model, settings.batch_size, settings.crops):
        if isinstance(result, PhotoFailure):
            yield result.name, result.reason, ""
        else:
            row = row_of(result, settings.file_format, settings.top_k, settings.regions)
            yield result.name, None, row


def run(arguments: list[str], engine: Engine, model: str, settings: BulkSettings) -> int:
    """Locate what is not done yet; returns how many photos could not be read, in earlier runs included.

    Args:
        arguments: As `PhotoSources` takes them.
        engine: Gives the rows of photos, in any order.
        model: Name of the model.
        settings: What to write.

    Raises:
        GeoModelError: The output cannot be written, or is of another run.
        KeyboardInterrupt: As it came, after saying how to go on.
    """
    check_format(settings.file_format)
    with BulkOutput(
        settings.out,
        settings.failures,
        settings.row_settings(model),
        header_of(settings.file_format, settings.top_k),
        settings.resume,
        flat_columns(settings.top_k),
    ) as output:
        before = output.done
        photos = PhotoSources(arguments, output.seen.is_new)
        count = PhotoSources(arguments).count
        with Work("Locating", done=before, count=count) as work:
            complaints = 0
            try:
                for name, reason, row in engine(photos):
                    if reason is None:
                        output.add(name, row)
                    else:
                        output.add_failure(name, reason)
                        complaints += 1
                        if complaints <= _COMPLAINTS:
                            work.complain(reason)
                    work.advance()
            except KeyboardInterrupt:
                work.complain(f"{output.done:,} photos are done; the same command with --resume goes on.")
                raise
            output.finish()
            if complaints > _COMPLAINTS:
                work.complain(
                    f"{complaints - _COMPLAINTS:,} more could not be read; see {settings.failures}."
                )
            if before:
                work.say(f"{before:,} photos were done before, {output.done - before:,} now.")
            elif output.seen.repeated:
                work.say(f"{output.seen.repeated:,} photos were named again; each is in the output once.")
        return output.failed
