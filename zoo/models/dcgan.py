"""Deep convolutional generative adversarial networks: a generator and a discriminator.

Source: Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
networks", 2015.
"""

from __future__ import annotations

from typing import Any

import numpy

import needle as ndl
from deploy.card import Image
from needle import init, nn
from needle.errors import ShapeError
from needle.optim.settings import whole

from ..base import Model
from ..recipes.adversarial import AdversarialRecipe
from ..registry import Tiny, ZooError, model
from ..signature import Latent

AT_ONCE = 250  # images that are generated at once: what memory they take
SMALLEST = 4  # height and width of the generator's first map and of the discriminator's last


def doublings(size: int) -> int:
    """How often 4 is doubled to give `size`. Raises ShapeError where that is not a whole number from 1 on."""
    times = (size // SMALLEST).bit_length() - 1
    if times < 1 or SMALLEST << times != size:
        raise ShapeError(f"[DCGAN] size must be 8, 16, 32, 64, ..., got {size}")
    return times


class Generator(nn.Module):
    """Latent vectors (B, latent) to images (B, channels, size, size) in [-1, 1].

    Transposed convolutions of 4 x 4: the first makes maps of 4 x 4, each of the others doubles them; batch
    normalisation and relu between them, tanh at the end. The last map before the image has `width` channels, each one
    before it twice as many.
    """

    def __init__(
        self, latent: int = 100, width: int = 64, channels: int = 3, size: int = 64, device: Any = None
    ) -> None:
        super().__init__()
        self.latent = latent
        widths = [width << i for i in reversed(range(doublings(size)))]
        layers: list[nn.Module] = []
        for before, after in zip([latent, *widths[:-1]], widths, strict=True):
            stride, padding = (2, 1) if layers else (1, 0)
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride=stride, padding=padding, bias=False, device=device),
                nn.BatchNorm2d(after, device=device),
                nn.ReLU(),
            ]
        last = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1, bias=False, device=device)
        self.net = nn.Sequential(*layers, last, nn.Tanh())
        draw_weights(self)

    def forward(self, z: ndl.Tensor) -> ndl.Tensor:
        images: ndl.Tensor = self.net(z.reshape((z.shape[0], self.latent, 1, 1)))
        return images


class Discriminator(nn.Module):
    """Images (B, channels, size, size) to logits (B,) of being real.

    Convolutions of 4 x 4 with stride 2, leaky relu of slope 0.2, batch normalisation but for the first; `width`
    channels after the first, twice as many after each further one.
    """

    def __init__(self, width: int = 64, channels: int = 3, size: int = 64, device: Any = None) -> None:
        super().__init__()
        widths = [width << i for i in range(doublings(size))]
        layers: list[nn.Module] = []
        for before, after in zip([channels, *widths[:-1]], widths, strict=True):
            conv = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False, device=device)
            norm = [nn.BatchNorm2d(after, device=device)] if layers else []
            layers += [conv, *norm, nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, bias=False, device=device))
        draw_weights(self)

    def forward(self, x: ndl.Tensor) -> ndl.Tensor:
        logits: ndl.Tensor = self.net(x).reshape((x.shape[0],))
        return logits


def draw_weights(net: nn.Module) -> None:
    """Filters from N(0, 0.02), gains of the normalisations from N(1, 0.02), as the source's code has them."""
    for parameter in net.parameters():
        if len(parameter.shape) == 4:
            parameter.data = init.randn(*parameter.shape, std=0.02, device=parameter.device)
    for module in net._children():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data = init.randn(module.dim, mean=1.0, std=0.02, device=module.weight.device)


class DCGAN(Model):
    """A generator, which `forward` is, and the discriminator it was trained against."""

    commands = (
        "needle-zoo sample {name} --weights {weights}{plugin}",
        "needle-deploy freeze zoo:{name} --weights {weights} -o {name}.nd{plugin}",
    )

    def __init__(self, generator: Generator, discriminator: Discriminator) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.takes = {"kind": "latent", "size": generator.latent}

    def forward(self, z: ndl.Tensor) -> ndl.Tensor:
        images: ndl.Tensor = self.generator(z)
        return images

    def sample(self, count: int = 1, seed: int = 0) -> numpy.ndarray:
        """`count` generated images, uint8 (count, height, width, channels): a function of the weights and the seed.

        Raises ZooError for less than one image or a negative seed.
        """
        if count < 1 or seed < 0:
            raise ZooError(f"[sample] needs count >= 1 and seed >= 0, got {count} and {seed}")
        self.warn_if_untrained()
        z = numpy.random.default_rng(seed).standard_normal((count, self.generator.latent)).astype("float32")
        was_training = self.training
        self.eval()
        parts = [self._pixels(z[start : start + AT_ONCE]) for start in range(0, count, AT_ONCE)]
        if was_training:
            self.train()
        return numpy.concatenate(parts)

    def _pixels(self, z: numpy.ndarray) -> numpy.ndarray:
        x: numpy.ndarray = self(ndl.Tensor(z, device=self.device, requires_grad=False)).numpy()
        return numpy.rint((x + 1) * 127.5).clip(0, 255).astype("uint8").transpose(0, 2, 3, 1)


PICTURE = Image(1, 32, 32, mean=(0.5,), std=(0.5,))


@model(
    task="image generation: pictures of clothes, shoes and bags as in Fashion-MNIST",
    data="Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): the 60,000 training images, with a border to 32 x 32",
    input=Latent(100),
    output=PICTURE,
    recipe=AdversarialRecipe(),
    tiny=Tiny(model={"latent": 8, "width": 4}, recipe={"epochs": 4, "batch": 16, "lr": 2e-3}),
    licence="MIT (code and weights); Fashion-MNIST is MIT",
    limits="It makes small grey pictures of ten kinds of articles and nothing else; which kind cannot be chosen.",
)
def dcgan(latent: int = 100, width: int = 64, device: Any = None) -> Model:
    """DCGAN for grey images of 32 x 32: 1,066,880 parameters in the generator, 661,248 in the discriminator."""
    whole("dcgan", latent=latent, width=width)
    options: dict[str, Any] = {"width": width, "channels": PICTURE.channels, "size": PICTURE.height, "device": device}
    return DCGAN(Generator(latent, **options), Discriminator(**options))
