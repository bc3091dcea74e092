"""Make assets/im2gps.csv, the Im2GPS photos with the published ISN(M, f*, S3) prediction of each.

    python assets/make_im2gps.py ../shared/data/im2gps/reference.csv

Input: a CSV with the columns img_id, gt_lat, gt_long, predicted_lat, predicted_long, great_circle_distance,
photo_url, photographer, licence, licence_url: where each of the 237 photos was taken (Hays and Efros, CVPR
2008), what the authors of "Geolocation Estimation of Photos using a Hierarchical Model and Scene
Classification" (Müller-Budack, Pustu-Iren, Ewerth, ECCV 2018) published as the answer of their method
ISN(M, f*, S3), and the address, photographer and licence of the photo on Flickr where they are known.

Output: the same facts in the columns that the paper's authors publish them in
(`geo_model.prediction_table.WRITTEN_COLUMNS`), sorted by id; degrees and km. The distances are computed anew
and must agree with the input's. No photo is in it: most are All Rights Reserved.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the packages lie beside this folder

from geo_model.files import replaced_when_written
from geo_model.photo_credits import LICENCE_IDS, PhotoCredit, web_host
from geo_model.prediction_table import PredictionTable, table_csv

IM2GPS_CSV = Path(__file__).with_name("im2gps.csv")
PHOTOS = 237
ROUNDED_KM = 0.011
"""The input's distances have two decimals."""


def read_facts(path: Path) -> PredictionTable:
    """The table of the input; raises ValueError where a row is not what it should be."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: row["img_id"])
    table = PredictionTable(
        "im2gps.csv",
        tuple(row["img_id"] for row in rows),
        np.array([[float(row["gt_lat"]), float(row["gt_long"])] for row in rows]),
        np.array([[float(row["predicted_lat"]), float(row["predicted_long"])] for row in rows]),
        bad_rows=(),
        without_answer=(),
        credits=tuple(credit_of(row) for row in rows),
    )
    if len(set(table.photo_ids)) != PHOTOS or len(table) != PHOTOS:
        raise ValueError(f"{path} has {len(set(table.photo_ids))} photos, not {PHOTOS}")
    said_km = np.array([float(row["great_circle_distance"]) for row in rows])
    gap_km = np.abs(table.distances_km - said_km)
    if gap_km.max() > ROUNDED_KM:
        raise ValueError(f"{table.photo_ids[gap_km.argmax()]}: the distance is {gap_km.max():.3f} km off")
    return table


def credit_of(row: dict[str, str]) -> PhotoCredit | None:
    """The credit of a row; None where no address is known."""
    if not row["photo_url"]:
        return None
    if row["licence"] not in LICENCE_IDS or not web_host(row["photo_url"]):
        raise ValueError(f"{row['img_id']}: licence {row['licence']!r} or address {row['photo_url']!r}")
    return PhotoCredit(row["photo_url"], row["photographer"], row["licence"], row["licence_url"])


def main() -> None:
    """Write assets/im2gps.csv from the table that the command line names."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python assets/make_im2gps.py REFERENCE.csv")
    table = read_facts(Path(sys.argv[1]))
    with replaced_when_written(IM2GPS_CSV) as file:
        file.writelines(table_csv(table))
    print(f"{IM2GPS_CSV}: {len(table)} photos")


if __name__ == "__main__":
    main()
