"""Ways to run a network: each gives what the network itself gives, for batches of any size."""

import dataclasses
import logging
import shutil

import pytest
import torch
from torch import nn

import geo_model
from geo_model.running import Arriving, CapturedNetwork, Compiled, FixedBatch


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)

        class Heads(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = nn.Conv2d(3, 4, 3)
                self.heads = nn.ModuleList(nn.Linear(4, cells) for cells in (2, 3, 5))

            def forward(self, pixels):
                features = self.body(pixels).relu().mean(dim=(2, 3))
                return tuple(head(features) for head in self.heads)

        return Heads().eval()


def pixels(count):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(count))


@torch.inference_mode()
def same(run, network, count):
    for one, other in zip(run(pixels(count)), network(pixels(count)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_batches_of_one_size_are_filled_up_and_small_ones_go_another_way(network):
    sizes: dict[str, list[int]] = {"eager": [], "fixed": []}

    def noted(name):
        def run(batch):
            sizes[name].append(len(batch))
            return network(batch)

        return run

    run = FixedBatch(noted("eager"), noted("fixed"), 10)
    for count in (10, 7, 5, 4, 1, 11):
        same(run, network, count)
    assert sizes == {"eager": [4, 1, 11], "fixed": [10, 10, 10]}


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler")
def test_a_compiled_network_gives_the_same(network):
    run = Compiled(network)
    same(run, network, 5)
    same(run, network, 5)
    assert not run.failed


def test_what_cannot_be_compiled_runs_as_it_is(network, monkeypatch, caplog):
    def no_compiler(network, **_):
        def run(_):
            raise RuntimeError("InvalidCxxCompiler: none found")

        return run

    monkeypatch.setattr(torch, "compile", no_compiler)
    run = Compiled(network)
    with caplog.at_level(logging.WARNING):
        same(run, network, 5)
        same(run, network, 2)
    assert run.failed
    [record] = caplog.records
    assert record.getMessage() == (
        "The network cannot be compiled here (InvalidCxxCompiler: none found); it runs as it is, "
        "with the same answers."
    )


def test_a_model_takes_the_way_that_it_is_given(tiny_model_folder, sample_photos, monkeypatch):
    model = geo_model.load(tiny_model_folder, device="cpu", precision="float32")
    seen = []

    def compiled(network, **_):
        def run(batch):
            seen.append(len(batch))
            return network(batch)

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    other = model.computing(dataclasses.replace(model.choices, way="compiled", photos_at_once=2))
    photos = [*sample_photos, *sample_photos[:2]]
    for one, changed in zip(model.predict(photos), other.predict(photos), strict=True):
        assert one.class_index == changed.class_index
        torch.testing.assert_close(one.product, changed.product, atol=1e-5, rtol=0)
    assert seen == [10, 10, 10]  # five crops of two photos; of the fifth photo filled up
    assert model.choices.way == "eager"


def test_tensors_of_the_processor_have_arrived():
    tensor = torch.ones(2)
    assert Arriving(one=[tensor], none=()).arrived() == {"one": [tensor], "none": ()}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_cuda_graph_gives_the_same(network):
    on_gpu = CapturedNetwork(network.cuda())
    try:
        with torch.inference_mode():
            for count in (5, 5):
                batch = pixels(count).cuda()
                for one, other in zip(on_gpu(batch), network(batch), strict=True):
                    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
            first, batch = on_gpu(pixels(5).cuda())[0], pixels(5).cuda() + 1
            assert not torch.equal(first, on_gpu(batch)[0])  # the first answer is not written over
            torch.testing.assert_close(first, network(pixels(5).cuda())[0], atol=1e-5, rtol=1e-5)
    finally:
        network.cpu()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_predictions_by_cuda_graph_are_the_same(tiny_model_folder, sample_photos):
    model = geo_model.load(tiny_model_folder, device="cuda", precision="float32")
    graph = model.computing(dataclasses.replace(model.choices, way="graph", batch_size=2))
    photos = [*sample_photos, *sample_photos]
    for one, other in zip(model.predict(photos), graph.predict(photos), strict=True):
        assert one.class_index == other.class_index
        torch.testing.assert_close(one.product, other.product, atol=1e-4, rtol=0)
