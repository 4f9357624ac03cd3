"""The models of the training cases: one definition for both libraries where their names agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import needle as ndl
from needle import nn


def training_step(model: nn.Module, optimizer: Any) -> Callable[[ndl.Tensor, ndl.Tensor], None]:
    """One step of training on a batch of inputs and labels, with cross entropy."""
    loss_fn = nn.SoftmaxLoss()

    def step(x: ndl.Tensor, y: ndl.Tensor) -> None:
        optimizer.reset_grad()
        out = model(x)
        loss_fn(out[0] if isinstance(out, tuple) else out, y).backward()
        optimizer.step()

    return step


class GPT(nn.Module):
    """Embedding, needle's Transformer with learned positions, linear head."""

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, hidden: int, time: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.transformer = nn.Transformer(
            width, hidden, layers, num_head=heads, dim_head=width // heads, sequence_len=time
        )
        self.linear = nn.Linear(width, vocabulary)

    def forward(self, ids: ndl.Tensor) -> tuple[ndl.Tensor, None]:
        x, _ = self.transformer(self.embedding(ids))
        return self.linear(x.reshape((x.shape[0] * x.shape[1], x.shape[2]))), None


def dawn_resnet9(lib: Any, residual: Any) -> Any:
    """The ResNet-9 of the DAWNBench entries for CIFAR-10, in the layers of `lib`, which is needle.nn or torch.nn."""

    def conv(i: int, o: int) -> list[Any]:
        return [lib.Conv2d(i, o, 3, padding=1, bias=False), lib.BatchNorm2d(o), lib.ReLU()]

    def block(width: int) -> Any:
        return residual(lib.Sequential(*conv(width, width), *conv(width, width)))

    return lib.Sequential(
        *conv(3, 64), *conv(64, 128), lib.MaxPool2d(2), block(128), *conv(128, 256), lib.MaxPool2d(2),
        *conv(256, 512), lib.MaxPool2d(2), block(512), lib.MaxPool2d(4), lib.Flatten(), lib.Linear(512, 10),
    )  # fmt: skip


def dcgan(lib: Any) -> tuple[Any, Any]:
    """Generator (100 numbers to 3 x 32 x 32) and discriminator of a DCGAN, in the layers of `lib`."""

    def up(i: int, o: int, *options: int) -> list[Any]:
        return [lib.ConvTranspose2d(i, o, 4, *options, bias=False), lib.BatchNorm2d(o), lib.ReLU()]

    def down(i: int, o: int) -> list[Any]:
        return [lib.Conv2d(i, o, 4, 2, 1, bias=False), lib.BatchNorm2d(o), lib.LeakyReLU(0.2)]

    generator = lib.Sequential(
        *up(100, 256), *up(256, 128, 2, 1), *up(128, 64, 2, 1),
        lib.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), lib.Tanh(),
    )  # fmt: skip
    discriminator = lib.Sequential(
        lib.Conv2d(3, 64, 4, 2, 1, bias=False), lib.LeakyReLU(0.2), *down(64, 128), *down(128, 256),
        lib.Conv2d(256, 1, 4, bias=False), lib.Flatten(),
    )  # fmt: skip
    return generator, discriminator
