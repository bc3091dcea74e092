"""The download of CLIP's weights, by the hub's own library from a server on this machine that can be slow,
break off, send other bytes, or know nothing of ranges."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub", reason="needs the optional package geoclip: pip install geoclip")

import huggingface_hub.constants

from geo_model import geoclip_download, geoclip_parts
from geo_model.errors import GeoModelError
from geo_model.geoclip_download import fetch_clip, partial_bytes

CHUNK = huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE
SHA = "0123456789abcdef0123456789abcdef01234567"
CONFIG = b'{"model_type": "clip"}'
WEIGHTS = hashlib.shake_128(b"weights").digest(1 << 16) * (3 * CHUNK // (1 << 16)) + b"end"


class Hub(BaseHTTPRequestHandler):
    """The two files of one repository; large files come from another address, as the hub's do."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str]]
    sent: bytes
    ranges: bool

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self.asked.append((self.path.rpartition("/")[2], self.headers.get("Range", "")))
        self._answer(None)

    def _answer(self, sent: bytes | None) -> None:
        name = self.path.rpartition("/")[2]
        if name == "model.safetensors":
            self._reply(302, b"", {"Location": f"http://localhost:{self.server.server_address[1]}/storage"})
            return
        whole = self.sent if name == "storage" else CONFIG
        asked = self.headers.get("Range", "") if self.ranges else ""
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        body = whole[start:]
        extra = {"Content-Range": f"bytes {start}-{len(whole) - 1}/{len(whole)}"} if asked else {}
        self._reply(206 if asked else 200, body, extra, send=sent is None)

    def _reply(self, code: int, body: bytes, extra: dict[str, str], send: bool = True) -> None:
        git = hashlib.sha1(b"blob %d\0" % len(CONFIG) + CONFIG).hexdigest()
        self.send_response(code)
        facts = {"ETag": f'"{git}"', "X-Repo-Commit": SHA}
        if code == 302:
            digest = hashlib.sha256(WEIGHTS).hexdigest()
            facts |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(WEIGHTS))}
        for key, value in {**facts, **extra, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if send:
            self.wfile.write(body)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[type[Hub]]:
    handler = type("OneHub", (Hub,), {"asked": [], "sent": WEIGHTS, "ranges": True})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    for name in ("GEOCLIP_CLIP_FOLDER", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield handler
    server.shutdown()
    server.server_close()


class Stopped(GeoModelError):
    pass


def stop_after(limit: int):
    def progress(done: int, _: int) -> None:
        if done > limit:
            raise Stopped

    return progress


def fetched_before() -> Path | None:
    """What the library itself finds in its cache."""
    from huggingface_hub import constants, try_to_load_from_cache

    found = try_to_load_from_cache(
        geoclip_parts.CLIP_REPOSITORY, "model.safetensors", cache_dir=constants.HF_HUB_CACHE
    )
    return Path(found) if isinstance(found, str) else None


def gets(hub) -> list[tuple[str, str]]:
    return [entry for entry in hub.asked if entry[0] == "storage"]


def test_it_is_told_how_far_it_is_and_the_library_finds_the_files(hub):
    steps: list[tuple[int, int]] = []
    folder = fetch_clip(lambda done, total: steps.append((done, total)))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "config.json": CONFIG,
        "model.safetensors": WEIGHTS,
    }
    total = len(CONFIG) + len(WEIGHTS)
    assert {entry[1] for entry in steps} == {total}
    assert [entry[0] for entry in steps] == sorted(entry[0] for entry in steps)
    assert len(steps) >= 5
    assert steps[-1][0] == total
    assert fetched_before() == folder / "model.safetensors"
    assert partial_bytes() == 0


def test_stopped_it_goes_on_where_it_was(hub):
    with pytest.raises(Stopped):
        fetch_clip(stop_after(CHUNK + len(CONFIG)))
    here = partial_bytes()
    assert 0 < here < len(WEIGHTS)
    assert fetched_before() is None
    steps: list[int] = []
    folder = fetch_clip(lambda done, _: steps.append(done))
    assert steps[0] <= len(CONFIG) < steps[1] == here + len(CONFIG)
    assert gets(hub) == [("storage", ""), ("storage", f"bytes={here}-")]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert partial_bytes() == 0


def test_a_server_without_ranges_begins_anew(hub):
    with pytest.raises(Stopped):
        fetch_clip(stop_after(CHUNK + len(CONFIG)))
    hub.ranges = False
    assert (fetch_clip() / "model.safetensors").read_bytes() == WEIGHTS


def test_other_bytes_than_announced_are_thrown_away(hub):
    hub.sent = WEIGHTS[:-1] + b"?"
    with pytest.raises(GeoModelError, match="is not what it says it is; try again"):
        fetch_clip(lambda *_: None)
    assert partial_bytes() == 0
    assert fetched_before() is None
    hub.sent = WEIGHTS
    assert (fetch_clip(lambda *_: None) / "model.safetensors").read_bytes() == WEIGHTS


def test_no_room_and_another_download_are_one_sentence_each(hub, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")(1, 1, 1000)
    with monkeypatch.context() as patched:
        patched.setattr(geoclip_download.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(GeoModelError, match=r"need 0\.0 GB and .* has 0\.0 GB left; make room"):
            fetch_clip(lambda *_: None)
    seen: list[str] = []

    def second(done: int, _: int) -> None:
        if done > CHUNK and not seen:
            with pytest.raises(GeoModelError) as raised:
                fetch_clip(lambda *_: None)
            seen.append(str(raised.value))

    fetch_clip(second)
    assert seen == ["geoclip: another program on this machine is fetching CLIP's weights; wait for it"]


def test_a_hub_that_is_not_there_is_one_sentence(hub, monkeypatch):
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(GeoModelError, match=r"could not be fetched from 127\.0\.0\.1 \(") as raised:
        fetch_clip(lambda *_: None)
    assert "\n" not in str(raised.value)
