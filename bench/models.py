"""The models of the training benchmarks: one definition for both libraries where names agree, twins where not."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn as tnn
from torch.nn import functional as F

import needle as ndl
from needle import nn


class ConvBN(tnn.Sequential):
    def __init__(self, i: int, o: int, k: int, s: int) -> None:
        super().__init__(tnn.Conv2d(i, o, k, s, k // 2), tnn.BatchNorm2d(o), tnn.ReLU())


class TorchResidual(tnn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + x


def torch_resnet9() -> tnn.Module:
    return tnn.Sequential(
        ConvBN(3, 16, 7, 4), ConvBN(16, 32, 3, 2), TorchResidual(ConvBN(32, 32, 3, 1), ConvBN(32, 32, 3, 1)),
        ConvBN(32, 64, 3, 2), ConvBN(64, 128, 3, 2), TorchResidual(ConvBN(128, 128, 3, 1), ConvBN(128, 128, 3, 1)),
        tnn.Flatten(), tnn.Linear(128, 128), tnn.ReLU(), tnn.Linear(128, 10),
    )  # fmt: skip


class TorchLSTM(tnn.Module):
    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = tnn.Embedding(vocabulary, width)
        self.lstm = tnn.LSTM(width, width, num_layers=2)
        self.linear = tnn.Linear(width, vocabulary)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.linear(self.lstm(self.embedding(ids))[0]).flatten(0, 1)


class TorchBlock(tnn.Module):
    """needle's TransformerLayer: queries, keys and values normalised apart, projected without biases."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = tnn.ModuleList(tnn.LayerNorm(width) for _ in range(3))
        self.projections = tnn.ModuleList(tnn.Linear(width, width, bias=False) for _ in range(4))
        layers = tnn.LayerNorm(width), tnn.Linear(width, hidden), tnn.ReLU(), tnn.Linear(hidden, width)
        self.feed = tnn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape
        q, k, v = (
            project(norm(x)).view(batch, time, self.heads, -1).transpose(1, 2)
            for project, norm in zip(list(self.projections)[:3], self.norms, strict=True)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projections[3](mixed.transpose(1, 2).reshape(batch, time, width))
        return x + self.feed(x)


class TorchGPT(tnn.Module):
    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, hidden: int, time: int) -> None:
        super().__init__()
        self.embedding, self.positions = tnn.Embedding(vocabulary, width), tnn.Embedding(time, width)
        self.blocks = tnn.Sequential(*[TorchBlock(width, heads, hidden) for _ in range(layers)])
        self.linear = tnn.Linear(width, vocabulary)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:  # (time, batch), as needle's language models take them
        x = self.embedding(ids.T) + self.positions(torch.arange(len(ids)))
        return self.linear(self.blocks(x).transpose(0, 1)).flatten(0, 1)


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
