import pytest
import torch

from geo_model.errors import ConfigError
from train.config import read_config
from train.devices import choose_device, processes_wanted, trainer_settings


@pytest.fixture
def config(write_config):
    def read(*overrides):
        return read_config(write_config(hardware={"accelerator": "auto"}), overrides)

    return read


@pytest.fixture
def gpus(monkeypatch):
    """A machine with four GPUs, as far as this process is told."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)


def ranks(monkeypatch, rank, world, local_rank, local_world):
    for name, value in zip(
        ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
        (rank, world, local_rank, local_world),
        strict=True,
    ):
        monkeypatch.setenv(name, str(value))


def test_all_gpus_are_taken_or_those_that_are_named(config, gpus):
    assert processes_wanted(config()) == 4
    assert processes_wanted(config("hardware.devices=2")) == 2
    assert processes_wanted(config("hardware.devices=[3, 1]")) == 2
    assert choose_device(config("hardware.devices=[3]")) == torch.device("cuda", 3)
    assert trainer_settings(config("hardware.devices=[3]"))["devices"] == [3]
    with pytest.raises(
        ConfigError, match=r"hardware\.devices: this machine has 4 of kind cuda.* no number 4"
    ):
        processes_wanted(config("hardware.devices=5"))


def test_each_process_of_several_machines_has_a_device_of_its_own(config, gpus, monkeypatch):
    ranks(monkeypatch, 5, 8, 1, 4)
    assert choose_device(config()) == torch.device("cuda", 1)
    settings = trainer_settings(config())
    assert (settings["devices"], settings["num_nodes"]) == ([0, 1, 2, 3], 2)
    assert settings["use_distributed_sampler"] is False
    ranks(monkeypatch, 1, 2, 1, 2)
    assert choose_device(config()) == torch.device("cuda", 1)
    assert choose_device(config("hardware.devices=[3, 2]")) == torch.device("cuda", 2)
    with pytest.raises(ConfigError, match="it names 1 and 2 processes were started"):
        choose_device(config("hardware.devices=1"))


def test_without_gpus_there_is_one_process_unless_more_are_asked_for(config):
    assert processes_wanted(config("hardware.accelerator=cpu")) == 1
    assert processes_wanted(config("hardware.accelerator=cpu", "hardware.devices=3")) == 3


def test_a_precision_that_the_machine_lacks_is_refused(config, gpus):
    with pytest.raises(ConfigError, match=r"training\.precision: 16-mixed needs a GPU"):
        choose_device(config("training.precision=16-mixed", "hardware.accelerator=cpu"))
    with pytest.raises(ConfigError, match=r"training\.precision: this GPU cannot compute in bf16-mixed"):
        choose_device(config("training.precision=bf16-mixed"))


def test_an_accelerator_that_is_not_there_is_refused(config, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"hardware\.accelerator: this machine has no cuda"):
        choose_device(config("hardware.accelerator=cuda"))
