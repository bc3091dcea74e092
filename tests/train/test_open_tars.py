import os
import pickle

import pytest

from geo_model.errors import PhotoError
from train import open_tars
from train.open_tars import OpenTars


def test_tars_stay_open_and_the_least_used_is_closed_first(tmp_path, monkeypatch):
    paths = []
    for number in range(5):
        paths.append(str(tmp_path / f"{number}.tar"))
        with open(paths[-1], "wb") as file:
            file.write(bytes([number]) * 100)
    monkeypatch.setattr(open_tars, "_files_allowed", lambda: 3)
    tars = OpenTars(paths)
    for number in (0, 1, 2, 0, 3, 4, 0, 1):
        assert tars.read(number, 10, 4) == bytes([number]) * 4
    assert set(tars._open) == {4, 0, 1}
    assert tars.read(0, 98, 10) == b"\0\0"


def test_a_forked_process_opens_its_own(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(range(200)))
    tars = OpenTars([str(path)])
    mine = tars._file(0)
    mine.seek(50)
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, tars.read(0, 100, 5))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 5) == bytes(range(100, 105))
    assert mine.tell() == 50


def test_it_can_be_sent_to_another_process_and_says_what_is_gone(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"abcdef")
    tars = OpenTars([str(path)])
    assert tars.read(0, 0, 3) == b"abc"
    copy = pickle.loads(pickle.dumps(tars))  # noqa: S301 - our own
    path.unlink()
    assert tars.read(0, 3, 3) == b"def"  # still open
    with pytest.raises(PhotoError, match=r"a\.tar: it cannot be read any more \(no such file"):
        copy.read(0, 0, 3)
