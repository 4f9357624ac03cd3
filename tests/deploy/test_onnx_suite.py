"""The official cases of ONNX: what has passed passes still; the rest is refused by name, never wrong in silence."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from deploy import OnnxError
from deploy.onnx.table import ROWS, WRITE, Refused
from deploy.registry import OPS
from tests.onnx_suite import cases, page

onnx = pytest.importorskip("onnx")
SHARDS = 8


@pytest.fixture(scope="module")
def official() -> dict[str, object]:
    return {case.name: case for case in cases.official()}


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["interpreted", "instant"])
@pytest.mark.parametrize("shard", range(SHARDS))
def test_what_has_passed_passes(official: dict[str, object], shard: int, engine: str) -> None:
    names = [name for name in sorted(page.ratchet(page.of_engine(engine))) if name in official][shard::SHARDS]
    lost = [r for r in (cases.run(official[name], engine) for name in names) if r.reason]
    assert not lost, "\n".join(f"{r.name}: {r.reason}" for r in lost[:10])


def test_the_official_cases_that_are_files() -> None:
    official = {case.name: case for case in cases.official(cases.STORED)}
    for name in sorted(page.ratchet() & official.keys()):
        for engine in ("interpreted", "instant") if name in page.ratchet("programs") else ("interpreted",):
            result = cases.run(official[name], engine)
            assert not result.reason, f"{name}: {result.reason}"


def test_the_table_is_total_and_every_reason_is_a_sentence() -> None:
    assert WRITE.keys() >= set(OPS.values())
    for row in [*ROWS.values(), *WRITE.values()]:
        if isinstance(row, Refused):
            assert len(row.reason) > 15 and "not yet" not in row.reason


def test_the_page_counts_what_the_ratchet_holds() -> None:
    text = (Path(__file__).parent.parent.parent / page.PAGE).read_text()
    counts = re.findall(r"\*\*(\d+) / \d+\*\*", text)
    assert list(map(int, counts)) == [len(page.ratchet()), len(page.ratchet("programs"))]
    for name in ROWS:
        assert f"| {name} |" in text


def test_the_interface_of_backends() -> None:
    from deploy.onnx.backend import NeedleBackend
    from tests.deploy.onnx_models import model, node, value

    made = onnx.ModelProto.FromString(model([node("Relu", ["x"], ["y"])], [value("x", ["n"])], [value("y", ["n"])]))
    assert NeedleBackend.supports_device("CPU") and not NeedleBackend.supports_device("CUDA")
    x = np.array([-1, 2], "float32")
    for engine in ("interpreted", "instant"):
        (y,) = NeedleBackend.run_model(made, [x], engine=engine)
        np.testing.assert_array_equal(y, [0, 2])
    with pytest.raises(OnnxError, match="engine must be one of interpreted, instant, compiled, got 'slow'"):
        NeedleBackend.prepare(made, engine="slow")
