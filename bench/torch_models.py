"""PyTorch's twins of the models whose definition differs between the two libraries."""

from __future__ import annotations

import torch
from torch import nn as tnn
from torch.nn import functional as F


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
