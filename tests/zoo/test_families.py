"""The networks are those of their papers: numbers of parameters, shortcuts, scales; and what GANs need around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import needle as ndl
import zoo
from needle import nn
from needle.errors import DataError, ShapeError
from zoo.datasets import bars, images
from zoo.models.airnet import Whitening, conv
from zoo.models.dcgan import Discriminator, Generator
from zoo.models.resnet import CifarResNet, Shortcut
from zoo.pictures import grid, save_grid
from zoo.recipes.adversarial import held

pytestmark = pytest.mark.both_modes


def count(net: nn.Module) -> int:
    return sum(int(np.prod(p.shape)) for p in net.parameters())


@pytest.mark.parametrize("blocks, millions", [(3, 0.27), (5, 0.46), (7, 0.66), (9, 0.85), (18, 1.7)])
def test_residual_networks_have_the_parameters_of_the_paper_s_table_6(blocks: int, millions: float) -> None:
    assert count(CifarResNet(blocks)) / 1e6 == pytest.approx(millions, abs=0.05 if blocks == 18 else 0.006)


def test_the_numbers_of_parameters_that_are_quoted() -> None:
    assert count(zoo.load("resnet9")) == 431_946
    assert count(zoo.load("resnet20")) == 269_722
    assert count(zoo.load("resnet8-fashion")) == 75_002
    assert count(zoo.load("resnet9-dawn")) == 6_573_120
    assert count(zoo.load("airnet")) == 1_972_504
    # 64 x 64 with 64 channels: as the usual rewriting of the paper's network in PyTorch's examples
    assert count(Generator()) == 3_576_704 and count(Discriminator()) == 2_765_568
    gan = zoo.load("dcgan")
    assert (count(gan.generator), count(gan.discriminator)) == (1_066_880, 661_248)


def test_the_shortcut_takes_every_second_pixel_and_fills_with_zeros() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 5)).astype("float32")
    y = Shortcut(3, 5, 2, None, "float32")(ndl.Tensor(x)).numpy()
    assert y.shape == (2, 5, 3, 3)
    np.testing.assert_array_equal(y[:, :3], x[:, :, ::2, ::2])
    assert not y[:, 3:].any() and not Shortcut(3, 5, 2, None, "float32").state_dict()


def test_generator_and_discriminator_mirror_each_other_s_shapes() -> None:
    for size in (8, 32):
        made = Generator(5, 2, 3, size)(ndl.init.randn(4, 5))
        assert made.shape == (4, 3, size, size) and np.abs(made.numpy()).max() <= 1
        assert Discriminator(2, 3, size)(made).shape == (4,)
    for size in (4, 28, 48):
        with pytest.raises(ShapeError, match=f"8, 16, 32, 64, ..., got {size}"):
            Generator(size=size)


def test_weights_are_drawn_as_the_paper_says() -> None:
    for net in (Generator(20, 16), Discriminator(16)):
        filters = np.concatenate([p.numpy().ravel() for p in net.parameters() if len(p.shape) == 4])
        assert abs(filters.mean()) < 5e-4 and filters.std() == pytest.approx(0.02, rel=0.02)
        gains = np.concatenate([m.weight.numpy() for m in net._children() if isinstance(m, nn.BatchNorm2d)])
        assert gains.mean() == pytest.approx(1, abs=0.01) and gains.std() == pytest.approx(0.02, rel=0.3)


def test_what_is_held_gives_its_gradient_to_its_input_alone() -> None:
    net, x = Discriminator(2, 1, 8), ndl.Tensor(np.ones((2, 1, 8, 8), "float32"))
    with held(net):
        net(x).sum().backward()
    assert x.grad is not None and all(p.grad is None and p.requires_grad for p in net.parameters())


@pytest.mark.filterwarnings("ignore::zoo.UntrainedWarning")
def test_samples_are_a_function_of_the_seed() -> None:
    model = zoo.load("dcgan", tiny=True)
    first, again, other = model.sample(3, seed=1), model.sample(3, seed=1), model.sample(3, seed=2)
    assert first.dtype == np.uint8 and first.shape == (3, 32, 32, 1) and model.training
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_grid_of_pictures(tmp_path: Path) -> None:
    tiles = np.arange(5, dtype="uint8")[:, None, None, None] * np.ones((1, 3, 4, 1), "uint8")
    page = grid(tiles, columns=3, gap=1)
    assert page.shape == (2 * 4 + 1, 3 * 5 + 1, 1) and page[0, 0] == 255
    assert [int(page[1, 1 + 5 * i, 0]) for i in range(3)] == [0, 1, 2] and page[5, 6, 0] == 4 and page[5, 11, 0] == 255
    for channels in (1, 3):
        save_grid(tmp_path / "grid.png", np.repeat(tiles, channels, axis=3), columns=3)
        with Image.open(tmp_path / "grid.png") as image:
            assert image.mode == ("L" if channels == 1 else "RGB") and image.size == (20, 12)


def test_made_up_images_have_the_format_of_the_data_set() -> None:
    for name, channels in (("cifar-10", 3), ("fashion-mnist", 1)):
        pixels, labels = bars(name, 20, seed=0)
        assert pixels.shape == (20, channels, 32, 32) and pixels.dtype == np.uint8
        assert all(pixels[i, :, 3 * label : 3 * label + 4].min() >= 150 for i, label in enumerate(labels))
    with pytest.raises(DataError, match="no data set of images 'imagenet'"):
        images("imagenet", train=True)


def test_whitened_windows_are_uncorrelated_and_of_one_variance() -> None:
    rng = np.random.default_rng(0)
    smooth = rng.standard_normal((40, 3, 9, 9)).cumsum(axis=2).cumsum(axis=3) * 0.3  # neighbours correlate
    x = (smooth - smooth.mean()).astype("float32")
    layer = Whitening(3)
    layer.fit(x, eps=0.0)
    y = layer(ndl.Tensor(x, dtype="float32", requires_grad=False)).numpy()
    assert y.shape == (40, 24, 8, 8) and not layer.weight.requires_grad
    np.testing.assert_allclose(y[:, :12], -y[:, 12:], atol=1e-5)
    columns = y[:, :12].transpose(0, 2, 3, 1).reshape(-1, 12)
    np.testing.assert_allclose(columns.T @ columns / len(columns), np.eye(12), atol=2e-2)
    assert [p is layer.bias for p in layer.parameters()] == [True]


def test_the_convolutions_of_airnet_hand_their_inputs_on_at_first() -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 5)).astype("float32")
    y = conv(4, 6)(ndl.Tensor(x, dtype="float32")).numpy()
    np.testing.assert_allclose(y[:, :4], x, atol=1e-6)
    assert abs(y[:, 4:]).max() > 0.1
