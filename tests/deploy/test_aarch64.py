"""The same sources on another kind of processor: compiled for aarch64 and run in an emulator, they give the same bits.

Needs a cross compiler and an emulator of user programs (Debian: g++-aarch64-linux-gnu and qemu-user).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from deploy import Built, Compiled, Graph, build, freeze
from deploy.compiler import C_FLAGS, FLAGS, LEAN, variants
from deploy.quantize import code_weights, quantize
from needle import nn
from needle.types import Type
from tests.deploy.conftest import images

CROSS, EMULATOR = "aarch64-linux-gnu-", "qemu-aarch64"
missing = [tool for tool in (CROSS + "g++", EMULATOR) if not shutil.which(tool)]
pytestmark = [pytest.mark.thorough, pytest.mark.skipif(bool(missing), reason=f"there is no {' or '.join(missing)}")]


def cross_compiled(built: Built, folder: Path) -> Path:
    """The static command of a model, for aarch64."""
    name, source = built.name, built.source.parent
    for part in (f"{name}.h", f"{name}.cpp", f"{name}_main.c", f"{name}_weights.S", f"{name}.weights"):
        shutil.copy(source / part, folder / part)
    compiler = CROSS + "g++"
    for flags, part in (((*FLAGS, *LEAN), f"{name}.cpp"), (C_FLAGS, f"{name}_main.c"), ((), f"{name}_weights.S")):
        subprocess.run([compiler, *flags, "-Wall", "-c", part, "-o", f"{part}.o"], cwd=folder, check=True)
    parts = [f"{name}.cpp.o", f"{name}_main.c.o", f"{name}_weights.S.o"]
    subprocess.run([compiler, "-static", *parts, "-pthread", "-lm", "-o", name], cwd=folder, check=True)
    return folder / name


def run(command: Path, *inputs: str) -> str:
    return subprocess.run([EMULATOR, command, *inputs], capture_output=True, text=True, check=True).stdout


def test_a_convolutional_network(built: Built, compiled: Compiled, tmp_path: Path) -> None:
    command = cross_compiled(built, tmp_path)
    said = run(command, "--self-test")
    assert said.startswith("self-test on native: 5 numbers") and said.endswith("equal\n")
    x = images(3)
    (tmp_path / "x").write_bytes(x.tobytes())
    assert built.executable is not None
    here = subprocess.run([built.executable, tmp_path / "x"], capture_output=True, text=True, check=True).stdout
    assert run(command, str(tmp_path / "x")) == here and here.count("cat") == 3  # labels with probabilities


def layers() -> dict[str, tuple[Any, Any]]:
    """Models with an example of what they take: one for each family of kernels."""
    np.random.seed(4)
    normed = nn.Sequential(nn.Linear(24, 40), nn.LayerNorm1d(40), nn.GELU(), nn.Linear(40, 7), nn.Tanh(), nn.Sigmoid())
    image = np.zeros((1, 3, 8, 8), "float32")
    return {
        "conv": (nn.Sequential(nn.Conv(3, 20, 3), nn.ReLU(), nn.Conv(20, 9, 3, stride=2), nn.Flatten()), image),
        "normed": (normed, np.zeros((1, 24), "float32")),
        "int8": (nn.Sequential(nn.Conv(3, 20, 3), nn.GELU(), nn.MaxPool2d(2), nn.Conv(20, 9, 3), nn.Flatten()), image),
        "codes": (nn.Sequential(nn.Linear(24, 40), nn.ReLU(), nn.Linear(40, 7)), np.zeros((1, 24), "float32")),
    }


@pytest.mark.parametrize("name", ["conv", "normed", "int8", "codes", "gpt"])
def test_every_family_of_kernels_gives_the_same_bits(name: str, cache: Path, tmp_path: Path) -> None:
    if name == "gpt":
        np.random.seed(0)
        model: Any = zoo.load("gpt-char", **zoo.entry("gpt-char").tiny.model)
        graph: Graph = freeze(model, Type(("batch", 5), "int32"))
        x = np.arange(10, dtype="int32").reshape(2, 5)
    else:
        model, example = layers()[name]
        graph = freeze(model, example)
        x = np.random.default_rng(1).standard_normal((3, *example.shape[1:])).astype("float32")
        graph = quantize(graph, {"input": x}) if name == "int8" else graph
        graph = code_weights(graph, "int4") if name == "codes" else graph
    made = build(graph, tmp_path / "here", name=name, levels=["v3"] if "v3" in variants() else None)
    (tmp_path / "there").mkdir()
    command = cross_compiled(made, tmp_path / "there")
    (tmp_path / "x").write_bytes(x.tobytes())
    found = np.array(run(command, str(tmp_path / "x")).split(), dtype="float32")
    expected = Compiled(made.library, made.weights, max_batch=len(x))(x)
    np.testing.assert_array_equal(found, np.asarray(expected).ravel())
