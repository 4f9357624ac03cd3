"""Eager training steps beside PyTorch: the same model, data, loss and optimizer, the same number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn as tnn
from torch.nn import functional as F

import needle as ndl
from bench.timing import interleaved, report
from needle import nn
from needle.backend_ndarray import ndarray_backend_cpu
from zoo.course.models import LanguageModel, ResNet9

THREADS = ndarray_backend_cpu.num_threads()
Step = Callable[[], Any]


class ConvBN(tnn.Sequential):
    def __init__(self, i: int, o: int, k: int, s: int) -> None:
        super().__init__(tnn.Conv2d(i, o, k, s, k // 2), tnn.BatchNorm2d(o), tnn.ReLU())


class Residual(tnn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + x


def torch_resnet9() -> tnn.Module:
    return tnn.Sequential(
        ConvBN(3, 16, 7, 4), ConvBN(16, 32, 3, 2), Residual(ConvBN(32, 32, 3, 1), ConvBN(32, 32, 3, 1)),
        ConvBN(32, 64, 3, 2), ConvBN(64, 128, 3, 2), Residual(ConvBN(128, 128, 3, 1), ConvBN(128, 128, 3, 1)),
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


def needle_step(model: nn.Module, optimizer: Any, x: np.ndarray, y: np.ndarray) -> Step:
    inputs, labels = (ndl.Tensor(a, device=ndl.cpu(), requires_grad=False) for a in (x, y))
    loss_fn = nn.SoftmaxLoss()

    def step() -> None:
        optimizer.reset_grad()
        out = model(inputs)
        loss_fn(out[0] if isinstance(out, tuple) else out, labels).backward()
        optimizer.step()

    return step


def torch_step(model: tnn.Module, optimizer: Any, x: np.ndarray, y: np.ndarray) -> Step:
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()

    return step


def resnet9(batch: int = 128) -> tuple[Step, Step]:
    """The course's ResNet9, Adam."""
    x, y = np.random.randn(batch, 3, 32, 32).astype("float32"), np.random.randint(0, 10, batch)
    ours, peer = ResNet9(device=ndl.cpu()), torch_resnet9()
    return (
        needle_step(ours, ndl.optim.Adam(ours.parameters(), lr=1e-3), x, y),
        torch_step(peer, torch.optim.Adam(peer.parameters(), lr=1e-3), x, y),
    )


def lstm(vocabulary: int = 10_000, width: int = 200, batch: int = 20, time: int = 35) -> tuple[Step, Step]:
    """A language model of two LSTM layers, SGD."""
    x, y = np.random.randint(0, vocabulary, (time, batch)), np.random.randint(0, vocabulary, time * batch)
    ours = LanguageModel(width, vocabulary, width, num_layers=2, seq_model="lstm", seq_len=time, device=ndl.cpu())
    peer = TorchLSTM(vocabulary, width)
    return (
        needle_step(ours, ndl.optim.SGD(ours.parameters(), lr=1e-3), x, y),
        torch_step(peer, torch.optim.SGD(peer.parameters(), lr=1e-3), x, y),
    )


def gpt(
    vocabulary: int = 256, width: int = 384, layers: int = 6, heads: int = 6, batch: int = 8, time: int = 256
) -> tuple[Step, Step]:
    """A Transformer language model over bytes, Adam."""
    x, y = np.random.randint(0, vocabulary, (time, batch)), np.random.randint(0, vocabulary, time * batch)
    ours, peer = (make(vocabulary, width, layers, heads, 4 * width, time) for make in (GPT, TorchGPT))
    return (
        needle_step(ours, ndl.optim.Adam(ours.parameters(), lr=1e-3), x, y),
        torch_step(peer, torch.optim.Adam(peer.parameters(), lr=1e-3), x, y),
    )


CASES = {
    "ResNet9, batch 128": (resnet9, 25),
    "LSTM 2x200, vocabulary 10,000, batch 20, time 35": (lstm, 9),
    "GPT 6 layers, width 384, batch 8, time 256": (gpt, 3),
}


def main() -> None:
    torch.set_num_threads(THREADS)
    np.random.seed(0)
    torch.manual_seed(0)
    for name, (make, rounds) in CASES.items():
        ours, peer = interleaved(*make(), rounds=rounds)
        report(f"training step, {name}, {THREADS} threads", ours, peer, f"PyTorch {torch.__version__.split('+')[0]}")


if __name__ == "__main__":
    main()
