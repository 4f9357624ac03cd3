"""Eager training steps beside PyTorch: the same model, data, loss and optimizer, the same number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn as tnn
from torch.nn import functional as F

import needle as ndl
from bench.models import GPT, TorchGPT, TorchLSTM, TorchResidual, dawn_resnet9, dcgan, torch_resnet9
from bench.timing import interleaved, report
from needle import nn
from needle.backend_ndarray import ndarray_backend_cpu
from zoo.course.models import LanguageModel, ResNet9

THREADS = ndarray_backend_cpu.num_threads()
Step = Callable[[], Any]


def needle_step(model: nn.Module, optimizer: Any, x: np.ndarray, y: np.ndarray) -> Step:
    inputs, labels = (ndl.Tensor(a, device=ndl.cpu(), requires_grad=False) for a in (x, y))
    loss_fn = nn.SoftmaxLoss()

    def step() -> None:
        optimizer.reset_grad()
        out = model(inputs)
        loss_fn(out[0] if isinstance(out, tuple) else out, labels).backward()
        optimizer.step()

    return step


def torch_step(model: tnn.Module, optimizer: Any, x: np.ndarray, y: np.ndarray, last: bool = False) -> Step:
    """With `last`, the model and its inputs are in torch's channels-last memory format."""
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    if last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

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


def dawn(batch: int = 32, last: bool = True) -> tuple[Step, Step]:
    """The ResNet-9 of DAWNBench, SGD with Nesterov momentum; PyTorch in channels-last format, its faster one here."""
    x, y = np.random.randn(batch, 3, 32, 32).astype("float32"), np.random.randint(0, 10, batch)
    ours, peer = dawn_resnet9(nn, nn.Residual), dawn_resnet9(tnn, TorchResidual)
    settings = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4}
    return (
        needle_step(ours, ndl.optim.NesterovSGD(ours.parameters(), **settings), x, y),
        torch_step(peer, torch.optim.SGD(peer.parameters(), nesterov=True, **settings), x, y, last),
    )


def gan_step(lib: Any, make: Callable[[np.ndarray], Any], optimizers: Any, models: Any, batch: int) -> Step:
    """Discriminator on real images and on fakes, then generator: written once, both libraries have these names."""
    generator, discriminator = models
    images, noise = make(np.random.randn(batch, 3, 32, 32)), make(np.random.randn(batch, 100, 1, 1))
    ones, zeros, loss_fn = make(np.ones((batch, 1))), make(np.zeros((batch, 1))), lib.BCEWithLogitsLoss()

    def update(optimizer: Any, *losses: Any) -> None:
        for loss in losses:
            loss.backward()
        optimizer.step()

    def step() -> None:
        g_optimizer, d_optimizer, reset = optimizers
        reset(d_optimizer)
        fakes = generator(noise)
        real, fake = (loss_fn(discriminator(x), y) for x, y in ((images, ones), (fakes.detach(), zeros)))
        update(d_optimizer, real, fake)
        reset(g_optimizer)
        update(g_optimizer, loss_fn(discriminator(fakes), ones))

    return step


def gan(batch: int = 64, last: bool = True) -> tuple[Step, Step]:
    """DCGAN: one step of the discriminator and one of the generator, Adam."""
    ours, peer = dcgan(nn), dcgan(tnn)
    own = [ndl.optim.Adam(m.parameters(), lr=2e-4, beta1=0.5) for m in ours]
    others = [torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999)) for m in peer]
    layout = torch.channels_last if last else torch.contiguous_format

    def tensor(x: np.ndarray) -> torch.Tensor:
        y = torch.from_numpy(x.astype("float32"))
        return y.contiguous(memory_format=layout) if y.ndim == 4 else y

    for model in peer:
        model.to(memory_format=layout)
    return (
        gan_step(nn, lambda x: ndl.Tensor(x, requires_grad=False), (*own, lambda o: o.reset_grad()), ours, batch),
        gan_step(tnn, tensor, (*others, lambda o: o.zero_grad()), peer, batch),
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
    "DAWN ResNet-9, batch 32": (dawn, 7),
    "DCGAN 32 x 32, batch 64": (gan, 9),
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
