"""Residual networks for small images: the course's ResNet9, ResNet-20, and the ResNet-9 of the DAWNBench races."""

from __future__ import annotations

from typing import Any

import numpy

import needle as ndl
from needle import nn, ops
from needle.errors import SettingError
from needle.optim.settings import whole

from ..course.models import ResNet9
from ..recipes.muon import MuonRecipe
from ..registry import Tiny, model
from .cifar10 import ABOUT, LIMITS


@model(
    **ABOUT,
    recipe=MuonRecipe(),
    tiny=Tiny(recipe={"epochs": 5, "batch": 32, "crop": 1, "flip": 0.0}),
    limits=LIMITS.format("; small shifts can change the answer, for its first layer has stride 4"),
)
def resnet9(device: Any = None, dtype: str = "float32") -> ResNet9:
    """The course's ResNet9: 431,946 parameters, about half a million useful multiply-adds for one image."""
    return ResNet9(device=device, dtype=dtype)


def conv_bn(in_channels: int, out_channels: int, stride: int = 1, **options: Any) -> list[nn.Module]:
    """batch_norm(conv(x)) with windows of 3 x 3; the convolution needs no bias, the normalisation has one."""
    conv = nn.Conv(in_channels, out_channels, 3, stride=stride, bias=False, **options)
    return [conv, nn.BatchNorm2d(out_channels, **options)]


class Shortcut(nn.Module):
    """y[b, c, i, j] = x[b, c, i stride, j stride], and 0 in the channels that x lacks: no parameters.

    It is a 1 x 1 convolution with the identity matrix. Source: He et al. 2015, section 4.2, option A.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, device: Any, dtype: str) -> None:
        super().__init__()
        self.identity = numpy.eye(in_channels, out_channels)[None, None]
        self.stride, self.device, self.dtype = stride, device, dtype

    def forward(self, x: ndl.Tensor) -> ndl.Tensor:
        weight = ndl.Tensor(self.identity, device=self.device, dtype=self.dtype, requires_grad=False)
        return ops.permute(ops.conv(ops.permute(x, (0, 2, 3, 1)), weight, stride=self.stride, padding=0), (0, 3, 1, 2))


class BasicBlock(nn.Module):
    """y = relu(f(x) + shortcut(x)), f two convolutions, each with batch normalisation, the first with relu."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, **options: Any) -> None:
        super().__init__()
        first, second = (
            conv_bn(in_channels, out_channels, stride, **options),
            conv_bn(out_channels, out_channels, **options),
        )
        self.function = nn.Sequential(*first, nn.ReLU(), *second)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else Shortcut(in_channels, out_channels, stride, **options)

    def forward(self, x: ndl.Tensor) -> ndl.Tensor:
        return ops.relu(self.function(x) + self.shortcut(x))


class CifarResNet(nn.Module):
    """Images (B, channels, H, W) to logits (B, classes): 6 blocks + 2 layers, a stage of `blocks` for each of `widths`.

    A stage after the first halves height and width. Raises SettingError for a count below 1.
    Source: He et al., "Deep residual learning for image recognition", 2015, section 4.2; `blocks` = 3, 5, 7, 9, 18 are
    its ResNet-20, 32, 44, 56 and 110.
    """

    def __init__(
        self, blocks: int = 3, widths: tuple[int, ...] = (16, 32, 64), classes: int = 10, channels: int = 3,
        device: Any = None, dtype: str = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        counts = {f"widths[{i}]": x for i, x in enumerate(widths)} | {"channels": channels}
        whole("CifarResNet", blocks=blocks, classes=classes, **counts)
        options = {"device": device, "dtype": dtype}
        layers = [*conv_bn(channels, widths[0], **options), nn.ReLU()]
        before = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(BasicBlock(before, width, stride, **options))
                before = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, classes, **options)

    def forward(self, x: ndl.Tensor) -> ndl.Tensor:
        logits: ndl.Tensor = self.classifier(self.pooled(x))
        return logits

    def pooled(self, x: ndl.Tensor) -> ndl.Tensor:
        """The features (B, widths[-1]) that the linear layer reads: the mean of the last maps."""
        x = self.features(x)
        _, _, height, width = x.shape
        return ops.summation(x, (2, 3)) / (height * width)


@model(
    **ABOUT,
    recipe=MuonRecipe(epochs=40, crop=4, label_smoothing=0.0, weight_decay=0.1),
    tiny=Tiny(
        model={"blocks": 1, "widths": (4, 8, 8)},
        recipe={"epochs": 6, "batch": 32, "crop": 1, "flip": 0.0},
    ),
    limits=LIMITS.format(""),
)
def resnet20(
    blocks: int = 3, widths: tuple[int, ...] = (16, 32, 64), device: Any = None, dtype: str = "float32"
) -> CifarResNet:
    """ResNet-20 of He et al. 2015 with shortcuts of option A: 269,722 parameters, 41 million multiply-adds."""
    return CifarResNet(blocks, tuple(widths), device=device, dtype=dtype)


class DawnResNet9(nn.Module):
    """Images (B, 3, 32, 32) to logits (B, classes) in eight convolutions, of `widths` channels, and a linear layer.

    Source: Page, "How to train your ResNet", 2018, https://github.com/davidcpage/cifar10-fast. The logits are
    multiplied by `scale`, as there. Raises SettingError for other than four widths, or a count below 1.
    """

    def __init__(
        self, widths: tuple[int, ...] = (64, 128, 256, 512), classes: int = 10, scale: float = 0.125,
        device: Any = None, dtype: str = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        if len(widths) != 4:
            raise SettingError(f"[DawnResNet9] needs four widths, got {widths}")
        whole("DawnResNet9", classes=classes, **{f"widths[{i}]": x for i, x in enumerate(widths)})
        options = {"device": device, "dtype": dtype}

        def layer(before: int, after: int) -> nn.Module:
            return nn.Sequential(*conv_bn(before, after, **options), nn.ReLU())

        def pair(width: int) -> nn.Module:
            return nn.Residual(nn.Sequential(layer(width, width), layer(width, width)))

        first, second, third, fourth = widths
        self.features = nn.Sequential(
            layer(3, first),
            layer(first, second), nn.MaxPool2d(2), pair(second),
            layer(second, third), nn.MaxPool2d(2),
            layer(third, fourth), nn.MaxPool2d(2), pair(fourth),
            nn.MaxPool2d(4), nn.Flatten(),
        )  # fmt: skip
        self.classifier = nn.Linear(fourth, classes, bias=False, **options)
        self.scale = scale

    def forward(self, x: ndl.Tensor) -> ndl.Tensor:
        logits: ndl.Tensor = self.classifier(self.features(x)) * self.scale
        return logits


@model(
    name="resnet9-dawn",
    **ABOUT,
    recipe=MuonRecipe(epochs=10, batch=512, crop=4),
    tiny=Tiny(
        model={"widths": (4, 8, 8, 16)},
        recipe={"epochs": 6, "batch": 32, "crop": 1, "flip": 0.0},
    ),
    limits=LIMITS.format(""),
    withheld="13 MB more would exceed the 35 MB of weights that the package may hold",
)
def resnet9_dawn(
    widths: tuple[int, ...] = (64, 128, 256, 512), device: Any = None, dtype: str = "float32"
) -> DawnResNet9:
    """Page's ResNet-9 of the DAWNBench races: 6,573,120 parameters, 379 million multiply-adds."""
    return DawnResNet9(tuple(widths), device=device, dtype=dtype)
