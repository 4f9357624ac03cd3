"""Models small enough to compile in a test, and one compiled program that several files use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Built, Compiled, Graph, build, freeze
from needle import Tensor, nn

SIZE = 8
CARD = {
    "input": {
        "kind": "image",
        "channels": 3,
        "height": SIZE,
        "width": SIZE,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.3, 0.4],
    },
    "labels": ["cat", 'a "quoted" dog', "Bär", "\\slash", "bird"],
}  # fmt: skip


def conv_bn(a: int, b: int, k: int, s: int) -> nn.Module:
    return nn.Sequential(nn.Conv(a, b, k, s), nn.BatchNorm2d(b), nn.ReLU())


def small_net() -> Any:
    """The layers of ResNet9, on 8 x 8 images: maps shrink to 1 x 1, where taps are cut."""
    np.random.seed(3)
    model = nn.Sequential(
        conv_bn(3, 8, 3, 2),
        nn.Residual(nn.Sequential(conv_bn(8, 8, 3, 1))),
        conv_bn(8, 20, 3, 2),
        conv_bn(20, 16, 3, 2),
        nn.Residual(nn.Sequential(conv_bn(16, 16, 3, 1))),
        nn.Flatten(),
        nn.Linear(16, 16),
        nn.ReLU(),
        nn.Linear(16, 5),
    )
    for module in model._children():
        if isinstance(module, nn.BatchNorm2d):  # statistics as after training
            module.running_mean = Tensor(np.random.randn(module.dim).astype("float32"))
            module.running_var = Tensor(np.random.uniform(0.5, 2, module.dim).astype("float32"))
            module.weight = nn.Parameter(np.random.uniform(0.5, 2, module.dim).astype("float32"))
    return model


def images(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((batch, 3, SIZE, SIZE)).astype("float32")


@pytest.fixture(scope="session")
def model() -> Any:
    model = small_net()
    model.eval()  # running statistics stay as they were frozen
    return model


@pytest.fixture(scope="session")
def graph(model: Any) -> Graph:
    frozen = freeze(model, images(1), input_names=["image"], output_names=["logits"])
    return Graph(frozen.inputs, frozen.outputs, CARD)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compiled models of this run, apart from those of the user; its processes share them, so that one compiles."""
    with pytest.MonkeyPatch.context() as patch:
        base = tmp_path_factory.getbasetemp()
        home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "needle-home"
        home.mkdir(exist_ok=True)
        patch.setenv("NEEDLE_HOME", str(home))
        yield home


@pytest.fixture(scope="session")
def built(graph: Graph, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(graph, tmp_path_factory.mktemp("built"), name="small")


@pytest.fixture
def compiled(built: Built) -> Iterator[Compiled]:
    with Compiled(built.library, max_batch=4, threads=2) as opened:
        yield opened
