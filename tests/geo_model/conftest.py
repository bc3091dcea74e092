"""An S3 server on 127.0.0.1 for the tests that read from, or write to, s3:// addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest


@pytest.fixture(scope="module")
def bucket() -> Iterator[Callable[[str, bytes], None]]:
    """A bucket called photos; gives a function that puts an object into it."""
    pytest.importorskip("moto", reason='needs an S3 server: pip install "moto[server]"')
    from moto.server import ThreadedMotoServer
    from pyarrow.fs import S3FileSystem

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }.items():
            patch.setenv(key, value)
        system = S3FileSystem(endpoint_override=f"{host}:{port}", scheme="http", allow_bucket_creation=True)
        system.create_dir("photos")

        def put(key: str, data: bytes) -> None:
            with system.open_output_stream(f"photos/{key}") as file:
                file.write(data)

        yield put
    server.stop()
