"""The new op of CONTRIBUTING.md, applied to a copy of the source and built: two files and a few lines suffice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DIFF = re.search(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
PROGRAM = """
import numpy as np
import needle as ndl
from deploy import Compiled, build, freeze
x = np.linspace(-6, 6, 25, dtype="float32").reshape(5, 5)
model = ndl.nn.Hardswish()
built = build(freeze(model, x[:1], input_names=["x"]))
with Compiled(built.library, built.weights, max_batch=5) as compiled:
    found = compiled(x)
np.testing.assert_allclose(found, model(ndl.Tensor(x)).numpy(), atol=1e-6)
np.testing.assert_allclose(found, x * np.clip(x + 3, 0, 6) / 6, atol=1e-6)
"""


# An editable installation has a finder that comes before every path: without it, needle is the tree's.
SITE = """import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
"""


def added(diff: str, room: str) -> list[str]:
    """The lines that the diff adds to the files of a folder, blank ones left out."""
    parts = re.split(r"^--- .*\n", diff, flags=re.MULTILINE)[1:]
    lines = [line for part in parts if part.startswith(f"+++ b/{room}/") for line in part.splitlines()[1:]]
    return [line for line in lines if line.startswith("+") and line[1:].strip()]


def test_a_pointwise_op_is_two_files_and_at_most_25_lines() -> None:
    assert DIFF is not None
    files = re.findall(r"^\+\+\+ b/(\S+)", DIFF[1], re.MULTILINE)
    assert len([file for file in files if not file.startswith("tests/")]) == 2
    assert len(added(DIFF[1], "csrc") + added(DIFF[1], "needle")) <= 25


@pytest.mark.thorough
def test_it_applies_builds_and_answers_all_that_is_asked_of_an_op(tmp_path: Path) -> None:
    programs = {name: shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
                for name in ("git", "cmake", "ninja")}  # fmt: skip
    if not all(programs.values()):
        pytest.skip(f"needs {', '.join(name for name, path in programs.items() if path is None)}")
    assert DIFF is not None
    tree = tmp_path / "tree"
    for room in ("csrc", "needle", "deploy", "zoo", "tests", "docs"):
        shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for file in ("CMakeLists.txt", "pyproject.toml", "CONTRIBUTING.md"):
        shutil.copy2(ROOT / file, tree / file)
    (tree / "sitecustomize.py").write_text(SITE)
    environment = os.environ | {"PYTHONPATH": str(tree), "NEEDLE_HOME": str(tmp_path / "home")}

    def run(*command: object, text: str = "") -> None:
        done = subprocess.run(
            [str(part) for part in command], cwd=tree, env=environment, input=text, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]

    import pybind11  # here, for a user's environment may lack it

    run(programs["git"], "apply", "-p1", "-C1", "-", text=DIFF[1])
    # What compiles fastest: speed is no matter here, and how the kernels are compiled is none of an op's.
    settings = {"CMAKE_BUILD_TYPE": "Debug", "CMAKE_CXX_FLAGS_DEBUG": "-O0",
                "NEEDLE_VARIANTS": "native", "CMAKE_MAKE_PROGRAM": programs["ninja"],
                "Python_EXECUTABLE": sys.executable, "pybind11_DIR": pybind11.get_cmake_dir()}  # fmt: skip
    defined = [f"-D{name}={value}" for name, value in settings.items()]
    run(programs["cmake"], "-S", ".", "-B", "build", "-G", "Ninja", *defined)
    run(programs["ninja"], "-C", "build")
    for library in (tree / "build").glob("*.so"):
        shutil.copy2(library, tree / "needle" / "backend_ndarray")
    run(sys.executable, "-m", "tests.op_table")
    run(sys.executable, "-m", "pytest", "-q", "tests/test_every_op.py", "-k", "Hardswish or PointwiseGradient")
    run(sys.executable, "-c", PROGRAM)
