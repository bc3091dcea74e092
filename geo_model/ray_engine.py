"""Photos located by Ray Data's workers, on one machine or a cluster; the rows come back to this process.

Photos travel to the workers as names and places, not as bytes (but those of compressed tars), so every
machine must see the same paths, or `s3://`, for which workers use credentials of their own. A worker that
dies is replaced and its photos are located again; each name is given once.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, cast

from geo_model.bulk import BulkSettings, Line
from geo_model.bulk_names import name_key
from geo_model.errors import GeoModelError
from geo_model.photo_sources import PhotoSources

_TOGETHER = 32
_WINDOW = 50_000
_TRIES_AFTER_DEATH = 3
_WINDOW_BYTES = 1 << 30
_PASSED_ON = ("GEO_MODEL_PATH", "AWS_ENDPOINT_URL")


class _Worker:
    """Holds a model in a process of Ray's; a call locates a block of photos."""

    def __init__(
        self, settings: BulkSettings, model: str | None, device: str, precision: str, threads: int
    ) -> None:
        import torch

        from geo_model.predict import load

        torch.set_num_threads(threads)
        self.settings = settings
        self.model = load(model, device, precision)  # type: ignore[arg-type]

    def __call__(self, block: dict[str, Any]) -> dict[str, Any]:
        from geo_model.bulk import lines_of

        photos = [pickle.loads(photo) for photo in block["photo"]]  # noqa: S301  # this program wrote them
        lines = list(lines_of(photos, self.model, self.settings))  # type: ignore[arg-type]
        return {"line": [pickle.dumps(line) for line in lines]}


class RayEngine:
    """An engine for `bulk.run`: starts Ray here, or joins the cluster that RAY_ADDRESS names.

    Args:
        settings: What the rows are made with.
        model: As `predict.load` takes it.
        device: Likewise; `auto` is a GPU for each worker where the cluster has any.
        precision: Likewise.
        workers: How many; None is one for each GPU, else one for four cores.

    Raises:
        GeoModelError: Ray is not installed or cannot be reached.
    """

    def __init__(
        self, settings: BulkSettings, model: str | None, device: str, precision: str, workers: int | None
    ) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent anywhere
        os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise GeoModelError('--engine ray needs Ray; install it: pip install "ray[data]"') from error
        self.settings, self.model, self.device, self.precision = settings, model, device, precision
        self.workers = workers
        passed_on = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        try:
            if not ray.is_initialized():
                ray.init(
                    address=os.environ.get("RAY_ADDRESS", "local"),
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    runtime_env={"env_vars": passed_on},
                    include_dashboard=None if "RAY_ADDRESS" in os.environ else False,
                )
        except Exception as error:  # Ray raises bare exceptions here
            why = " ".join(str(error).split())[:200]
            raise GeoModelError(
                f"Ray did not start ({why}); try again, or leave out --engine ray."
            ) from error

    def __call__(self, photos: PhotoSources) -> Iterator[Line]:
        """The rows, in any order, each name once."""
        import ray

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        try:
            found = iter(photos)
            while blocks := list(self._blocks(found)):
                yield from self._located(blocks)
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, GeoModelError):
                raise cause from error
            why = " ".join(str(error).split())[:300]
            raise GeoModelError(f"Ray gave up ({why}); the same command with --resume goes on.") from error
        finally:
            ray.shutdown()

    def _blocks(self, found: Iterator[Any]) -> Iterator[Any]:
        """Arrow tables of a few photos each, up to a window, so that memory is bounded."""
        import itertools

        import pyarrow as pa

        held = 0
        for _ in range(_WINDOW // _TOGETHER):
            if held > _WINDOW_BYTES:
                return
            photos = [pickle.dumps(photo) for photo in itertools.islice(found, _TOGETHER)]
            if not photos:
                return
            held += sum(map(len, photos))
            yield pa.table({"photo": pa.array(photos, pa.binary())})

    def _located(self, blocks: list[Any]) -> Iterator[Line]:
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = int(sum(node.get("GPU", 0) for node in nodes))
        on_gpu = gpus > 0 and not self.device.startswith("cpu")
        wanted = self.workers or (gpus if on_gpu else None)
        workers, threads = shared_out([int(node.get("CPU", 0)) for node in nodes], wanted)
        workers = min(workers, len(blocks))
        # It has no other way yet to say how often a worker is replaced.
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated", DeprecationWarning)
        located = ray.data.from_arrow(blocks).map_batches(
            _Worker,
            fn_constructor_args=(self.settings, self.model, self.device, self.precision, threads),
            batch_size=None,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=threads,
            num_gpus=1 if on_gpu else 0,
            max_restarts=-1,
            max_task_retries=_TRIES_AFTER_DEATH,
        )
        given: set[bytes] = set()
        for batch in located.iter_batches(batch_size=None, batch_format="pyarrow"):
            for line in cast("Any", batch)["line"].to_pylist():
                name, reason, row = pickle.loads(line)  # noqa: S301  # a worker of this program wrote it
                if (key := name_key(name)) not in given:
                    given.add(key)
                    yield name, reason, row


def shared_out(node_cores: Sequence[int], workers: int | None) -> tuple[int, int]:
    """How many workers there are, and the cores of each, so that all of them have room on the nodes.

    Args:
        node_cores: Cores of each machine of the cluster.
        workers: How many are wanted; None is one for four cores.
    """
    wanted = min(workers or max(1, sum(cores // 4 for cores in node_cores)), max(1, sum(node_cores)))
    most = max(1, *node_cores)
    threads = next(
        each for each in range(most, 0, -1) if each == 1 or sum(c // each for c in node_cores) >= wanted
    )
    return wanted, threads
