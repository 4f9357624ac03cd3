"""Who may import whom: csrc/nd <- needle <- deploy <- zoo <- serving, and which package may use which library."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ["needle", "deploy", "zoo", "serving"]
# Libraries beyond Python's own, and the only places that may import them.
LIBRARIES = {
    "numpy": ["needle", "deploy", "zoo", "serving"],
    "shtab": ["needle/commands"],
    "matplotlib": ["needle/training"],
    "PIL": ["needle/data", "zoo", "deploy", "serving/engine"],
    "flask": ["serving/app.py", "serving/routes"],
    "werkzeug": ["serving/app.py", "serving/routes"],
    "gunicorn": ["serving"],
    "orjson": ["serving"],
    "opentelemetry": ["serving/telemetry.py"],
    "ray": ["serving/ray.py"],
    "a2wsgi": ["serving/ray.py"],
    "psycopg": ["serving/engine/postgres.py"],
    "onnx": ["deploy/onnx"],
    "ml_dtypes": ["deploy/dtypes.py", "deploy/onnx/dtypes.py"],  # which onnx brings along
}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute module) for every import statement of a file, those inside functions too."""
    package = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level]) if node.level else []
            yield node.lineno, ".".join(base + ([node.module] if node.module else []))


def sources() -> list[Path]:
    return [path for room in LAYERS for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    level = LAYERS.index(place.split("/")[0])
    for line, module in imports(path):
        top = module.split(".")[0]
        if top in LAYERS:
            assert LAYERS.index(top) <= level, f"{place}:{line}: {LAYERS[level]} must not import {module}"
        elif top not in sys.stdlib_module_names and top != "__future__":
            homes = LIBRARIES.get(top, [])
            assert any(place == home or place.startswith(home + "/") for home in homes), (
                f"{place}:{line}: {top} may only be imported in {homes or 'nothing: it is not a dependency'}"
            )


def test_kernels_include_only_each_other_and_the_standard_library() -> None:
    for path in sorted((ROOT / "csrc" / "nd").glob("*.h")):
        for name in re.findall(r'#include\s+"([^"]+)"', path.read_text()):
            assert "/" not in name and (path.parent / name).exists(), f"{path.name} includes {name}"
        assert "pybind11" not in path.read_text() and "Python.h" not in path.read_text()


def test_the_rule_is_enforced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    offender = tmp_path / "needle" / "bad.py"
    offender.parent.mkdir()
    for text in ("def f():\n    from zoo import load\n", "import flask\n", "from ..serving import app", "import torch"):
        offender.write_text(text)
        with pytest.raises(AssertionError, match=r"bad\.py"):
            test_imports_point_downwards(offender)
