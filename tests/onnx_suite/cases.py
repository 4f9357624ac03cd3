"""The cases, and what comes of one: passed, or why not."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STORED = ("simple", "pytorch-converted", "pytorch-operator", "light", "real")  # as files; nodes are computed, for 10 s
KINDS = ("node", *STORED)


@dataclass(frozen=True)
class Result:
    """What came of one case: `reason` is empty where it passed; `refused` says that needle did not take it."""

    name: str
    operator: str
    reason: str = ""
    refused: bool = False


def official(kinds: Iterable[str] = KINDS) -> list[Any]:
    """The cases of the package, by name."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sorted((case for kind in kinds for case in load_model_tests(kind=kind)), key=lambda case: case.name)


def model_of(case: Any) -> Any:
    """The ModelProto of a case; None if it would have to be downloaded."""
    import onnx

    if case.model is not None:
        return case.model
    path = Path(case.model_dir or "") / "model.onnx"
    return onnx.load(path) if case.model_dir and path.exists() else None


def operator_of(case: Any, model: Any) -> str:
    """The operator a case is about: that of its node, or of the function that was expanded."""
    if model is None or len(model.graph.node) != 1:
        return "models" if case.kind != "node" else case.name.removeprefix("test_").split("_")[0]
    node = model.graph.node[0]
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def data_of(case: Any, model: Any) -> Iterator[tuple[list[Any], list[Any]]]:
    """(inputs, outputs) of each data set."""
    if case.data_sets is not None:
        for inputs, outputs in case.data_sets:
            yield [_plain(x) for x in inputs], [_plain(x) for x in outputs]
        return
    for folder in sorted(Path(case.model_dir).glob("test_data_set_*")):
        yield tuple(  # type: ignore[misc]
            [_read(folder / f"{side}_{i}.pb", values[i].type) for i in range(len(list(folder.glob(f"{side}_*.pb"))))]
            for side, values in (("input", model.graph.input), ("output", model.graph.output))
        )


def _plain(x: Any) -> Any:
    """A TensorProto, in which some element types are given, as an array."""
    from onnx import TensorProto, numpy_helper

    return numpy_helper.to_array(x) if isinstance(x, TensorProto) else x


def _read(path: Path, type: Any) -> Any:
    import onnx
    from onnx import numpy_helper

    data = path.read_bytes()
    if type.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if type.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


def run(case: Any, engine: str) -> Result:
    """One case with an engine: only equal outputs of every data set are a pass."""
    from onnx.backend.test.runner import Runner

    from deploy.errors import DeployError
    from deploy.onnx.backend import NeedleBackend

    model = model_of(case)
    operator = operator_of(case, model)
    if model is None:
        return Result(case.name, operator, "its model would have to be downloaded", True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ready = NeedleBackend.prepare(model, engine=engine)
            for inputs, outputs in data_of(case, model):
                found = list(ready.run(inputs))
                expected = [(*x,) if isinstance(x, tuple) else x for x in outputs]
                Runner.assert_similar_outputs(expected, found, rtol=case.rtol, atol=case.atol, model_dir=None)
    except DeployError as error:
        return Result(case.name, operator, " ".join(str(error).split()), True)
    except Exception as error:
        return Result(case.name, operator, f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
    return Result(case.name, operator)
