"""PyTorch's twin of airnet's training: network, optimizers, schedule and loader, in channels-last format.

It is meant to be PyTorch at its best: batches made by whole-tensor operations, as in airbench's own code, fused SGD, no
gradient that nobody uses, and in Muon no more products of matrices than needle makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count

import numpy as np
import torch
from torch import nn as tnn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LinearLR

from zoo.recipes.airbench import AirbenchRecipe

FORMAT = torch.channels_last  # PyTorch's faster one here
AXES = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}  # of our weights, by their number, in PyTorch's order


def torch_airnet(arrays: Sequence[np.ndarray]) -> tnn.Sequential:
    """The network of these weights, the arrays of our state dict in their order, and of their dtype.

    The whitening is fixed, and so are the gains of the normalisations: for neither is a gradient computed.
    """
    whitening, before = tnn.Conv2d(3, 24, 2), 24
    layers: list[tnn.Module] = [whitening, tnn.GELU()]
    for width in [array.shape[-1] for array in arrays if array.ndim == 4][1::2]:
        norms = [tnn.BatchNorm2d(width, momentum=0.4) for _ in range(2)]
        layers += [tnn.Conv2d(before, width, 3, padding=1, bias=False), tnn.MaxPool2d(2), norms[0], tnn.GELU()]
        layers += [tnn.Conv2d(width, width, 3, padding=1, bias=False), norms[1], tnn.GELU()]
        before = width
    model = tnn.Sequential(*layers, tnn.MaxPool2d(3), tnn.Flatten(), tnn.Linear(before, 10, bias=False))
    model.to(getattr(torch, arrays[0].dtype.name), memory_format=FORMAT)
    for tensor, array in zip(held(model), arrays, strict=True):
        tensor.copy_(torch.from_numpy(array.transpose(AXES[array.ndim])))
    for layer in model:
        if layer is whitening or isinstance(layer, tnn.BatchNorm2d):
            layer.weight.requires_grad_(False)
    return model


def held(model: tnn.Module) -> list[torch.Tensor]:
    """What the arrays of our state dict become, in their order."""
    return [tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")]


class TorchMuon(torch.optim.Optimizer):
    """`needle.optim.Muon` with `normalized`, for the weights (out, in, k, k) of convolutions."""

    def __init__(self, params: Sequence[torch.Tensor], lr: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        for p in params:
            self.state[p]["u"] = torch.zeros_like(p)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for p in group["params"]:
                u = self.state[p]["u"].lerp_(p.grad, 1 - momentum)
                update = orthogonalized(p.grad.lerp(u, momentum).flatten(1))
                rate = lr * max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                p.mul_(len(p) ** 0.5 / (p.norm() + 1e-7)).sub_(update.view(p.shape), alpha=rate)


def orthogonalized(g: torch.Tensor) -> torch.Tensor:
    """Five Newton-Schulz steps as needle takes them: only the first and the last product touch the larger side."""
    if g.shape[0] > g.shape[1]:
        return orthogonalized(g.T).T
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm() + 1e-7)
    gram, total = x @ x.T, None
    for _ in range(5):
        step = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        step.diagonal().add_(a)
        total = step if total is None else step @ total
        gram = step @ gram @ step
    return total @ x


def airnet_step(
    model: tnn.Sequential, recipe: AirbenchRecipe, steps: int
) -> Callable[[torch.Tensor, torch.Tensor], float]:
    """One of `steps` updates by the recipe on images and labels; the loss before it."""
    convs = [p for p in model.parameters() if p.ndim == 4 and p.requires_grad]
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    optimizers: list[torch.optim.Optimizer] = [TorchMuon(convs, recipe.muon_lr, recipe.muon_momentum)]
    for params, lr in ((biases, recipe.bias_lr), ([model[-1].weight], recipe.head_lr)):
        settings = {"momentum": recipe.momentum, "weight_decay": recipe.shrink / lr, "nesterov": True, "fused": True}
        optimizers.append(torch.optim.SGD(params, lr, **settings))
    schedules = [LinearLR(each, start_factor=1.0, end_factor=0.0, total_iters=steps) for each in optimizers]

    def step(x: torch.Tensor, y: torch.Tensor) -> float:
        for each in optimizers:
            each.zero_grad()
        loss = F.cross_entropy(model(x), y, label_smoothing=recipe.label_smoothing)
        loss.backward()
        for each in (*optimizers, *schedules):
            each.step()
        return loss.item()

    return step


def augmented(
    images: np.ndarray, labels: np.ndarray, recipe: AirbenchRecipe
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Whole batches, epoch after epoch, of normalised images float32 (n, c, h, w), moved and mirrored.

    As in airbench's loader every image gets its side and its padding once, before the first epoch. A batch is then
    one indexing of the view that has all windows of all images; every other epoch mirrors it.
    """
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    side = torch.rand(len(x), 1, 1, 1) < 0.5
    padded = F.pad(torch.where(side, x.flip(-1), x), (recipe.crop,) * 4, mode="reflect")
    windows = padded.unfold(2, x.shape[2], 1).unfold(3, x.shape[3], 1)  # (n, c, shifts down, shifts right, h, w)

    def epochs() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for epoch in count():
            order = torch.randperm(len(y))
            for chosen in order[: len(y) // recipe.batch * recipe.batch].split(recipe.batch):
                top, left = torch.randint(2 * recipe.crop + 1, (2, len(chosen)))
                batch = windows[chosen, :, top, left]
                yield (batch.flip(-1) if epoch % 2 else batch).contiguous(memory_format=FORMAT), y[chosen]

    return epochs()
