"""One line per photo for each format that a bulk run writes, and Parquet made of such lines at the end."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from geo_model.errors import GeoModelError
from geo_model.exports import csv_line, csv_row, flat_columns, flat_values, geojson_lines, spreadsheet_text
from geo_model.predict import Prediction

BULK_FORMATS = ("csv", "parquet", "geojsonl")
_ROWS_TOGETHER = 20_000
_ROWS_PARSED = 1_000
_TEXTS = ("photo", "token", "place", "country_code")


def check_format(file_format: str) -> None:
    """Find out before long work whether a format can be written.

    Raises:
        GeoModelError: Parquet was asked for and pyarrow is missing.
    """
    if file_format == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise GeoModelError(
                "Parquet needs pyarrow; install it (pip install pyarrow), or write csv or geojsonl."
            ) from error


def header_of(file_format: str, top_k: int) -> str:
    """What stands before the first row."""
    return csv_line([*flat_columns(top_k), "error"]) if file_format == "csv" else ""


def row_of(prediction: Prediction, file_format: str, top_k: int, draw_region: bool = False) -> str:
    """The line, or lines, of one photo."""
    if file_format == "csv":
        return csv_row(prediction, top_k)
    if file_format == "geojsonl":
        return "".join(geojson_lines([prediction], top_k, draw_region))
    return json.dumps(flat_values(prediction, top_k), allow_nan=False) + "\n"


def other_settings(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first setting in which rows that are there differ from those wanted, in words; else empty."""
    for key, value in wanted.items():
        if there.get(key) != value:
            return f"its {key} is {there.get(key)} and now it would be {value}"
    return ""


def row_names(
    path: Path, settings: Mapping[str, Any], header: bytes, columns: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Name, as printed, and line of each row of a finished output; a line of the row before has no name.

    Args:
        path: The output.
        settings: What rows are made with from now on; of those that are there only Parquet knows.
        header: Of a CSV.
        columns: Of Parquet.

    Raises:
        GeoModelError: It was written with other options, or is not such a file.
    """
    file_format = settings["format"]
    other = GeoModelError(
        f"{path} was not written with these options; give another --out, or the same options."
    )
    if file_format == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                if file.schema_arrow.names != columns:
                    raise other
                made_with = json.loads((file.schema_arrow.metadata or {}).get(b"geo_model", b"{}"))
                if difference := other_settings(made_with, settings):
                    raise GeoModelError(f"{path}: {difference}; give another --out, or the same options.")
                for batch in file.iter_batches(_ROWS_TOGETHER):
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        yield row[0], (json.dumps(row) + "\n").encode()
        except (pa.ArrowInvalid, ValueError) as error:
            raise other from error
        return
    with open(path, "rb") as file:
        if file.read(len(header)) != header:
            raise other
        for line in file:
            try:
                if file_format == "csv":
                    name = next(csv.reader(io.StringIO(line.decode())))[0]
                    name = name[1:] if spreadsheet_text(name[1:]) == name else name
                else:
                    properties = json.loads(line)["properties"]
                    name = "" if "region" in properties else properties["photo"]
            except (ValueError, LookupError, TypeError, StopIteration, csv.Error) as error:
                raise other from error
            yield name, line


def write_parquet(lines: Path, target: Path, columns: list[str], settings: dict[str, Any]) -> None:
    """A Parquet file of lines that are JSON arrays, 20,000 to a row group, in constant memory.

    File format: a column for each of `exports.flat_columns`; texts are strings, all others float64; what the
    rows were made with is in the schema's metadata under the key `geo_model`, as JSON.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def kind(column: str) -> Any:  # noqa: ANN401  # pyarrow has no types
        return (
            pa.string()
            if column.startswith("top_") and column.endswith(("token", "place"))
            else (pa.string() if column in _TEXTS else pa.float64())
        )

    schema = pa.schema([(column, kind(column)) for column in columns], {"geo_model": json.dumps(settings)})
    with (
        open(lines, encoding="utf-8") as file,
        pq.ParquetWriter(target, schema, compression="zstd") as writer,
    ):
        while parts := list(islice(_tables(file, schema), _ROWS_TOGETHER // _ROWS_PARSED)):
            writer.write_table(pa.concat_tables(parts))


def _tables(lines: Iterable[str], schema: Any) -> Iterator[Any]:  # noqa: ANN401
    """Arrow tables of a thousand rows each, for as Python's objects rows take up many times their size."""
    import pyarrow as pa

    lines = iter(lines)
    while rows := [json.loads(line) for line in islice(lines, _ROWS_PARSED)]:
        padded = [[*row, *[None] * (len(schema) - len(row))] for row in rows]
        arrays = [
            pa.array(values, field.type)
            for values, field in zip(zip(*padded, strict=True), schema, strict=True)
        ]
        yield pa.Table.from_arrays(arrays, schema=schema)
