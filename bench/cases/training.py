"""Eager training steps: the same model, data, loss and optimizer in both libraries, the same number of threads.

PyTorch's stand beside it twice, eager and with the model behind torch.compile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import needle as ndl
from bench.case import Run, Sides
from bench.cases.data import pytorch, rng
from bench.cases.models import GPT, dawn_resnet9, dcgan, training_step
from needle import nn
from zoo.course.models import LanguageModel, ResNet9

Wrap = Callable[[Any], Any]  # what is done with each of PyTorch's models: nothing, or torch.compile


def beside_pytorch(ours: Run, build: Callable[[Wrap], Run]) -> Sides:
    """`build` gives PyTorch's step."""

    def compiled() -> Run:
        t = pytorch()
        step: Run = t.after_compiling(build(t.compiled))
        return step

    return Sides(ours, {"PyTorch": lambda: build(lambda model: model), "torch.compile": compiled})


def images(batch: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((batch, 3, 32, 32), np.float32), rng.integers(0, 10, batch)


def needle_step(model: nn.Module, optimizer: Any, x: np.ndarray, y: np.ndarray) -> Run:
    inputs, labels = (ndl.Tensor(a, device=ndl.cpu(), requires_grad=False) for a in (x, y))
    step = training_step(model, optimizer)
    return lambda: step(inputs, labels)


def torch_step(model: Any, optimizer: Any, x: np.ndarray, y: np.ndarray, channels_last: bool = False) -> Run:
    t = pytorch()
    inputs, labels, step = t.torch.from_numpy(x), t.torch.from_numpy(y), t.training_step(model, optimizer)
    if channels_last:
        inputs = inputs.contiguous(memory_format=t.torch.channels_last)
    return lambda: step(inputs, labels)


def resnet9(batch: int) -> Sides:
    """The course's ResNet9, Adam."""
    x, y = images(batch)
    model = ResNet9(device=ndl.cpu())

    def peer(wrap: Wrap) -> Run:
        from bench.torch_models import torch_resnet9

        peer = torch_resnet9()
        return torch_step(wrap(peer), pytorch().torch.optim.Adam(peer.parameters(), lr=1e-3), x, y)

    return beside_pytorch(needle_step(model, ndl.optim.Adam(model.parameters(), lr=1e-3), x, y), peer)


def dawn(batch: int) -> Sides:
    """The ResNet-9 of DAWNBench, SGD with Nesterov momentum; PyTorch in channels-last format, its faster one here."""
    x, y = images(batch)
    model, settings = dawn_resnet9(nn, nn.Residual), {"lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4}

    def peer(wrap: Wrap) -> Run:
        from bench.torch_models import TorchResidual

        torch = pytorch().torch
        peer = dawn_resnet9(torch.nn, TorchResidual).to(memory_format=torch.channels_last)
        return torch_step(wrap(peer), torch.optim.SGD(peer.parameters(), nesterov=True, **settings), x, y, True)

    return beside_pytorch(needle_step(model, ndl.optim.NesterovSGD(model.parameters(), **settings), x, y), peer)


def gan_step(lib: Any, make: Callable[[np.ndarray], Any], optimizers: Any, models: Any, batch: int) -> Run:
    """Discriminator on real images and on fakes, then generator: written once, both libraries have these names."""
    generator, discriminator = models
    real_images, noise = make(images(batch)[0]), make(rng.standard_normal((batch, 100, 1, 1), np.float32))
    ones, zeros = make(np.ones((batch, 1), np.float32)), make(np.zeros((batch, 1), np.float32))
    loss_fn = lib.BCEWithLogitsLoss()

    def update(optimizer: Any, *losses: Any) -> None:
        for loss in losses:
            loss.backward()
        optimizer.step()

    def step() -> None:
        g_optimizer, d_optimizer, reset = optimizers
        reset(d_optimizer)
        fakes = generator(noise)
        real, fake = (loss_fn(discriminator(x), y) for x, y in ((real_images, ones), (fakes.detach(), zeros)))
        update(d_optimizer, real, fake)
        reset(g_optimizer)
        update(g_optimizer, loss_fn(discriminator(fakes), ones))

    return step


def gan(batch: int) -> Sides:
    """DCGAN: one step of the discriminator and one of the generator, Adam; PyTorch in channels-last format."""
    models = dcgan(nn)
    own = [ndl.optim.Adam(m.parameters(), lr=2e-4, beta1=0.5) for m in models]
    ours = gan_step(nn, lambda x: ndl.Tensor(x, requires_grad=False), (*own, lambda o: o.reset_grad()), models, batch)

    def peer(wrap: Wrap) -> Run:
        torch = pytorch().torch
        peers = [m.to(memory_format=torch.channels_last) for m in dcgan(torch.nn)]
        adams = [torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999)) for m in peers]

        def tensor(x: np.ndarray) -> Any:
            y = torch.from_numpy(x)
            return y.contiguous(memory_format=torch.channels_last) if y.ndim == 4 else y

        return gan_step(torch.nn, tensor, (*adams, lambda o: o.zero_grad()), [wrap(m) for m in peers], batch)

    return beside_pytorch(ours, peer)


def words(vocabulary: int, batch: int, time: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, vocabulary, (time, batch)), rng.integers(0, vocabulary, time * batch)


def lstm(vocabulary: int, width: int, batch: int, time: int) -> Sides:
    """A language model of two LSTM layers, SGD."""
    x, y = words(vocabulary, batch, time)
    model = LanguageModel(width, vocabulary, width, num_layers=2, seq_model="lstm", seq_len=time, device=ndl.cpu())

    def peer(wrap: Wrap) -> Run:
        from bench.torch_models import TorchLSTM

        peer = TorchLSTM(vocabulary, width)
        return torch_step(wrap(peer), pytorch().torch.optim.SGD(peer.parameters(), lr=1e-3), x, y)

    return beside_pytorch(needle_step(model, ndl.optim.SGD(model.parameters(), lr=1e-3), x, y), peer)


def gpt(vocabulary: int, width: int, layers: int, heads: int, batch: int, time: int) -> Sides:
    """A Transformer language model over bytes, Adam."""
    x, y = words(vocabulary, batch, time)
    sizes = vocabulary, width, layers, heads, 4 * width, time
    model = GPT(*sizes)

    def peer(wrap: Wrap) -> Run:
        from bench.torch_models import TorchGPT

        peer = TorchGPT(*sizes)
        return torch_step(wrap(peer), pytorch().torch.optim.Adam(peer.parameters(), lr=1e-3), x, y)

    return beside_pytorch(needle_step(model, ndl.optim.Adam(model.parameters(), lr=1e-3), x, y), peer)
