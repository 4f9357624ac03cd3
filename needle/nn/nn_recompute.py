"""Activation checkpointing of a module."""

from __future__ import annotations

from typing import Any

from ..checkpointing import recompute
from .nn_basic import Module

__all__ = ["Recompute"]


class Recompute(Module):
    """y = module(x), x of any shape: during training what is computed in between is not kept but computed again.

    See `needle.recompute`. Raises NeedleError when the module gives anything but Tensors.
    """

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any) -> Any:
        return recompute(self.module, *inputs) if self.training else self.module(*inputs)
