"""airnet: the convolutional network of the airbench speed records, with its frozen whitening layer.

Source: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, and its code of 2024-12, which trains by Muon.
"""

from __future__ import annotations

from typing import Any

import numpy

import needle as ndl
from needle import nn, ops

from ..recipes.airbench import AirbenchRecipe
from ..registry import Tiny, model
from .cifar10 import ABOUT, LIMITS

AT_ONCE = 500  # images whose windows are in memory together


class Whitening(nn.Module):
    """y = W x + b over windows of 2 x 2, W fixed: the outputs are uncorrelated and of one variance, each with its
    negative; x (B, C, H, W), y (B, 8 C, H - 1, W - 1). Only b is trained.
    """

    def __init__(self, channels: int = 3, device: Any = None, dtype: str = "float32") -> None:
        super().__init__()
        shape, outputs = (2, 2, channels), 8 * channels
        self.weight = ndl.init.zeros(*shape, outputs, device=device, dtype=dtype)
        self.bias = nn.Parameter(ndl.init.zeros(outputs, device=device, dtype=dtype))

    def fit(self, images: numpy.ndarray, eps: float = 5e-4) -> None:
        """W from the windows' covariance V diag(v) V^T: rows V^T / sqrt(v + eps) and their negatives.

        `images` (n, C, H, W) are prepared as `forward` takes them. In float64, and each row of V^T by its largest
        component's sign: a processor's own order of sums is lost when W is rounded, so W is the same on all of them.
        """
        rows, columns = images.shape[2] - 1, images.shape[3] - 1
        covariance = numpy.zeros((4 * images.shape[1],) * 2)
        for start in range(0, len(images), AT_ONCE):
            some = images[start : start + AT_ONCE].astype("float64")
            windows = [some[:, :, i : i + rows, j : j + columns] for i in (0, 1) for j in (0, 1)]
            patches = numpy.concatenate(windows, axis=1).transpose(1, 0, 2, 3).reshape(len(covariance), -1)
            covariance += patches @ patches.T
        values, vectors = numpy.linalg.eigh(covariance / (len(images) * rows * columns))
        vectors *= numpy.sign(numpy.take_along_axis(vectors, abs(vectors).argmax(axis=0)[None], axis=0))
        order = values.argsort()[::-1]
        half = vectors[:, order] / numpy.sqrt(values[order] + eps)
        weight = numpy.concatenate([half, -half], axis=1).reshape(self.weight.shape)
        self.weight.data = ndl.Tensor(weight, device=self.weight.device, dtype=self.weight.dtype, requires_grad=False)

    def forward(self, x: ndl.Tensor) -> ndl.Tensor:
        y = ops.conv(ops.permute(x, (0, 2, 3, 1)), self.weight, stride=1, padding=0)
        return ops.permute(y + ops.broadcast_to(self.bias, y.shape), (0, 3, 1, 2))


def conv(before: int, after: int, **options: Any) -> nn.Module:
    """A convolution of 3 x 3 without bias whose first outputs hand the inputs on, the others as they were drawn."""
    layer = nn.Conv(before, after, 3, bias=False, **options)
    weight = layer.weight.numpy().copy()
    weight[..., :before] = ndl.init.dirac(3, 3, before, after).numpy()[..., :before]
    layer.weight.data = ndl.Tensor(weight, device=layer.weight.device, dtype=layer.weight.dtype, requires_grad=False)
    return layer


class AirNet(nn.Module):
    """Images (B, 3, H, W) to logits (B, classes): whitening, three blocks of two convolutions, one linear layer.

    A block halves height and width after its first convolution; the last map is taken to its maximum over windows of
    3 x 3, which for images of 32 x 32 is all of it.
    """

    def __init__(
        self, widths: tuple[int, ...] = (64, 256, 256), classes: int = 10, device: Any = None, dtype: str = "float32"
    ) -> None:
        super().__init__()
        options = {"device": device, "dtype": dtype}
        self.whitening = Whitening(3, **options)
        layers: list[nn.Module] = [nn.GELU()]
        before = 24
        for width in widths:
            norms = [nn.BatchNorm2d(width, momentum=0.4, **options) for _ in range(2)]
            layers += [conv(before, width, **options), nn.MaxPool2d(2), norms[0], nn.GELU()]
            layers += [conv(width, width, **options), norms[1], nn.GELU()]
            before = width
        self.features = nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten())
        self.classifier = nn.Linear(before, classes, bias=False, **options)
        draws = ndl.init.randn(before, classes, std=1 / before, **options)
        self.classifier.weight.data = draws

    def forward(self, x: ndl.Tensor) -> ndl.Tensor:
        logits: ndl.Tensor = self.classifier(self.features(self.whitening(x)))
        return logits


@model(
    **ABOUT,
    recipe=AirbenchRecipe(),
    tiny=Tiny(model={"widths": (4, 8, 8)}, recipe={"epochs": 6, "batch": 32, "crop": 1}),
    limits=LIMITS.format(""),
)
def airnet(widths: tuple[int, ...] = (64, 256, 256), device: Any = None, dtype: str = "float32") -> AirNet:
    """The network of the airbench speed records: 1,972,504 parameters, 118 million multiply-adds."""
    return AirNet(tuple(widths), device=device, dtype=dtype)
