"""What `build` leaves in a folder, as other programs use it: size, dependencies, self-test, allocation, examples."""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from deploy import Built, Compiled, build, freeze
from deploy.compiler import compiler, variants
from deploy.errors import BuildError
from deploy.print_main import drawn
from deploy.sources import frozen
from needle import nn
from needle.types import Type

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
ONE = ["v2"] if variants() else None  # one instruction set, which every processor of the kind has
linux = pytest.mark.skipif(platform.system() != "Linux", reason="looks into ELF files")
KB = 1024


def compiled_with(folder: Path, source: Path, *more: str, language: str = "c") -> Path:
    """A program of a user's own, linked with the static library in `folder`."""
    standard = "-std=c11" if language == "c" else "-std=c++17"
    flags = ["-Wall", "-Wextra", "-Werror", "-O1", f"-I{folder}", "-x", language, standard]
    made = folder / source.stem
    subprocess.run([*compiler(), *flags, "-c", str(source), "-o", f"{made}.o"], check=True)
    libraries = [str(next(folder.glob("*.a"))), "-pthread", "-lm"]
    subprocess.run([*compiler(), f"{made}.o", *libraries, *more, "-o", str(made)], check=True)
    return made


@linux
def test_the_library_is_small_and_needs_the_c_library_alone(built: Built) -> None:
    code = built.library.stat().st_size - built.weights.stat().st_size
    assert 0 < code < 400 * KB
    needed = subprocess.run(["readelf", "-d", built.library], capture_output=True, text=True, check=True).stdout
    libraries = [line.split("[")[1].rstrip("]") for line in needed.splitlines() if "NEEDED" in line]
    assert [x for x in libraries if not x.startswith(("libc.", "ld-"))] == []


def test_the_command_tests_itself_and_sees_other_weights(built: Built, tmp_path: Path) -> None:
    assert built.executable is not None
    done = subprocess.run([built.executable, "--self-test"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "5 numbers" in done.stdout and done.stdout.endswith("equal\n")
    program, block = bytearray(built.executable.read_bytes()), built.weights.read_bytes()[64:]
    at = bytes(program).index(block)
    last = next(i for i in range(len(block) - 4, 0, -4) if struct.unpack_from("f", block, i)[0] != 0)
    struct.pack_into("f", program, at + last, 1e3)
    other = tmp_path / "other"
    other.write_bytes(program)
    other.chmod(0o755)
    done = subprocess.run([other, "--self-test"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout.endswith("DIFFERENT\n")


def test_the_numbers_of_the_self_test_are_of_their_types_and_below_their_limits() -> None:
    floats = drawn(Type((100,)), 1)
    assert floats.dtype == "float32" and -1 <= floats.min() < -0.9 and 0.9 < floats.max() < 1
    whole, ids, truths = (drawn(Type((100,), dtype), 1, 7) for dtype in ("float32", "int32", "bool"))
    assert set(ids.tolist()) == set(range(7)) and 20 < truths.sum() < 80
    assert whole.dtype == "float32" and (whole == ids).all()
    assert not np.array_equal(floats, drawn(Type((100,)), 2))


ALLOCATIONS = r"""
#include <stdio.h>
#include <stdlib.h>
#include "small.h"
static int allowed = 1, calls = 0;
void *__real_malloc(size_t), *__real_calloc(size_t, size_t), *__real_realloc(void*, size_t);
void* __real_aligned_alloc(size_t, size_t);
void __real_free(void*);
void *__wrap_malloc(size_t n) { calls += !allowed; return __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t m) { calls += !allowed; return __real_calloc(n, m); }
void *__wrap_realloc(void* p, size_t n) { calls += !allowed; return __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t a, size_t n) { calls += !allowed; return __real_aligned_alloc(a, n); }
void __wrap_free(void* p) { calls += !allowed; __real_free(p); }
int main(void) {
    static float x[4 * 3 * 8 * 8], y[4 * 5];
    char error[200];
    small_model* model = small_create(NULL, 4, 3, error, sizeof error);
    if (model == NULL) return puts(error), 1;
    int before = calls;
    allowed = 0;
    for (int batch = 1; batch <= 4; ++batch) if (small_run(model, batch, x, y)) return 2;
    if (small_run(model, 9, x, y) == 0) return 3;  /* nor does a refusal */
    allowed = 1;
    small_destroy(model);
    printf("%d\n", calls - before);
    return 0;
}
"""


ALLOCATES = "{ void* volatile p = malloc(8); free(p); }"


@linux
def test_no_call_allocates(built: Built, tmp_path: Path) -> None:
    for path in (built.header, built.archive):
        shutil.copy(path, tmp_path)
    source = tmp_path / "allocations.c"
    source.write_text(ALLOCATIONS)
    wrapped = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc", "aligned_alloc", "free")]
    program = compiled_with(tmp_path, source, *wrapped)
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "0\n"
    source.write_text(ALLOCATIONS.replace("if (small_run(model, batch, x, y)) return 2;", ALLOCATES))
    program = compiled_with(tmp_path, source, *wrapped)
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout != "0\n"  # the trap works


WRAPPER = r"""
#include <cstdio>
#include <vector>
#include "small.hpp"
int main() {
    std::vector<float> x(2 * 3 * 8 * 8, 0.5f), y(2 * 5);
    small::Model model(2), moved = std::move(model);
    moved.run(2, x.data(), y.data());
    for (float each : y) std::printf("%.9g ", each);
    try {
        moved.run(3, x.data(), y.data());
    } catch (const std::invalid_argument& error) {
        std::printf("\n%s\n", error.what());
    }
    try {
        small::Model(1, 1, "nowhere");
    } catch (const std::runtime_error& error) {
        std::printf("%s\n", error.what());
    }
}
"""


def test_the_wrapper_for_cpp(built: Built, compiled: Compiled, tmp_path: Path) -> None:
    for path in (built.header, built.wrapper, built.archive):
        shutil.copy(path, tmp_path)
    (tmp_path / "wrapper.cpp").write_text(WRAPPER)
    program = compiled_with(tmp_path, tmp_path / "wrapper.cpp", language="c++")
    numbers, batch, weights = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
    expected = compiled(np.full((2, 3, 8, 8), 0.5, "float32"))
    np.testing.assert_array_equal(np.array(numbers.split(), dtype="float32").reshape(2, 5), expected)
    assert "batch <= 2, got 3" in batch and "'nowhere' cannot be read" in weights


@pytest.mark.thorough
def test_the_example_in_c_classifies(cache: Path, tmp_path: Path) -> None:
    np.random.seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    made = build(freeze(model, np.zeros((1, 3, 32, 32), "float32")), tmp_path, name="resnet9", levels=ONE)
    program = compiled_with(tmp_path, EXAMPLES / "classify.c")
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), "uint8")
    picture = tmp_path / "image.ppm"
    picture.write_bytes(b"P6 32 32 255\n" + pixels.tobytes())
    mean, std = np.array([0.4914, 0.4822, 0.4465], "float32"), np.array([0.2470, 0.2435, 0.2616], "float32")
    x = ((pixels / np.float32(255) - mean) / std).astype("float32").transpose(2, 0, 1)[None]
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    expected = names[int(Compiled(made.library, made.weights)(x).argmax())]
    done = subprocess.run([program, picture, picture], capture_output=True, text=True, check=True)
    assert done.stdout == f"{picture}: {expected}\n" * 2
    done = subprocess.run([program, EXAMPLES / "classify.c"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no binary PPM" in done.stderr


@pytest.mark.thorough
def test_the_example_in_cpp_continues_a_text(cache: Path, tmp_path: Path) -> None:
    np.random.seed(0)
    model: Any = zoo.load("gpt-char", **zoo.entry("gpt-char").tiny.model)
    step, example, options = model.decoding(slots=1)
    graph = freeze(step, example, **options)
    made = build(graph, tmp_path, name="gpt", levels=ONE)
    program = compiled_with(tmp_path, EXAMPLES / "continue.cpp", language="c++")
    prompt = [5, 3, 1]
    done = subprocess.run([program, "4", *map(str, prompt)], capture_output=True, text=True, check=True)
    decoder, ids, expected, position = Compiled(made.library, made.weights), prompt, [], 0
    for _ in range(4):
        given = {"ids": [ids], "slot": [0], "position": [position]}
        logits = decoder.run(**{k: np.array(v, "int32") for k, v in given.items()})["logits"]
        position, ids = position + len(ids), [int(logits[0, -1].argmax())]
        expected += ids
    assert [int(x) for x in done.stdout.split()] == expected
    assert made.executable is not None
    subprocess.run([made.executable, "--self-test"], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.thorough
def test_the_command_of_a_language_model_tests_itself_on_ids(cache: Path, tmp_path: Path) -> None:
    np.random.seed(0)
    model: Any = zoo.load("gpt-char", **zoo.entry("gpt-char").tiny.model)
    made = build(frozen(model, "zoo:gpt-char"), tmp_path, name="gpt", levels=ONE)
    assert made.executable is not None
    done = subprocess.run([made.executable, "--self-test"], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("equal\n")


@pytest.mark.thorough
@pytest.mark.skipif(not variants(), reason="one instruction set, which cannot be chosen")
def test_instruction_sets_that_were_not_built_are_not_there(cache: Path, tmp_path: Path) -> None:
    graph = freeze(nn.Linear(3, 2), np.zeros((1, 3), "float32"))
    made = build(graph, tmp_path, name="line", levels=["v2"])
    assert Compiled(made.library, made.weights).isa == "v2"
    assert made.executable is not None
    for asked, said in (("v2", ""), ("v4", ""), ("v9", "NEEDLE_ISA must be v2, v3 or v4, got 'v9'")):
        command, environment = [made.executable, "--self-test"], os.environ | {"NEEDLE_ISA": asked}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert said in done.stderr and (done.returncode == 0) == (said == "")
    with pytest.raises(BuildError, match="must be of v2, v3, v4, got v5"):
        build(graph, tmp_path / "other", levels=["v5"])
    assert not (tmp_path / "other").exists()
