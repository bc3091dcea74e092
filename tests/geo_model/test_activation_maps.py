"""Maps of what in a photo mattered add up to the logit, lie where they should, or are said not to be."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import geo_model
from geo_model import CropRule, Level, activation_map
from geo_model.activation_maps import ATTENTION_ROLLOUT, CLASS_ACTIVATION, activation_maps
from geo_model.activation_overlay import AGAINST, FOR, colours, overlay, overlay_png
from geo_model.attention_rollout import attention, attention_rollout
from geo_model.cells import LEVELS
from geo_model.cli import app
from geo_model.crops import five_crop, normalise
from geo_model.errors import ActivationMapError, PhotoError
from geo_model.images import read_image
from geo_model.network import GeoNetwork


@pytest.fixture(scope="module")
def bundled():
    return geo_model.load(device="cpu", precision="float32")


@pytest.fixture
def model_of(tiny_model_folder):
    """A model with random weights and any backbone."""

    def make(backbone, crop_px=160):
        model = geo_model.load(tiny_model_folder, device="cpu", precision="float32")
        rule = CropRule(crop_px + 20, crop_px, (0.5,) * 3, (0.25,) * 3)
        model.spec = replace(model.spec, backbone=backbone, crop_rule=rule)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model.network = GeoNetwork(backbone, model.spec.class_counts).eval()
        return model

    return make


def logits_of_crops(model, path):
    """Mean over the crops of each level's logits."""
    image = read_image(path, short_side_px=model.spec.crop_rule.resize_short_px)
    crops = normalise(five_crop(image, model.spec.crop_rule), model.spec.crop_rule)
    with torch.inference_mode():
        return [logits.mean(dim=0).numpy() for logits in model.network(crops)]


def test_on_the_bundled_model_mean_and_bias_are_the_logit(bundled, sample_photos):
    assert bundled.network.kinds is not None
    for photo in sample_photos:
        expected = logits_of_crops(bundled, photo)
        for column, level in enumerate(LEVELS):
            classes = [None, 0, len(expected[column]) - 1]
            for found in activation_maps(bundled, photo, classes, level):
                assert found.method == CLASS_ACTIVATION
                assert found.level == level
                assert found.map.dtype == np.float32
                assert found.logit == pytest.approx(expected[column][found.class_index], abs=1e-4)
                assert found.mean + found.bias == pytest.approx(found.logit, abs=1e-4)
                assert found.crop_maps.mean() == pytest.approx(found.mean, abs=1e-4)
                assert np.ptp(found.map) > 0.1


def test_along_the_hierarchy_it_is_the_sum_over_the_levels(bundled, sample_photos):
    logits = logits_of_crops(bundled, sample_photos[2])
    temperature = bundled.spec.temperature
    found = activation_map(bundled, sample_photos[2])
    ancestors = bundled.hierarchy.ancestors[found.class_index]
    parts = [
        level_logits[index] / own
        for level_logits, index, own in zip(logits, ancestors, temperature.of_levels, strict=True)
    ]
    assert found.logit == pytest.approx(sum(parts) / temperature.hierarchy, abs=1e-4)
    assert found.mean + found.bias == pytest.approx(found.logit, abs=1e-4)
    assert found.level is None


def test_the_cell_answered_is_explained_unless_another_is_given(bundled, sample_photos):
    (prediction,) = bundled.predict(sample_photos[1])
    assert activation_map(bundled, sample_photos[1]).class_index == prediction.class_index
    for level in LEVELS:
        found = activation_map(bundled, sample_photos[1], level=level)
        assert found.class_index == prediction.levels[level].argmax()
    with pytest.raises(ValueError, match="class_index is 4773"):
        activation_map(bundled, sample_photos[1], 4773)


def test_each_crop_is_exact_by_itself_as_the_maximum_over_the_crops_needs_it(bundled, sample_photos):
    image = read_image(sample_photos[0], short_side_px=bundled.spec.crop_rule.resize_short_px)
    crops = five_crop(image, bundled.spec.crop_rule)
    with torch.inference_mode():
        logits = bundled.network(normalise(crops, bundled.spec.crop_rule))
    (prediction,) = bundled.predict(sample_photos[0], crops="max")
    for level, level_logits in zip(LEVELS, logits, strict=True):
        index = int(prediction.levels[level].argmax())
        found = activation_map(bundled, sample_photos[0], index, level)
        assert found.crop_logits == pytest.approx(level_logits[:, index].numpy(), abs=1e-4)
        means = found.crop_maps.mean(axis=(1, 2)) + found.crop_biases
        assert means == pytest.approx(found.crop_logits, abs=1e-4)
        assert np.ptp(found.crop_logits) > 0.01


def test_a_model_that_takes_the_maximum_explains_the_cell_that_it_answers(tiny_model_folder, sample_photos):
    model = geo_model.load(tiny_model_folder, device="cpu", precision="float32")
    by_mean = model.predict(sample_photos[1], crops="mean")[0]
    model.spec = replace(model.spec, crops="max")
    (prediction,) = model.predict(sample_photos[1])
    assert not np.array_equal(prediction.product, by_mean.product)
    assert activation_map(model, sample_photos[1]).class_index == prediction.class_index
    for level in LEVELS:
        found = activation_map(model, sample_photos[1], level=level)
        assert found.class_index == prediction.levels[level].argmax()
        assert found.mean + found.bias == pytest.approx(found.logit, abs=1e-4)


@pytest.mark.parametrize(
    "backbone",
    [
        "test_resnet",
        "test_convnext",  # a layer norm after the pooling
        "test_vit",  # patch tokens after others, a layer norm after the pooling
        "test_maxvit",
    ],
)
def test_other_networks_add_up_too(model_of, sample_photos, backbone):
    model = model_of(backbone)
    fine = logits_of_crops(model, sample_photos[0])[2]
    found = activation_map(model, sample_photos[0], 7, Level.FINE)
    assert found.method == CLASS_ACTIVATION
    assert found.logit == pytest.approx(fine[7], abs=1e-4)
    assert found.mean + found.bias == pytest.approx(found.logit, abs=1e-4)
    assert found.crop_maps.std() > 1e-4


class Colours(torch.nn.Module):
    """A backbone whose features are the photo's red, green and blue."""

    def forward_features(self, pixels):
        return torch.nn.functional.avg_pool2d(pixels, 16)

    def forward_head(self, features, pre_logits=False):
        return features.mean(dim=(2, 3))

    def forward(self, pixels):
        return self.forward_head(self.forward_features(pixels))


def red_model(model_of):
    """A model whose fine class 0 is for red, and against green."""
    model = model_of("test_resnet")
    model.network.backbone = Colours()
    for level in LEVELS:
        head = torch.nn.Linear(3, len(model.hierarchy[level]))
        torch.nn.init.zeros_(head.weight)
        head.weight.data[0] = torch.tensor([1.0, -1.0, 0.0])
        model.network.heads[level.value] = head
    return model


def painted(size=(900, 600), orientation=1):
    """Grey with a red square at the top left of the middle third and a green one at its bottom right."""
    image = Image.new("RGB", size, (128, 128, 128))
    image.paste((255, 128, 128), (300, 50, 400, 150))
    image.paste((128, 255, 128), (500, 450, 600, 550))
    if orientation == 6:  # stored lying on its left side
        image = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[274] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_map_lies_over_the_upright_photo(model_of, orientation):
    found = activation_map(red_model(model_of), painted(orientation=orientation), 0, Level.FINE)
    height, width = found.map.shape
    assert (width, height) == (512, 341)
    row, column = np.unravel_index(found.map.argmax(), found.map.shape)
    assert (column / width, row / height) == pytest.approx((350 / 900, 100 / 600), abs=0.05)
    row, column = np.unravel_index(found.map.argmin(), found.map.shape)
    assert (column / width, row / height) == pytest.approx((550 / 900, 500 / 600), abs=0.05)
    assert found.map[height // 2, 10] == pytest.approx(0, abs=1e-4)  # grey is neither red nor green
    assert 1 < found.map.max() <= 127 / 255 / 0.25 + 1e-4


def test_what_no_crop_showed_is_not_made_up(model_of):
    found = activation_map(red_model(model_of), Image.new("RGB", (4000, 400), "red"), 0, Level.FINE)
    assert found.map.shape == (51, 512)
    unseen = np.isnan(found.map).mean()
    assert unseen == pytest.approx(1 - 3 * 160 / 1800, abs=0.02)  # three crops side by side along 1800 pixels
    assert np.nanmin(found.map) == pytest.approx(np.nanmax(found.map), abs=1e-5)
    picture = np.asarray(overlay(found, Image.new("RGB", (4000, 400), "red")))
    assert picture[200, 700].max() < picture[200, 100].max()  # darker


def test_low_precision_is_close(tiny_model_folder, sample_photos):
    found = [
        activation_map(geo_model.load(tiny_model_folder, "cpu", precision), sample_photos[0], 5, Level.FINE)
        for precision in ("float32", "bfloat16")
    ]
    assert found[1].mean + found[1].bias == pytest.approx(found[1].logit, abs=1e-4)
    assert found[1].logit == pytest.approx(found[0].logit, rel=0.1, abs=0.1)
    assert np.corrcoef(found[0].map.ravel(), found[1].map.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("backbone", ["test_vit", "test_vit2"])
def test_attention_is_that_of_the_network(model_of, backbone):
    vit = model_of(backbone).network.backbone
    pixels = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    inputs, own = [], []
    for block in vit.blocks:
        block.attn.fused_attn = False  # so that the network computes the weights where they can be seen
        block.attn.register_forward_pre_hook(lambda _, tokens: inputs.append(tokens[0]))
        block.attn.attn_drop.register_forward_hook(lambda *_: own.append(_[-1]))
    with torch.inference_mode():
        vit(pixels)
        seen = list(own)
        assert len(seen) == len(vit.blocks) > 1
        for block, tokens, weights in zip(vit.blocks, inputs, seen, strict=True):
            torch.testing.assert_close(attention(block.attn, tokens), weights)
        # Equation 1 of the paper, written out.
        flow = np.eye(seen[0].shape[-1])
        for weights in seen:
            flow = (0.5 * weights[1].mean(dim=0).numpy() + 0.5 * np.eye(len(flow))) @ flow
        others = vit.num_prefix_tokens
        expected = flow[others:, others:].mean(axis=0).reshape(10, 10)
        assert attention_rollout(vit, pixels)[1].numpy() == pytest.approx(expected, rel=1e-4)


def test_rollout_is_for_transformers_and_knows_no_class(model_of, sample_photos):
    model = model_of("test_vit")
    found = activation_maps(model, sample_photos[0], [3, 4], Level.FINE, "rollout")
    assert [entry.method for entry in found] == [ATTENTION_ROLLOUT] * 2
    assert found[0].class_index is found[0].logit is found[0].bias is None
    assert (found[0].map == found[1].map).all()
    assert (found[0].crop_maps >= 0).all()
    assert 0.5 < found[0].crop_maps.sum(axis=(1, 2)).max() <= 1 + 1e-5
    # This one takes the mean of its register token too, so only a rollout is left.
    assert activation_map(model_of("test_vit3"), sample_photos[0]).method == ATTENTION_ROLLOUT


@pytest.mark.parametrize(
    ("backbone", "method", "said"),
    [
        ("test_vit3", "cam", "has no class-activation map: its heads do not see the mean"),
        ("test_resnet", "rollout", "has no attention rollout: it is not a plain vision transformer"),
        ("mobilenetv3_small_050", "auto", "has no map of what mattered"),  # a layer after the pooling
    ],
)
def test_where_there_is_none_it_is_said(model_of, sample_photos, backbone, method, said):
    with pytest.raises(ActivationMapError, match=said) as caught:
        activation_map(model_of(backbone), sample_photos[0], method=method)
    assert f"backbone '{backbone}' of model 'tiny'" in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_network_of_another_kind_has_none(model_of, sample_photos):
    model = model_of("test_resnet")
    model.network = torch.nn.Identity()
    with pytest.raises(ActivationMapError, match="it has no heads over cells"):
        activation_map(model, sample_photos[0])


def test_a_photo_that_cannot_be_read(bundled):
    with pytest.raises(PhotoError, match=r"my\.jpg"):
        activation_map(bundled, ("my.jpg", b"no photo"))


def test_colours_say_for_and_against(model_of):
    found = activation_map(red_model(model_of), painted(), 0, Level.FINE)
    rgba = colours(found)
    assert rgba.shape == (*found.map.shape, 4)
    strongest = np.unravel_index(np.abs(found.map).argmax(), found.map.shape)
    assert rgba[strongest][3] == pytest.approx(0.8 * 255, abs=1)
    assert tuple(rgba[np.unravel_index(found.map.argmax(), found.map.shape)][:3]) == FOR
    assert tuple(rgba[np.unravel_index(found.map.argmin(), found.map.shape)][:3]) == AGAINST
    assert rgba[170, 10][3] <= 2  # grey speaks for nothing
    with Image.open(io.BytesIO(overlay_png(found, read_image(painted())))) as picture:
        assert picture.format == "PNG"
        assert picture.width == 900
        assert picture.height > 600
        red, _, blue = picture.convert("RGB").getpixel((350, 100))
        assert red > blue + 50
        red, _, blue = picture.convert("RGB").getpixel((550, 500))
        assert blue > red + 50


def explain(*arguments):
    result = CliRunner().invoke(app, ["explain", *map(str, arguments), "--device", "cpu"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_command_draws(tmp_path, sample_photos):
    result = explain(sample_photos[2], "--out", tmp_path / "map.png", "--top", 2, "--level", "coarse")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(tmp_path / f"map-{rank}.png") for rank in (1, 2)]
    assert all("(coarse head): mean " in line for line in lines)
    pictures = [(tmp_path / f"map-{rank}.png").read_bytes() for rank in (1, 2)]
    assert pictures[0] != pictures[1]
    with Image.open(io.BytesIO(pictures[0])) as picture:
        assert picture.width == Image.open(sample_photos[2]).width


def test_what_the_command_refuses(tmp_path, sample_photos, tiny_model_folder):
    assert explain(sample_photos[0], "--out", tmp_path / "map.jpg").exit_code == 2
    for arguments, said in (
        ((tmp_path / "none.jpg", "--out", tmp_path / "map.png"), "none.jpg"),
        ((sample_photos[0], "--out", tmp_path / "gone" / "map.png"), "there is no folder"),
        (
            (
                *(sample_photos[0], "--out", tmp_path / "map.png"),
                *("--model", tiny_model_folder, "--method", "rollout"),
            ),
            "has no attention rollout",
        ),
    ):
        result = explain(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert said in result.stderr
        assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
