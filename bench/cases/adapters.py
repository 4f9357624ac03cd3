"""Training an adapter (LoRA) of a language model beside training all of it, and beside PEFT at the same rank.

Queries and values are adapted, as in Hu et al. 2021. Programs come in two stages: what imports, and what builds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import needle as ndl
from bench import memory
from bench.case import Run, Sides
from bench.cases.data import pytorch
from bench.cases.models import GPT
from bench.cases.training import torch_step, words
from needle import nn
from needle.nn import lora

Build = Callable[[], Run]


def needle_step(
    rank: int, vocabulary: int, width: int, layers: int, heads: int, batch: int, time: int, recomputed: bool = False
) -> Build:
    """A step of Adam on an adapter of this rank or, with 0, on all parameters; layers may be `recomputed`."""

    def build() -> Run:
        x, y = words(vocabulary, batch, time)
        model = GPT(vocabulary, width, layers, heads, 4 * width, time)
        if rank:
            lora.add(model, rank, 2 * rank, targets=["*.q_projection", "*.v_projection"])
        if recomputed:
            model.transformer.layers = [nn.Recompute(layer) for layer in model.transformer.layers]
        loss, adam = nn.SoftmaxLoss(), ndl.optim.Adam(nn.trainable_parameters(model), lr=1e-3)
        step = ndl.TrainStep(model, lambda out, labels: loss(out[0], labels), adam)
        inputs, labels = (ndl.Tensor(a, device=ndl.cpu(), requires_grad=False) for a in (x, y))
        return lambda: step(inputs, labels)

    return build


def peft_step(rank: int, vocabulary: int, width: int, layers: int, heads: int, batch: int, time: int) -> Build:
    """The same with PEFT and PyTorch."""
    import peft

    from bench.torch_models import TorchGPT

    torch = pytorch().torch

    def build() -> Run:
        x, y = words(vocabulary, batch, time)
        config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=r".*\.projections\.[02]")
        model = peft.get_peft_model(TorchGPT(vocabulary, width, layers, heads, 4 * width, time), config)
        learning = [p for p in model.parameters() if p.requires_grad]
        return torch_step(model, torch.optim.Adam(learning, lr=1e-3), x, y)

    return build


def step(rank: int, *sizes: int) -> Sides:
    """The time of a step."""
    peers = {"all parameters": lambda: needle_step(0, *sizes)(), "PEFT": lambda: peft_step(rank, *sizes)()}
    return Sides(needle_step(rank, *sizes)(), peers)


def taken(make: str, rank: int, *sizes: int) -> Any:
    """The memory that model, optimizer and steps take."""
    return partial(memory.peak, f"adapters.{make}", rank, *sizes)


def step_memory(rank: int, *sizes: int) -> Sides:
    """The memory beside training all parameters, and beside PEFT."""

    def peer() -> Run:
        import peft  # noqa: F401  (whoever lacks it gets that row's note)

        return taken("peft_step", rank, *sizes)

    peers: dict[str, Build] = {"all parameters": lambda: taken("needle_step", 0, *sizes), "PEFT": peer}
    return Sides(taken("needle_step", rank, *sizes), peers, unit="B")


def recomputed_memory(rank: int, *sizes: int) -> Sides:
    """The memory where layers are computed again for their gradients, beside training all parameters without that."""
    peers: dict[str, Build] = {"all parameters": lambda: taken("needle_step", 0, *sizes)}
    return Sides(taken("needle_step", rank, *sizes, True), peers, unit="B")
