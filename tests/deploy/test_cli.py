"""needle-deploy from freezing to running, the command it builds, and the C interface used from C."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploy import BuildError, Built, Compiled, Graph, build
from deploy.build import find
from deploy.cli import main
from deploy.compare import random_inputs
from deploy.compiler import compiler, variants
from deploy.image import load_image
from deploy.ir import Input, Node, apply
from deploy.lower import lower
from deploy.passes import optimize
from deploy.print_main import main_program
from needle import ops
from needle.sizes import dim
from needle.types import Type
from tests.deploy.conftest import CARD, SIZE, images

COMPILER = Path(__file__).with_name("empty_compiler.py")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(5).integers(0, 256, (SIZE, SIZE, 3), dtype="uint8")
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    Image.fromarray(pixels).save(tmp_path / "picture.ppm")
    return tmp_path / "picture.png"


@pytest.fixture
def path(graph: Graph, tmp_path: Path, built: Built) -> Path:
    """The graph as a file; `built` has put its program into the cache."""
    graph.save(tmp_path / "small.nd")
    return tmp_path / "small.nd"


@pytest.fixture
def package(model: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a zoo's `load`."""
    module = types.ModuleType("shelf")

    def load(name: str, pretrained: bool) -> Any:
        model.card = CARD
        return {"small": model}[name]

    module.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shelf", module)
    return "shelf:small"


def test_freeze_inspect_verify(package: str, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frozen = tmp_path / "frozen" / "small.nd"
    frozen.parent.mkdir()
    assert main(["freeze", package, "-o", str(frozen)]) == 0
    assert frozen.read_bytes() == path.read_bytes()
    assert main(["inspect", str(path)]) == 0
    assert "BatchNormInference" in capsys.readouterr().out
    assert main(["inspect", str(path), "--optimized"]) == 0
    text = capsys.readouterr().out
    assert "FusedConv" in text and "BatchNorm" not in text and "bytes of weights" in text
    assert main(["verify", str(path), "--model", package]) == 0
    text = capsys.readouterr().out
    assert "eager module" in text and text.splitlines()[-1].startswith("equal")


def test_verify_fails_when_the_model_is_another(package: str, path: Path, model: Any) -> None:
    bias = model.modules[-1].bias
    kept = bias.numpy().copy()
    bias.data = type(bias)(kept + 0.01)
    try:
        assert main(["verify", str(path), "--model", package]) == 1
    finally:
        bias.data = type(bias)(kept)


def test_build_writes_the_files_and_the_second_time_takes_them_from_the_cache(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["build", str(path), "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "from the cache" in text and "bytes per item" in text
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"libsmall.so", "small", "small.h", "small.cpp", "small.weights"} <= names
    source = (tmp_path / "out" / "small.cpp").read_text()
    assert '#include "base.h"' not in source and str(tmp_path) not in source
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = find(Graph.load(path), name="small")
    assert found is not None and found.library.is_file() and found.weights.is_file()
    assert find(Graph.load(path), name="other") is None


def test_run_prints_labels(path: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(path), str(picture), "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and float(lines[0].split()[-1]) >= float(lines[1].split()[-1])
    np.save(tmp_path / "x.npy", images(2))
    assert main(["run", str(path), str(tmp_path / "x.npy")]) == 0
    assert main(["bench", str(path), "--seconds", "0.01", "--batch", "2", "--threads", "2"]) == 0
    assert "microseconds per run" in capsys.readouterr().out
    assert main(["bench", str(path), "--seconds", "0.01", "--by-op"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if "multiply-adds" in line and line.endswith("call"))
    assert "conv" in lines[first + 1] and "linear" in lines[-2] and lines[-1].endswith("in all")
    assert main(["bench", str(path), "--seconds", "0.01", "--by-op", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["multiply_adds_per_second"] > 1e8 and facts["bytes_per_second"] > 1e7
    for call in facts["calls"]:
        assert call["microseconds"] > 0 and call["bytes"] > 0 and call["roofline_microseconds"] > 0


def test_open_sizes_stay_within_their_bounds(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch of 2 to 4, and a size of 8 or more, as an imported model may have it."""
    x = Node(Input("x"), (), Type((dim("batch", 3, 2, 4), dim("time", 9, 8))))
    graph = Graph((x,), (("y", apply(ops.ReLU(), x)),))
    assert [y.shape for y in random_inputs(graph, 9).values()] == [(4, 8)]
    assert "kTestSizes[] = {2, 8}" in main_program(lower(optimize(graph)), "net").decode()
    graph.save(tmp_path / "net.nd")
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "net.nd"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[::2]] == ["batch 2", "batch 4", "equal"]
    assert main(["bench", "net.nd", "--seconds", "0.01", "--by-op"]) == 0
    assert capsys.readouterr().out.startswith("batch 2, ")
    np.save("x.npy", np.ones((3, 20), "float32"))
    assert main(["run", "net.nd", "x.npy"]) == 0
    assert capsys.readouterr().out.splitlines() == [" ".join("1" * 20)] * 3


MISTAKES = {
    "no such file": (["inspect", "nothing.nd"], "nothing.nd"),
    "not a .nd file": (["inspect", "picture.png"], "end of file"),
    "not an image": (["run", "small.nd", "small.nd"], "is not an image"),
    "an array of the wrong shape": (["run", "small.nd", "wrong.npy"], "must have shape"),
    "not an array": (["run", "small.nd", "broken.npy"], "not a .npy file"),
    "an empty array file": (["run", "small.nd", "empty.npy"], "not a .npy file of numbers: it is damaged"),
    "an array that is not there": (["run", "small.nd", "huge.npy"], "not a .npy file of numbers: it is damaged"),
    "an archive of arrays": (["run", "small.nd", "archive.npy"], "not a .npy file of numbers: it is an archive"),
    "no package": (["freeze", "nowhere:resnet9", "-o", "x.nd"], "nowhere"),
    "a package that cannot load": (["freeze", "math:x", "-o", "x.nd"], "math"),
    "no colon": (["freeze", "resnet9", "-o", "x.nd"], "package:name"),
    "a folder that is not there": (["freeze", "shelf:small", "-o", "missing/x.nd"], "missing"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_one_line_and_status_1(
    arguments: list[str], message: str, path: Path, picture: Path, package: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(path.parent)
    np.save("wrong.npy", images(1)[0])
    Path("broken.npy").write_bytes(b"no")
    Path("empty.npy").touch()
    claims = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + b"\n"
    Path("huge.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(claims).to_bytes(2, "little") + claims)
    np.savez("archive.npz", x=images(1))
    Path("archive.npz").rename("archive.npy")
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error and error.startswith(f"needle-deploy {arguments[0]}: error: [") and error.count("\n") == 1


def test_a_missing_or_failing_compiler_is_named(graph: Graph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    with pytest.raises(BuildError, match=r"'no-such-compiler' was not found; install .*, or set CXX"):
        build(graph)
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(BuildError, match="the C\\+\\+ compiler 'false' failed"):
        build(graph)
    assert list((tmp_path / "compiled").iterdir()) == []


def test_the_command_reads_images_and_numbers(built: Built, picture: Path, compiled: Compiled, tmp_path: Path) -> None:
    x = load_image(picture, CARD)
    run = subprocess.run([built.executable, picture.with_suffix(".ppm")], capture_output=True, text=True, check=True)
    likely = np.exp(compiled(x)[0].astype(float))
    order = np.argsort(-likely)
    labels, numbers = zip(*(line.rsplit(maxsplit=1) for line in run.stdout.splitlines()), strict=True)
    assert list(labels) == [CARD["labels"][i] for i in order]  # type: ignore[index]
    np.testing.assert_allclose(np.array(numbers, dtype=float), likely[order] / likely.sum(), atol=1e-4)
    (tmp_path / "x.raw").write_bytes(images(3).tobytes())
    run = subprocess.run([built.executable, tmp_path / "x.raw"], capture_output=True, text=True, check=True)
    assert len(run.stdout.splitlines()) == 15
    wrong = {
        "missing": b"",
        "short": b"\0" * 8,
        "odd": b"\0" * 7,
        "cut": b"P6 8 8 255\n",
        "large": b"P6 9 8 255\n",
        "text": b"P6 x",
    }
    for name, data in wrong.items():
        if name != "missing":
            (tmp_path / name).write_bytes(data)
        run = subprocess.run([built.executable, tmp_path / name], capture_output=True, text=True)
        assert run.returncode == 1 and run.stderr.startswith("small: "), name
    assert subprocess.run([built.executable], capture_output=True).returncode == 2


@pytest.mark.skipif(not variants(), reason="one instruction set, which cannot be chosen")
@pytest.mark.parametrize("isa", ["v9", "v", "2", "v33"])
def test_an_instruction_set_that_there_is_not_is_refused(isa: str, built: Built, tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(images(1).tobytes())
    environment = {"NEEDLE_ISA": isa}
    run = subprocess.run([built.executable, tmp_path / "x.raw"], env=environment, capture_output=True, text=True)
    assert run.returncode == 1 and f"NEEDLE_ISA must be v2, v3 or v4, got '{isa}'" in run.stderr


# -- caches and disks that cannot be written


@pytest.fixture
def unbuilt(graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The graph as a file, and a compiler that makes empty files: what is tested is where they go."""
    monkeypatch.setenv("CXX", f"{sys.executable} {COMPILER}")
    graph.save(tmp_path / "small.nd")
    return tmp_path / "small.nd"


def test_with_a_folder_to_write_to_no_cache_is_needed(
    unbuilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = unbuilt
    (tmp_path / "file").touch()
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path / "file"))
    assert main(["build", str(path), "-o", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("compiling small ...\ncompiling small ... ") and captured.err.endswith(" s\n")
    assert "compiled in" in captured.out
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"libsmall.so", "small", "small.h", "small.cpp", "small.weights", "built.json"} <= names
    assert not [name for name in names if name.startswith(".") or name.endswith(".o")]
    assert main(["run", str(path), "x.npy"]) == 1
    assert "'x.npy' is not a .npy file" in capsys.readouterr().err  # which is found before anything is compiled
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 8, 8), "float32"))
    for arguments in (["run", str(path), str(tmp_path / "x.npy")], ["bench", str(path)], ["verify", str(path)]):
        assert main(arguments) == 1
        said = capsys.readouterr().err
        assert f"{tmp_path}/file/compiled cannot be written" in said and "set NEEDLE_HOME to a folder" in said
        assert said.count("\n") == 1


def full(*arguments: Any, **options: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("fails", ["Path.write_bytes", "subprocess.run"])
def test_a_full_disk_leaves_nothing_and_is_a_sentence(
    fails: str, unbuilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = unbuilt
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path / "home"))
    if fails == "subprocess.run":
        monkeypatch.setenv("CXX", f"{sys.executable} {COMPILER} full")  # the compiler meets it
    else:
        monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["bench", str(path)]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{tmp_path}/home/compiled cannot be written: No space left on device; set NEEDLE_HOME" in said
    assert not list((tmp_path / "home" / "compiled").iterdir())
    assert main(["build", str(path), "-o", str(tmp_path / "out")]) == 1
    assert f"[build] {tmp_path}/out cannot be written: No space left on device" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_freezing_onto_a_full_disk_leaves_nothing(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    assert main(["freeze", package, "-o", str(tmp_path / "x.nd")]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}/x.nd cannot be written: No space left on device" in said and not list(tmp_path.iterdir())


C_PROGRAM = """
#include "small.h"
#include <stdio.h>
int main(int argc, char** argv) {
    char error[200] = "";
    float x[2 * 3 * 8 * 8], y[2 * 5];
    const int64_t three[] = {3};
    void* const pointers[] = {x, y};
    for (int i = 0; i < 2 * 3 * 8 * 8; ++i) x[i] = (float)(i % 17) / 17;
    small_model* mapped = small_create(argv[1], 2, 1, error, sizeof error);
    if (!mapped) return printf("%s\\n", error), 1;
    small_model* linked = small_create(NULL, 2, 1, error, sizeof error);
    if (!linked || small_run(mapped, 2, x, y)) return 2;
    for (int i = 0; i < 10; ++i) printf("%.9g ", y[i]);
    if (small_run(linked, 1, x, y)) return 3;
    if (small_call(linked, three, pointers) == 0) return 4;
    printf("\\n%s\\n", small_error(linked));
    if (small_run(linked, 1, NULL, y) == 0 || small_run(NULL, 1, x, y) == 0 || small_abi() != 2) return 5;
    printf("%s\\n", small_error(linked));
    if (small_create("small.h", 2, 1, error, sizeof error)) return 6;
    printf("%s\\n%s\\n", error, small_describe());
    small_destroy(mapped); small_destroy(linked); small_destroy(NULL);
    return small_create(argv[1], 0, 1, NULL, 0) != NULL;
}
"""


def test_the_c_interface_from_c(built: Built, compiled: Compiled, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(C_PROGRAM)
    folder = built.header.parent
    flags = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", f"-I{folder}"]
    subprocess.run([*compiler(), "-x", "c", *flags, "-c", "main.c", "-o", "main.o"], cwd=tmp_path, check=True)
    link = ["main.o", f"-L{folder}", "-lsmall", f"-Wl,-rpath,{folder}", "-o", "main"]
    subprocess.run([*compiler(), *link], cwd=tmp_path, check=True)
    run = subprocess.run([tmp_path / "main", built.weights], cwd=folder, capture_output=True, text=True, check=True)
    numbers, batch, null, weights, description = run.stdout.splitlines()
    x = ((np.arange(2 * 3 * 8 * 8) % 17).astype("float32") / np.float32(17)).reshape(2, 3, 8, 8)
    np.testing.assert_array_equal(np.array(numbers.split(), dtype="float32").reshape(2, 5), compiled(x))
    assert "1 <= batch <= 2, got 3" in batch and "null pointer" in null and "weights file" in weights
    assert '"shape": [-1, 3, 8, 8]' in description


def test_a_weights_file_of_another_model_is_refused(built: Built, compiled: Compiled, tmp_path: Path) -> None:
    import ctypes

    create = ctypes.CDLL(str(built.library)).small_create
    create.restype = ctypes.c_void_p
    error = ctypes.create_string_buffer(200)
    good = built.weights.read_bytes()
    for data in (b"", good[:-1], good + b"\0", b"\0" * len(good), good[:10] + b"x" + good[11:]):
        (tmp_path / "w").write_bytes(data)
        assert create(str(tmp_path / "w").encode(), 1, 1, error, 200) is None and b"weights" in error.value
