"""What the peers of the cases are built with: PyTorch, and arrays of ours as its tensors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # in this process: idle workers would stay beside it

import torch
from torch.nn import functional as F

from needle.backend_ndarray import NDArray, ndarray_backend_cpu

torch.manual_seed(0)
torch.set_num_threads(ndarray_backend_cpu.num_threads())
grad = torch.autograd.grad


def tensor(x: NDArray) -> torch.Tensor:
    """The same numbers."""
    return torch.from_numpy(x.numpy())


def leaves(*arrays: NDArray) -> list[torch.Tensor]:
    """The same numbers, wanting a gradient."""
    return [tensor(x).requires_grad_() for x in arrays]


def images(x: NDArray) -> torch.Tensor:
    """Images (N, H, W, C) as (N, C, H, W) in torch's channels-last memory format, its fast one."""
    return tensor(x).permute(0, 3, 1, 2)


def training_step(model: Any, optimizer: Any) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """One step of training on a batch of inputs and labels, with cross entropy."""

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def compiled(model: Any) -> Any:
    """The model behind torch.compile with its default backend, inductor; it compiles at its first calls.

    As a whole, or those calls raise: a model of which nothing is compiled would be the eager one once more.
    """
    return torch.compile(model, backend="inductor", fullgraph=True)


def after_compiling(step: Callable[[], Any]) -> Callable[[], Any]:
    """The step, when calling it compiles nothing any more: the first calls, forward and backward, do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            step()
    return step
