"""Training of generative adversarial networks: the step that alternates between both, and its recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy

import needle as ndl
from needle import init, nn, optim
from needle.optim.stateful import Stateful

from .. import likeness
from ..base import Model
from ..pictures import save_grid
from .base import Data
from .images import ImageRecipe


class AdversarialStep(Stateful):
    """One update of the discriminator D, then one of the generator G.

    D descends bce(D(x), 1) + bce(D(G(z)), 0) on images x and z drawn from N(0, 1) by numpy's global generator, G then
    bce(D(G(z)), 1). Returns both losses and the mean probabilities that D gave to real and to generated images. The
    model has the two as `discriminator` and `generator`, whose `latent` is the size of z.
    Source: Goodfellow et al., "Generative adversarial networks", 2014, with the generator's loss of its section 3.
    """

    def __init__(self, model: Any, recipe: AdversarialRecipe) -> None:
        self.model, self.bce = model, nn.BCEWithLogitsLoss()
        self.optimizers = {
            name: optim.Adam(net.parameters(), lr=recipe.lr, beta1=recipe.beta1)
            for name, net in (("generator", model.generator), ("discriminator", model.discriminator))
        }

    def __call__(self, x: ndl.Tensor, *labels: ndl.Tensor) -> dict[str, float]:
        generator, discriminator = self.model.generator, self.model.discriminator
        fake = generator(init.randn(x.shape[0], generator.latent, device=x.device))
        real_logits, fake_logits = discriminator(x), discriminator(fake.detach())
        real, generated = init.ones_like(real_logits), init.zeros_like(fake_logits)
        loss_d = self.bce(real_logits, real) + self.bce(fake_logits, generated)
        self._update("discriminator", loss_d)
        with held(discriminator):
            loss_g = self.bce(discriminator(fake), real)
            self._update("generator", loss_g)
        return {
            "loss_d": float(loss_d.numpy().item()), "loss_g": float(loss_g.numpy().item()),
            "d_real": probability(real_logits), "d_fake": probability(fake_logits),
        }  # fmt: skip

    def _update(self, name: str, loss: ndl.Tensor) -> None:
        self.optimizers[name].reset_grad()
        loss.backward()
        self.optimizers[name].step()

    def train(self) -> None:
        self.model.train()

    def eval(self) -> None:
        self.model.eval()

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, **self.optimizers}


def probability(logits: ndl.Tensor) -> float:
    """The mean of sigmoid(logits)."""
    return float(numpy.mean(1 / (1 + numpy.exp(-logits.numpy().astype("float64")))))


@contextmanager
def held(net: nn.Module) -> Iterator[None]:
    """Inside the block `backward` computes no gradients of the parameters of `net`: only those of its input."""
    for parameter in net.parameters():
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in net.parameters():
            parameter.requires_grad = True


@dataclass(frozen=True)
class AdversarialRecipe(ImageRecipe):
    """Adam with a low first momentum for both networks; images scaled to [-1, 1], nothing else done to them.

    `judge` is the classifier of the zoo in whose features generated images are compared with real ones; where it is
    empty they are not measured.
    """

    epochs: int = 25
    batch: int = 128
    dataset: str = "fashion-mnist"
    lr: float = 2e-4
    beta1: float = 0.5
    judge: str = "resnet8-fashion"

    meanings: ClassVar[Mapping[str, str]] = {
        "frechet": "Fréchet distance, in the judge's features, of generated images from half of the test images",
        "frechet_real": "the same of the other half of the test images, as many: what perfect images would have",
        "class_entropy": "of the classes that the judge finds in as many generated images as there are test images, as "
        "a fraction of that of equally frequent ones",
        "nearest": "median distance of a generated image from the nearest training image, the root of the mean squared "
        "difference of pixels between 0 and 1",
        "nearest_real": "the same of a test image: copies would be nearer",
    }

    def step(self, model: Model, steps: int) -> AdversarialStep:
        return AdversarialStep(model, self)

    def evaluate(self, model: Any, data: Data) -> dict[str, float]:
        """What `meanings` says, of as many samples as there are test images, all of them of seed 0."""
        if not self.judge:
            return {}
        judge, real = likeness.judge(self.judge), data.test.pixels
        made, half = samples(model, len(real)), len(real) // 2
        seen, known = likeness.judged(judge, made), likeness.judged(judge, real)
        found = {
            "frechet": likeness.frechet(seen.features[:half], known.features[:half]),
            "frechet_real": likeness.frechet(known.features[half:], known.features[:half]),
            "class_entropy": likeness.class_entropy(seen.classes, len(judge.card["labels"])),
        }
        for name, images in (("nearest", made), ("nearest_real", real)):
            found[name] = float(numpy.median(likeness.nearest(images[:COMPARED], data.train.pixels)[1]))
        return found

    def sample(self, model: Any, folder: Path, epoch: int) -> None:
        """Write samples/epoch-NNN.png: what the model makes of the same 64 latent vectors each time."""
        target = folder / "samples" / f"epoch-{epoch:03}.png"
        target.parent.mkdir(exist_ok=True)
        save_grid(target, model.sample(64, seed=0))

    def show(self, model: Any, data: Data, folder: Path) -> dict[str, Any]:
        """`sheet`: 64 pictures; `nearest`: the first 16 above the training images nearest to them; PNG in `folder`."""
        name, made = model.card["name"], samples(model, 64)
        near, _ = likeness.nearest(made[:16], data.train.pixels)
        pictures = {"sheet": (f"{name}.png", made, 8)}
        pictures["nearest"] = f"{name}-nearest.png", numpy.concatenate([made[:16], data.train.pixels[near]]), 16
        for file, images, columns in pictures.values():
            save_grid(folder / file, images.transpose(0, 2, 3, 1), columns)
        return {kind: file for kind, (file, _, _) in pictures.items()}


COMPARED = 256  # images whose nearest training image is looked for


def samples(model: Any, count: int) -> numpy.ndarray:
    """`count` images (n, c, h, w) of the model, as data sets have them."""
    made: numpy.ndarray = model.sample(count, seed=0).transpose(0, 3, 1, 2)
    return made
