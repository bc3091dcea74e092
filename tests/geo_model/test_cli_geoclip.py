"""GeoCLIP on the command line: what the list says, the question before a download, and the download itself.

The hub is a small server on this machine that speaks as much of Hugging Face's language as is asked of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from geo_model import geoclip_download, geoclip_parts
from geo_model.cli import app
from geo_model.cli_geoclip import make_ready
from geo_model.errors import GeoModelError
from geo_model.geoclip_gallery import cache_file

ROOT = Path(__file__).resolve().parents[2]
SHA = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b'{"model_type": "clip"}', "model.safetensors": bytes(range(256)) * 40}


class Hub(BaseHTTPRequestHandler):
    """The two files of one repository."""

    asked: list[str]

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def do_GET(self) -> None:
        self._answer(send_body=True)

    def _answer(self, send_body: bool) -> None:
        self.asked.append(self.path)
        repository = geoclip_parts.CLIP_REPOSITORY
        if self.path.startswith(f"/{repository}/resolve/") and self.path.rpartition("/")[2] in FILES:
            body = FILES[self.path.rpartition("/")[2]]
            headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": SHA}
        else:
            self.send_error(404)
            return
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if send_body:
            self.wfile.write(body)


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """Address of the hub, and the paths that it was asked for."""
    handler = type("OneHub", (Hub,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without CLIP's weights."""
    for name in ("GEOCLIP_CLIP_FOLDER", "GEOCLIP_CELLS_FOLDER", "GEO_MODEL_ALLOW_DOWNLOAD", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def test_the_list_says_what_is_lacking_and_where_it_is(nothing_here, monkeypatch, tmp_path):
    code, shown, _ = run("models")
    assert code == 0
    shown = " ".join(shown.split())
    assert "980 / 1,919 / 4,773" in shown.partition("geoclip")[2]
    assert "about 1.7 GB) will be downloaded from huggingface.co, after asking" in shown
    entry = json.loads(run("models", "--json")[1])[-1]
    assert entry["name"] == "geoclip"
    assert entry["megabytes"] == pytest.approx(1711)
    monkeypatch.setattr(geoclip_parts, "installed_package", lambda: None)
    assert "needs: pip install geoclip" in run("models")[1]

    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.setenv("GEOCLIP_CLIP_FOLDER", str(tmp_path))
    entry = json.loads(run("models", "--json")[1])[-1]
    assert "weights are on this machine" in entry["state"]
    assert entry["path"] == str(tmp_path)
    assert entry["megabytes"] == len(FILES["model.safetensors"]) / 1e6
    (tmp_path / "config.json").unlink()
    assert "holds no config.json" in json.loads(run("models", "--json")[1])[-1]["error"]


def test_only_geoclip_can_be_downloaded():
    code, shown, said = run("download", "tiny")
    assert (code, shown) == (1, "")
    assert "nothing can be downloaded for it" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["download", "geoclip"],
        ["locate", "PHOTO", "--model", "geoclip"],
        ["evaluate", "--photos", "FOLDER", "--truth", "TRUTH", "--model", "geoclip"],
    ],
)
def test_without_a_terminal_a_sentence_names_the_host(nothing_here, sample_photos, tmp_path, arguments):
    pytest.importorskip("geoclip", reason="needs the optional package geoclip: pip install geoclip")
    truth = tmp_path / "truth.csv"
    truth.write_text(f"IMG_ID,LAT,LON\n{sample_photos[0].name},1,2\n")
    places: dict[str, Path] = {"PHOTO": sample_photos[0], "FOLDER": sample_photos[0].parent, "TRUTH": truth}
    code, shown, said = run(*(places.get(argument, argument) for argument in arguments))
    assert (code, shown) == (1, "")
    assert len(said.splitlines()) == 1
    for words in ("1.7 GB", "huggingface.co", "download geoclip --yes", "GEO_MODEL_ALLOW_DOWNLOAD=1"):
        assert words in said
    assert "Nothing was fetched" in said


@pytest.mark.parametrize(("answer", "fetched"), [("y\n", 1), ("\n", 0)])
def test_on_a_terminal_it_is_asked(nothing_here, monkeypatch, capsys, tmp_path, answer, fetched):
    pytest.importorskip("geoclip", reason="needs the optional package geoclip: pip install geoclip")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    calls: list[int] = []
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr(geoclip_download, "fetch_clip", lambda _: calls.append(1))
    monkeypatch.setenv("GEO_MODEL_CACHE", str(tmp_path))
    cache_file(geoclip_parts.the_package()).touch()  # so that nothing is encoded here
    if fetched:
        make_ready("geoclip")
    else:
        with pytest.raises(GeoModelError, match=r"nothing was fetched from huggingface\.co"):
            make_ready("geoclip")
    assert len(calls) == fetched
    question = capsys.readouterr().err
    assert question.startswith("Fetch CLIP's weights (openai/clip-vit-large-patch14, about 1.7 GB) from hugg")


def test_the_download_fetches_two_files_once(hub, tmp_path):
    pytest.importorskip("geoclip", reason="needs the optional package geoclip: pip install geoclip")
    address, asked = hub
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "GEO_MODEL_CACHE": str(tmp_path)}
    dropped = ("GEOCLIP_CLIP_FOLDER", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "GEO_MODEL_ALLOW_DOWNLOAD")
    environment = {key: value for key, value in os.environ.items() if key not in dropped} | settings
    name = cache_file(geoclip_parts.the_package()).name
    (tmp_path / name).touch()  # so that nothing is encoded here

    def download(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "geo_model", "download", "geoclip", *options]
        return subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    first = download("--yes")
    assert first.returncode == 0, first.stderr
    assert "from 127.0.0.1" in first.stderr  # the host that is asked, not the one that usually is
    folder = Path(first.stdout.splitlines()[0].removeprefix("CLIP's weights: "))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == FILES
    asked.clear()
    again = download()  # neither a question nor a request: it is all here
    assert (again.returncode, asked) == (0, [])
    assert again.stdout == first.stdout

    environment |= {"HF_HOME": str(tmp_path / "other"), "HF_ENDPOINT": f"{address}/nothing"}
    refused = download("--yes")
    assert refused.returncode == 1
    assert "could not be fetched from 127.0.0.1" in refused.stderr
    assert "Traceback" not in refused.stderr
