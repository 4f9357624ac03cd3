"""CUDA programs: generated, compiled for the emulator, and compared with the C++ program of the same graph."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle as ndl
import zoo
from deploy import Compiled, EmitError, Graph, Instant, freeze
from deploy.build_cuda import build_cuda, program_for_cuda
from deploy.cli import main
from deploy.coded_weights import FORMATS
from deploy.compare import relative_error
from deploy.compiler import compiler
from deploy.errors import BuildError
from deploy.generate import weights_file
from deploy.print_cuda import flags, generate_cuda
from deploy.quantize import code_weights
from needle import nn

SIMT = Path(__file__).parent / "simt.h"
EMULATE = [
    "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-march=native", "-ffp-contract=off",
    "-fno-math-errno", "-fPIC", "-shared", "-pthread", "-x", "c++", "-include", str(SIMT),
]  # fmt: skip
everything = pytest.mark.skipif(not ndl.cuda().enabled(), reason="make cuda-check runs it")


def emulated(graph: Graph, folder: Path, *more: Path, **options: Any) -> Compiled:
    """The graph's CUDA program, whose kernels run on the processor, and more sources in its library."""
    program = program_for_cuda(graph)
    for name, data in generate_cuda(program, "model").files.items():
        (folder / name).write_bytes(data)
    (folder / "model.weights").write_bytes(weights_file(program))
    subprocess.run([*compiler(), *EMULATE, "model.cu", *more, "-o", "libmodel.so"], cwd=folder, check=True)
    return Compiled(folder / "libmodel.so", folder / "model.weights", **options)


def example(model: Any, draw: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Two rows of what a model takes."""
    given = model.example()
    rows = [x.numpy() for x in (given if isinstance(given, tuple) else (given,))]
    whole = any(isinstance(m, nn.Embedding) for m in model._children())
    made = [draw.integers(0, 2, (2, *x.shape[1:])) if whole else draw.standard_normal((2, *x.shape[1:])) for x in rows]
    return tuple(x.astype(row.dtype) for x, row in zip(made, rows, strict=True))


def zoo_model(name: str, **options: Any) -> Any:
    np.random.seed(0)
    model = zoo.load(name, **options)
    model.eval()
    return model


SOON = "resnet9"  # without what runs everything
NAMES = [pytest.param(name, marks=pytest.mark.thorough if name == SOON else everything) for name in zoo.names()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::zoo.UntrainedWarning")
def test_a_model_answers_as_its_program_for_the_processor(name: str, tmp_path: Path) -> None:
    model = zoo_model(name, **(zoo.entry(name).tiny.model if name.startswith(("gpt", "lstm")) else {}))
    graph, given = freeze(model, model.example()), example(model, np.random.default_rng(1))
    found, expected = emulated(graph, tmp_path, max_batch=2), Instant(graph, max_batch=2)
    assert found.isa == "cuda"
    assert relative_error(found(*given), expected(*given)) < 1e-5


@pytest.mark.thorough
def test_decoding_with_a_cache_keeps_its_state_between_calls(tmp_path: Path) -> None:
    model = zoo_model("gpt-char", **zoo.entry("gpt-char").tiny.model)
    step, given, options = model.decoding(slots=3)
    graph = freeze(step, given, **options)
    found, expected = emulated(graph, tmp_path, max_batch=2), Instant(graph, max_batch=2)
    for ids, position in (([[3, 1, 4], [1, 5, 9]], 0), ([[2], [6]], 3)):
        call = {
            "ids": np.array(ids, "int32"), "slot": np.array([2, 0], "int32"),
            "position": np.array([position] * 2, "int32"),
        }  # fmt: skip
        assert relative_error(found.run(**call)["logits"], expected.run(**call)["logits"]) < 1e-5
    for name, state in found.state.items():
        assert relative_error(state, expected.state[name]) < 1e-5


@pytest.mark.parametrize("format", [pytest.param("int4", marks=pytest.mark.thorough), *(
    pytest.param(each, marks=everything) for each in FORMATS if each != "int4")])  # fmt: skip
def test_weights_in_fewer_bits_are_decoded(format: str, tmp_path: Path) -> None:
    np.random.seed(0)
    model = nn.Sequential(nn.Linear(70, 130), nn.ReLU(), nn.Linear(130, 19, bias=False))
    graph = code_weights(freeze(model, np.ones((1, 70))), format)
    assert [call.kernel for call in program_for_cuda(graph).calls] == ["coded_linear"] * 2
    x = np.random.default_rng(1).standard_normal((5, 70)).astype("float32")
    found, expected = emulated(graph, tmp_path, max_batch=5), Instant(graph, max_batch=5)
    assert relative_error(found(x), expected(x)) < 1e-5


def test_programs_are_exact_and_carry_no_other_products() -> None:
    program = program_for_cuda(freeze(nn.Sequential(nn.Linear(3, 2)), ndl.Tensor(np.ones((1, 3)))))
    text = generate_cuda(program, "model").files["model.cu"].decode()
    assert "WideTile" in text and not any(word in text for word in ("WideMma", "product_precision", "ND_DEVICE"))


def test_kernels_that_devices_lack_are_refused_by_name() -> None:
    class Half(nn.Module):
        def forward(self, x: Any) -> Any:
            return ndl.cast(x, "int32")

    with pytest.raises(EmitError, match=r"CUDA programs have no kernel map_elements yet"):
        generate_cuda(program_for_cuda(freeze(Half(), ndl.Tensor(np.ones((1, 3))))), "model")


def test_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = freeze(nn.Sequential(nn.Linear(3, 2)), ndl.Tensor(np.ones((1, 3))))
    graph.save(tmp_path / "m.nd")
    monkeypatch.setenv("NVCC", "no-such-nvcc")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert main(["build", str(tmp_path / "m.nd"), "--target", "cuda"]) == 1
    assert "no CUDA compiler: 'no-such-nvcc' was not found" in capsys.readouterr().err
    with pytest.raises(BuildError, match=r"architectures are written as in sm_75, .* got volta"):
        build_cuda(graph, tmp_path, arches=["volta"])


def test_code_for_each_architecture_and_ptx_of_the_newest() -> None:
    assert flags(["sm_80", "sm_120", "sm_90"]) == [
        "-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_120,code=sm_120",
        "-gencode=arch=compute_90,code=sm_90", "-gencode=arch=compute_120,code=compute_120",
    ]  # fmt: skip
