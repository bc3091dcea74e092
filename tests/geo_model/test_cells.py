"""Partitionings, their hierarchy and their CSV."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import s2sphere
from hypothesis import given
from hypothesis import strategies as st

from geo_model import s2
from geo_model.cells import LEVELS, Hierarchy, Level, Partitioning
from geo_model.errors import GeoModelError, PartitioningError
from geo_model.sphere import great_circle_km, unit_vectors

HEADER = "class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean"
PREAMBLE = ["num_images: 4723695", "min_concept_probability: ---"]
# Facts of the paper's coarse partitioning: its first classes.
ROWS = [
    "0,8744,3376,39.28162046949048,-107.94343695171831",
    "1,364,2728,35.9593396631232,108.13288446407641",
    "2,47e5,812,47.51,1.25",
]


def partitioning_of(tokens, name="cells"):
    ids = s2.ids_from_tokens(tokens)
    zeros = np.zeros(len(ids))
    return Partitioning(name, ids, np.ones(len(ids), dtype=np.int64), zeros, zeros)


@pytest.fixture
def write(tmp_path):
    def write_lines(lines, ending="\n", encoding="utf-8", last_ending=True):
        path = tmp_path / "cells.csv"
        text = ending.join(lines) + (ending if last_ending else "")
        path.write_bytes(text.encode(encoding))
        return path

    return write_lines


class TestReading:
    @pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
    @pytest.mark.parametrize("preamble", [PREAMBLE, []], ids=["preamble", "no preamble"])
    @pytest.mark.parametrize("last_ending", [True, False], ids=["newline at end", "none"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    def test_every_way_of_writing_it(self, write, ending, preamble, last_ending, encoding):
        path = write([*preamble, HEADER, *ROWS], ending, encoding, last_ending)
        read = Partitioning.read_csv(path)
        assert read.name == "cells"
        assert len(read) == 3
        assert read.tokens == ["8744", "364", "47e5"]
        assert read.photo_counts.tolist() == [3376, 2728, 812]
        assert read.latitudes.tolist() == [39.28162046949048, 35.9593396631232, 47.51]
        assert read.longitudes.tolist() == [-107.94343695171831, 108.13288446407641, 1.25]
        assert read.s2_levels.tolist() == [5, 3, 6]

    def test_other_columns_and_orders_are_no_obstacle(self, write):
        path = write(
            ["note,hex_id,class_label,latitude_mean,imgs_per_cell,longitude_mean", "x,47e5,0,47.5,8,1"]
        )
        read = Partitioning.read_csv(path, name="mine")
        assert (read.name, read.tokens, read.photo_counts.tolist()) == ("mine", ["47e5"], [8])

    def test_blank_lines_are_skipped_but_counted(self, write):
        assert len(Partitioning.read_csv(write([HEADER, "", ROWS[0], "", ""]))) == 1
        with pytest.raises(PartitioningError, match="line 4:"):
            Partitioning.read_csv(write([HEADER, "", ROWS[0], ROWS[2]]))

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ("2,47x5,812,47.51,1.25", "hex_id '47x5' is not an S2 cell token"),
            ("2,,812,47.51,1.25", "hex_id '' is not an S2 cell token"),
            ("2,47E5x,812,47.51,1.25", "hex_id '47E5x' is not an S2 cell token"),
            ("2,4.7E+06,812,47.51,1.25", r"hex_id '4.7E\+06' was turned into a number by a spreadsheet"),
            ('2,"4,7E+06",812,47.51,1.25', r"hex_id '4,7E\+06' was turned into a number by a spreadsheet"),
            ("2,4700000,812,47.51,1.25", "hex_id '4700000' was turned into a number"),
            ("2,47.0,812,47.51,1.25", "hex_id '47.0' was turned into a number"),
            ("3,47e5,812,47.51,1.25", "class_label is '3' where 2 must follow"),
            ("1,47e5,812,47.51,1.25", "class_label is '1' where 2 must follow"),
            ("two,47e5,812,47.51,1.25", "class_label is 'two' where 2 must follow"),
            (
                "2,47e5,812,90.5,1.25",
                "latitude_mean 90.5 is beyond 90 degrees; are latitude and longitude swapped",
            ),
            ("2,47e5,812,4751,1.25", "latitude_mean 4751 is beyond 90 degrees"),
            ("2,47e5,812,47.51,-180.5", "longitude_mean -180.5 is beyond 180 degrees"),
            ("2,47e5,812,north,1.25", "latitude_mean 'north' is not a number"),
            ("2,47e5,812,47.51,", "longitude_mean '' is not a number"),
            ("2,47e5,812,nan,1.25", "latitude_mean 'nan' is not a number"),
            ("2,47e5,812,47.51,inf", "longitude_mean 'inf' is not a number"),
            ("2,47e5,812,4_7.51,1.25", "latitude_mean '4_7.51' is not a number"),
            ("2,47e5,0,47.51,1.25", "imgs_per_cell '0' is not a whole number above 0"),
            ("2,47e5,-5,47.51,1.25", "imgs_per_cell '-5' is not a whole number above 0"),
            ("2,47e5,8.5,47.51,1.25", "imgs_per_cell '8.5' is not a whole number above 0"),
            ("2,47e5,many,47.51,1.25", "imgs_per_cell 'many' is not a whole number above 0"),
            ("2,47e5,812,47.51", "4 fields instead of 5"),
            ("2,47e5,812,47.51,1.25,9", "6 fields instead of 5"),
            ("2,364,812,35.9,108.1", "the cell 364 is already on line 5"),
            (
                "2,8747,812,39.2,-108.9",
                "the cell 8747 lies in the cell 8744 of line 4; cells must not overlap",
            ),
            ("2,37,812,35.9,108.1", None),
            ("2,47e5,812,1.25,47.51", "the mean coordinate 1.25, 47.51 is nowhere near the cell 47e5"),
            ("2,7e5,812,47.51,1.25", "the mean coordinate 47.51, 1.25 is nowhere near the cell 7e5"),
            ('2,"47e5,812,47.51,1.25', "not readable as CSV"),
        ],
    )
    def test_a_defect_is_named_by_its_line(self, write, row, words):
        path = write([*PREAMBLE, HEADER, *ROWS[:2], row])
        if words is None:
            # 37 holds 364 of line 5: the sentence names the inner cell's line and the outer one's.
            words = "line 5: the cell 364 lies in the cell 37 of line 6"
        with pytest.raises(PartitioningError, match=words) as caught:
            Partitioning.read_csv(path)
        message = str(caught.value)
        assert message.startswith(f"{path}, line ")
        assert "\n" not in message
        if "line 5:" not in message:
            assert message.startswith(f"{path}, line 6:")

    def test_lines_are_counted_without_the_preamble_too(self, write):
        with pytest.raises(PartitioningError, match="line 3: class_label is '2'"):
            Partitioning.read_csv(write([HEADER, ROWS[0], ROWS[2]]))

    @pytest.mark.parametrize(
        ("lines", "words"),
        [
            ([], "is empty"),
            (["", ""], "is empty"),
            (PREAMBLE, "is empty or has no header"),
            ([HEADER], "has a header but no cells"),
            ([*PREAMBLE, HEADER], "has a header but no cells"),
            (
                [*PREAMBLE, "class_label,imgs_per_cell,longitude_mean", "0,1,2"],
                "line 3: no column hex_id or latitude",
            ),
            (["label,token,count,lat,lon", "0,47e5,1,2,3"], "line 1: no column class_label or hex_id"),
            ([HEADER.replace(",", ";"), ROWS[0].replace(",", ";")], "line 1: no column"),
            ([HEADER + ",hex_id", ROWS[0] + ",47e5"], "line 1: the column hex_id comes more than once"),
            (ROWS, "line 1: no column"),
        ],
    )
    def test_files_without_the_right_columns(self, write, lines, words):
        with pytest.raises(PartitioningError, match=words):
            Partitioning.read_csv(write(lines))

    def test_not_utf_8(self, tmp_path):
        path = tmp_path / "cells.csv"
        path.write_bytes(f"{HEADER}\n{ROWS[0]}\n1,".encode() + b"\xff\xfe,5,6,7\n")
        with pytest.raises(PartitioningError, match="line 3: not UTF-8"):
            Partitioning.read_csv(path)
        path.write_text("\n".join([HEADER, *ROWS]), encoding="utf-16")
        with pytest.raises(PartitioningError, match="line 1: not UTF-8"):
            Partitioning.read_csv(path)

    def test_missing_file_and_folder(self, tmp_path):
        with pytest.raises(PartitioningError, match=r"none\.csv cannot be read: no such file"):
            Partitioning.read_csv(tmp_path / "none.csv")
        with pytest.raises(PartitioningError, match="cannot be read: is a directory"):
            Partitioning.read_csv(tmp_path)

    def test_a_cell_in_a_much_larger_file(self, write):
        """Nesting is found wherever the two lines are, not only where they are neighbours."""
        parent = s2.ids_from_tokens(["47e5"])
        first, _ = s2.range_bounds(parent)
        far = s2.cell_ids(np.linspace(-80, 40, 500), np.linspace(-170, -10, 500), 8)
        tokens = ["47e5", *s2.tokens(np.unique(far)), *s2.tokens(first)]
        with pytest.raises(PartitioningError, match=f"class {len(tokens) - 1} .* lies in class 0"):
            partitioning_of(tokens)


class TestWriting:
    def test_reads_back_bit_for_bit(self, tmp_path):
        rng = np.random.default_rng(5)
        latitudes, longitudes = rng.uniform(-90, 90, 300), rng.uniform(-180, 180, 300)
        ids, index = np.unique(s2.cell_ids(latitudes, longitudes, 11), return_index=True)
        made = Partitioning("a", ids, rng.integers(1, 10**12, len(ids)), latitudes[index], longitudes[index])
        path = tmp_path / "a.csv"
        made.write_csv(path)
        read = Partitioning.read_csv(path)
        for field in ("ids", "photo_counts", "latitudes", "longitudes"):
            np.testing.assert_array_equal(getattr(read, field), getattr(made, field))
        assert b"\r" not in path.read_bytes()
        assert path.read_text().splitlines()[0] == HEADER

    def test_an_unwritable_path_is_one_sentence_and_leaves_nothing(self, tmp_path):
        made = partitioning_of(["47e5"])
        with pytest.raises(GeoModelError, match="there is no folder"):
            made.write_csv(tmp_path / "no" / "a.csv")
        with pytest.raises(GeoModelError, match="is a folder"):
            made.write_csv(tmp_path)
        assert list(tmp_path.iterdir()) == []


class TestPartitioning:
    def test_it_cannot_be_changed_from_outside(self):
        ids = s2.ids_from_tokens(["47e5", "364"])
        made = Partitioning("a", ids, [1, 2], [0.0, 0.0], [0.0, 0.0])
        ids[0] = 0
        assert made.tokens == ["47e5", "364"]
        with pytest.raises(ValueError, match="read-only"):
            made.latitudes[0] = 4.0

    @pytest.mark.parametrize(
        ("ids", "counts", "words"),
        [
            ([], [], "holds no cell"),
            ([5 << 60], [1, 2], "photo_counts has shape"),
            ([5 << 60], [0], "class 0 has no photos"),
            ([0], [1], "class 0 has 0000000000000000"),
            ([0xFFFF000000000000], [1], "class 0 has ffff"),
            ([5 << 60, 5 << 60], [1, 1], "class 1 .* lies in class 0"),
        ],
    )
    def test_what_is_no_partitioning(self, ids, counts, words):
        with pytest.raises(PartitioningError, match=words):
            Partitioning("a", np.array(ids, dtype=np.uint64), counts, np.zeros(len(ids)), np.zeros(len(ids)))

    def test_classes_by_token(self):
        made = partitioning_of(["8744", "364"])
        assert made.class_of_token("364") == 1
        assert made.class_of_token("47e5") is None

    def test_class_is_the_first_ancestor_token_that_it_holds(self):
        """Against the rule as the field states it, a search from the face down, with cells of all levels."""
        rng = np.random.default_rng(11)
        latitudes, longitudes = np.degrees(np.arcsin(rng.uniform(-1, 1, 400))), rng.uniform(-180, 180, 400)
        leaves = s2.leaf_ids(latitudes, longitudes)
        tokens, chosen = [], set()
        for leaf, level in zip(leaves, [0, 1, 1, 30, 30, *rng.integers(2, 31, 150)], strict=False):
            cell = s2sphere.CellId(int(leaf)).parent(int(level))
            if not any(cell.contains(other) or other.contains(cell) for other in chosen):
                chosen.add(cell)
                tokens.append(cell.to_token())
        made = partitioning_of(tokens)
        assert {0, 1, 30} <= set(made.s2_levels.tolist())

        def search(leaf):
            for level in range(31):
                token = s2sphere.CellId(int(leaf)).parent(level).to_token()
                if token in tokens:
                    return tokens.index(token)
            return -1

        expected = [search(leaf) for leaf in leaves]
        assert -1 in expected
        np.testing.assert_array_equal(made.classes_of(latitudes, longitudes), expected)
        assert made.classes_of([], []).shape == (0,)

    def test_class_of_one_coordinate(self):
        made = partitioning_of(["364", "47e7"])
        assert made.class_of(48.8584, 2.2945) == 1
        assert made.class_of(-33.9, 151.2) is None
        with pytest.raises(GeoModelError, match="beyond 90"):
            made.class_of(151.2, -33.9)


class TestHierarchy:
    def test_ancestors_or_self(self):
        coarse = partitioning_of(["47e4", "364"], "coarse")
        middle = partitioning_of(["364", "47e7", "47e5"], "middle")
        fine = partitioning_of(["47e5", "363", "47e64", "365"], "fine")
        # 363 and 365 are children of 364; 47e5 and 47e7 of 47e4; 47e64 lies in 47e7.
        hierarchy = Hierarchy.build(coarse, middle, fine)
        assert hierarchy.ancestors.tolist() == [[0, 2, 0], [1, 0, 1], [0, 1, 2], [1, 0, 3]]
        assert hierarchy.sizes == (2, 3, 4)
        assert [hierarchy[level] for level in LEVELS] == [coarse, middle, fine]
        assert hierarchy["middle"] is hierarchy[Level.MIDDLE]

    @pytest.mark.parametrize(
        ("coarse", "middle", "words"),
        [
            (["364"], ["364", "47e7"], r"47e64 .*lies in no coarse cell of coarse"),
            (["364", "47e4"], ["364", "47e5"], r"47e64 .*lies in no middle cell of middle"),
            (["364", "47e63"], ["364", "47e7"], "47e64 .*lies in no coarse cell"),  # its own child
        ],
    )
    def test_an_incomplete_one_is_refused_with_the_token(self, coarse, middle, words):
        fine = partitioning_of(["365", "47e64"], "fine")
        with pytest.raises(PartitioningError, match=words):
            Hierarchy.build(partitioning_of(coarse, "coarse"), partitioning_of(middle, "middle"), fine)

    def test_the_paper_s_partitionings(self, shared_data):
        read = [
            Partitioning.read_csv(shared_data / "cells_paper" / f"cells_50_{most}.csv")
            for most in (5000, 2000, 1000)
        ]
        hierarchy = Hierarchy.build(*read)
        assert hierarchy.sizes == (3298, 7202, 12893)
        assert (hierarchy.ancestors >= 0).all()
        assert (hierarchy.fine.s2_levels == 30).sum() == 3
        fine = [s2sphere.CellId.from_token(token) for token in hierarchy.fine.tokens]
        for level in LEVELS:
            held_by = np.array(hierarchy[level].tokens)[hierarchy.ancestors[:, LEVELS.index(level)]].tolist()
            for cell, token in zip(fine, held_by, strict=True):
                ancestor = s2sphere.CellId.from_token(token)
                assert ancestor.contains(cell)

    def test_the_paper_s_assignment_of_25600_photos(self, shared_data):
        with (shared_data / "yfcc25600" / "assigned_cells.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 25_600
        latitudes = np.array([float(row["LAT"]) for row in rows])
        longitudes = np.array([float(row["LON"]) for row in rows])
        for level, most in zip(LEVELS, (5000, 2000, 1000), strict=True):
            cells = Partitioning.read_csv(shared_data / "cells_paper" / f"cells_50_{most}.csv")
            published = [int(row[level.value] or -1) for row in rows]
            assert (cells.classes_of(latitudes, longitudes) == published).sum() == 25_600


FACES = ["1", "3", "5", "7", "9", "b"]


class TestArea:
    def test_the_faces_sum_to_the_sphere(self):
        areas = partitioning_of(FACES).areas_km2
        np.testing.assert_allclose(areas, 4 * np.pi * 6371**2 / 6, rtol=1e-14)

    @pytest.mark.parametrize("level", [1, 2, 5, 8, 12])
    def test_equal_to_s2sphere(self, level):
        rng = np.random.default_rng(level)
        ids = s2.cell_ids(np.degrees(np.arcsin(rng.uniform(-1, 1, 50))), rng.uniform(-180, 180, 50), level)
        ids = np.unique(ids)
        expected = [s2sphere.Cell(s2sphere.CellId(int(i))).exact_area() * 6371**2 for i in ids]
        np.testing.assert_allclose(partitioning_of(s2.tokens(ids)).areas_km2, expected, rtol=1e-7)

    def test_a_leaf_is_about_a_square_centimetre(self):
        area_cm2 = partitioning_of(s2.tokens(s2.leaf_ids([48.8584], [2.2945]))).areas_km2[0] * 1e10
        assert 0.4 < area_cm2 < 1.0  # s2geometry.io's table of cell statistics: 0.48 to 0.96 cm²


def ring_area_steradians(ring):
    """Girard's theorem: the sum of the inner angles, of a counter-clockwise polygon, less (n - 2) pi."""
    points = unit_vectors(ring[:, 0], ring[:, 1])
    points = points[np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1) > 1e-12]  # the doubled pole
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    to_before = np.cross(np.cross(points, before), points)
    to_after = np.cross(np.cross(points, after), points)
    angles = np.arctan2(
        (np.cross(to_after, to_before) * points).sum(axis=1), (to_after * to_before).sum(axis=1)
    )
    return (angles % (2 * np.pi)).sum() - (len(points) - 2) * np.pi


class TestRing:
    @pytest.mark.parametrize("level", range(0, 9))
    def test_it_encloses_the_cell_s_area_counter_clockwise(self, level):
        rng = np.random.default_rng(level)
        ids = np.unique(s2.cell_ids(rng.uniform(-90, 90, 40), rng.uniform(-180, 180, 40), level))
        cells = partitioning_of(s2.tokens(ids))
        for index in range(len(cells)):
            area = ring_area_steradians(cells.ring(index)) * 6371**2
            assert area == pytest.approx(cells.areas_km2[index], rel=1e-6)

    def test_corners_equal_s2sphere(self):
        rng = np.random.default_rng(2)
        for level in (2, 7, 13, 20, 30):
            ids = s2.cell_ids(rng.uniform(-60, 60, 10), rng.uniform(-180, 180, 10), level)
            cells = partitioning_of(s2.tokens(np.unique(ids)))
            for index, token in enumerate(cells.tokens):
                ring = cells.ring(index, step_degrees=90)
                cell = s2sphere.Cell(s2sphere.CellId.from_token(token))
                expected = [list(cell.get_vertex(k)) for k in range(4)]
                np.testing.assert_allclose(unit_vectors(*ring.T), expected, atol=1e-15)

    @pytest.mark.parametrize("step", [0.5, 2.0, 7.0])
    def test_neighbours_are_at_most_a_step_apart(self, step):
        cells = partitioning_of(FACES)
        for index in range(6):
            ring = cells.ring(index, step)
            ahead = np.roll(ring, -1, axis=0)
            gaps = np.degrees(great_circle_km(ring[:, 0], ring[:, 1], ahead[:, 0], ahead[:, 1]) / 6371)
            assert gaps.max() <= step + 1e-9
            assert gaps.min() > 0.4 * step

    def test_edges_are_great_circles(self):
        cells = partitioning_of(["4c", "364"])
        for index in range(2):
            corners = cells.ring(index, step_degrees=90)
            normals = np.cross(unit_vectors(*corners.T), unit_vectors(*np.roll(corners, -1, axis=0).T))
            normals /= np.linalg.norm(normals, axis=1, keepdims=True)
            off_the_nearest_edge = np.abs(unit_vectors(*cells.ring(index, 0.5).T) @ normals.T).min(axis=1)
            assert off_the_nearest_edge.max() < 1e-14

    def test_no_cell_below_a_face_crosses_the_date_line(self):
        rows = np.linspace(-89, 89, 60)
        for level in (1, 2, 4, 7):
            ids = [s2.cell_ids(rows, np.full(60, side), level) for side in (-179.99, 179.99)]
            cells = partitioning_of(s2.tokens(np.unique(np.concatenate(ids))))
            touching = 0
            for ring in cells.rings():
                assert np.ptp(ring[:, 1]) <= 90 + 1e-9  # a cell at a pole spans a quarter of the meridians
                touching += bool((np.abs(ring[:, 1]) == 180).any())
            assert touching > 0

    @pytest.mark.parametrize("pole", [90.0, -90.0])
    @pytest.mark.parametrize("level", [1, 2, 6])
    def test_a_pole_comes_twice_with_the_longitudes_of_its_neighbours(self, pole, level):
        ids = np.unique(s2.cell_ids(np.full(4, np.sign(pole) * 89.999), [-135.0, -45.0, 45.0, 135.0], level))
        assert len(ids) == 4
        cells = partitioning_of(s2.tokens(ids))
        longitudes = set()
        for ring in cells.rings():
            (at_pole,) = np.nonzero(ring[:, 0] == pole)
            assert len(at_pole) == 2
            first, second = at_pole
            assert second == first + 1
            before, after = ring[first - 1], ring[(second + 1) % len(ring)]
            assert (ring[first, 1], ring[second, 1]) == (before[1], after[1])
            assert abs(before[1] - after[1]) == pytest.approx(90)
            longitudes |= {abs(round(before[1])), abs(round(after[1]))}
        assert longitudes == {0, 90, 180}

    def test_many_at_once_are_the_same(self):
        cells = partitioning_of(["47e5", "364", "8744", "1"])
        for index, ring in enumerate(cells.rings()):
            np.testing.assert_array_equal(ring, cells.ring(index))
        (only,) = cells.rings([2])
        np.testing.assert_array_equal(only, cells.ring(2))
        assert cells.rings([]) == []

    @pytest.mark.parametrize("step", [0.0, -1.0, float("nan")])
    def test_a_step_that_leads_nowhere(self, step):
        with pytest.raises(ValueError, match="above 0"):
            partitioning_of(["47e5"]).ring(0, step)


latitudes_of_points = st.floats(-90, 90) | st.sampled_from([-90.0, 90.0, 0.0, 45.0, 35.264389682754654])
longitudes_of_points = st.floats(-180, 180) | st.sampled_from([-180.0, 180.0, 0.0, 45.0, -45.0, 90.0])
levels_of_cells = st.integers(0, 30)


class TestGeometryEverywhere:
    @given(latitudes_of_points, longitudes_of_points, levels_of_cells)
    def test_a_point_lies_in_the_cell_of_its_id(self, latitude, longitude, level):
        cell = partitioning_of(s2.tokens(s2.cell_ids([latitude], [longitude], level)))
        assert cell.class_of(latitude, longitude) == 0
        corners = cell.ring(0, step_degrees=360)
        corners = unit_vectors(*corners.T)
        inwards = np.cross(corners, np.roll(corners, -1, axis=0))
        # On the inner side of all four edges, up to rounding; a doubled pole has an edge of no length.
        assert (inwards @ unit_vectors([latitude], [longitude])[0]).min() > -1e-15

    @given(latitudes_of_points, longitudes_of_points, levels_of_cells, levels_of_cells)
    def test_ancestors_nest(self, latitude, longitude, one, other):
        small, large = max(one, other), min(one, other)
        leaf = s2.leaf_ids([latitude], [longitude])
        inner, outer = s2.parents(leaf, small), s2.parents(leaf, large)
        assert s2.parents(inner, large) == outer
        inner_first, inner_last = s2.range_bounds(inner)
        outer_first, outer_last = s2.range_bounds(outer)
        assert outer_first <= inner_first <= leaf <= inner_last <= outer_last
        assert partitioning_of(s2.tokens(outer)).classes_of_ids(inner) == 0
        if small > large:
            assert partitioning_of(s2.tokens(inner)).classes_of_ids(outer) == -1

    @given(latitudes_of_points, longitudes_of_points, st.integers(0, 29))
    def test_four_children_tile_their_parent(self, latitude, longitude, level):
        parent = s2.cell_ids([latitude], [longitude], level)
        first, last = s2.range_bounds(parent)
        step = (last[0] - first[0] + np.uint64(2)) // np.uint64(4)
        inside = first[0] + step * np.arange(4, dtype=np.uint64)
        children = partitioning_of(s2.tokens(s2.parents(inside, level + 1)))
        assert children.areas_km2.sum() == pytest.approx(
            partitioning_of(s2.tokens(parent)).areas_km2[0], rel=1e-12
        )

    @given(
        st.lists(st.tuples(latitudes_of_points, longitudes_of_points), min_size=1, max_size=4),
        levels_of_cells,
    )
    def test_what_is_written_can_be_read(self, tmp_path_factory, points, level):
        """The check of means against cells refuses nothing that `partition` makes."""
        from train.partition import partition

        latitudes, longitudes = np.array(points).T
        made = partition(latitudes, longitudes, img_min=0, img_max=5, lvl_min=level)
        path = tmp_path_factory.mktemp("written") / "cells.csv"
        made.write_csv(path)
        np.testing.assert_array_equal(Partitioning.read_csv(path).ids, made.ids)
