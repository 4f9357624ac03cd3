"""One update of an optimizer, beside torch's fused ones."""

from __future__ import annotations

from typing import Any

from bench.case import Run, Sides
from bench.cases.data import full, k, normal, pytorch
from needle.backend_ndarray import NDArray


def adam(size: int, count: int = 1) -> Sides:
    """`count` parameters of `size` elements."""
    p, g = ([normal(size) for _ in range(count)] for _ in range(2))
    m, v = ([full(0.0, size) for _ in range(count)] for _ in range(2))
    settings = {"lr": 1e-3, "fused": True}
    return Sides(lambda: k.adam_step(p, g, m, v, 1, 1e-3), {"PyTorch": lambda: torch_step("Adam", p, g, settings)})


def nesterov(size: int) -> Sides:
    p, g, v = [normal(size)], [normal(size)], [full(0.0, size)]
    settings = {"lr": 1e-3, "momentum": 0.9, "nesterov": True, "fused": True}
    return Sides(lambda: k.momentum_step(p, g, v, 1e-3, 0.9), {"PyTorch": lambda: torch_step("SGD", p, g, settings)})


def torch_step(kind: str, params: list[NDArray], grads: list[NDArray], settings: dict[str, Any]) -> Run:
    t = pytorch()
    tensors = t.leaves(*params)
    for x, g in zip(tensors, grads, strict=True):
        x.grad = t.tensor(g)
    step: Run = getattr(t.torch.optim, kind)(tensors, **settings).step
    return step
