"""Requests and replies of the Open Inference Protocol v2: one JSON object, then the binary tensors back to back.

Source: https://github.com/kserve/open-inference-protocol and Triton's extensions for binary data and classification.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from serving.engine.errors import ServingError
from serving.engine.models import Arrays, Model, TensorSpec
from serving.engine.tensors import from_bytes, from_json, to_bytes, to_json

Need = Callable[[int], None]


@dataclass(frozen=True)
class RequestedOutput:
    """One output of the reply: which, whether as bytes, and how many classes to name (0 gives the tensor)."""

    spec: TensorSpec
    binary: bool
    classes: int = 0


@dataclass(frozen=True)
class InferRequest:
    """A checked request: arrays by input name, what to reply, and the microseconds it may wait (None is any).

    `parameters` are as the client gave them: what else they mean depends on the model.
    """

    inputs: dict[str, np.ndarray]
    outputs: tuple[RequestedOutput, ...]
    id: str | None = None
    timeout: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


PARSED = 28  # bytes that one byte of JSON may become: {}, is three, a value of the parser (16) and a dict (64)


def parse_json(text: bytes | memoryview, need: Need) -> dict[str, Any]:
    """The JSON object in `text`. Raises ServingError where it is not JSON, not an object or nested too deeply.

    `need(bytes)` is called with the memory that this and making arrays of it takes, before it is used.
    """
    need(PARSED * len(text))
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as problem:
        if "recursion" in str(problem).lower():
            raise ServingError("[request] JSON is nested deeper than the parser's limit of 1024 levels") from None
        raise ServingError(f"[request] the body is not JSON: {problem}") from None
    if not isinstance(found, dict):
        raise ServingError(f"[request] must be a JSON object, got {type(found).__name__}")
    return found


def read(body: bytes, header_length: str | None, model: Model, need: Need) -> InferRequest:
    """The request in `body`, whose first `header_length` bytes (all, when None) are JSON and the rest binary tensors.

    A header length of 0 means that the whole body is the model's only input, with one row. Raises ServingError.
    """
    if header_length is None:
        size = len(body)
    elif header_length.isascii() and header_length.isdigit() and int(header_length[:20]) <= len(body):
        size = int(header_length)
    else:
        given = f"the body has {len(body)} bytes, got {header_length[:40]!r}"
        raise ServingError(f"[Inference-Header-Content-Length] must lie within the body: {given}")
    blobs = memoryview(body)[size:]
    if size == 0 and header_length is not None:
        return _read_raw(blobs, model)
    request = parse_json(memoryview(body)[:size], need)
    parameters = _object(request, "parameters", "request")
    identifier = request.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise ServingError(f"[request] id must be a string, got {type(identifier).__name__}")
    timeout = parameters.get("timeout")
    if timeout is not None and (type(timeout) is not int or timeout < 0):
        raise ServingError("[request] parameters.timeout must be microseconds, a whole number of at least 0")
    inputs = _read_inputs(_objects(request, "inputs"), blobs, model)
    binary = parameters.get("binary_data_output", False) is True
    outputs = _read_outputs(_objects(request, "outputs"), binary, model)
    return InferRequest(inputs, outputs, identifier, timeout or None, parameters)


def _read_raw(blob: memoryview, model: Model) -> InferRequest:
    if len(model.inputs) != 1 or -1 in model.inputs[0].shape[1:]:
        raise ServingError(f"[{model.name}] a raw body needs a model with one input of fixed size")
    spec = model.inputs[0]
    array = from_bytes(blob, spec.datatype, (1, *spec.shape[1:]), spec.name)
    return InferRequest({spec.name: array}, tuple(RequestedOutput(output, binary=True) for output in model.outputs))


def _object(holder: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    found = holder.get(key)
    if found is not None and not isinstance(found, dict):
        raise ServingError(f"[{where}] {key} must be an object, got {type(found).__name__}")
    return found or {}


def _objects(request: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of named objects under `key`, each name once."""
    found = request.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ServingError(f"[request] {key} must be a list of objects")
    names = [one.get("name") for one in found]
    for name in names:
        if not isinstance(name, str):
            raise ServingError(f"[request] everything in {key} needs a name")
        if names.count(name) > 1:
            raise ServingError(f"[request] {key} names {name!r} twice")
    return found


def _read_inputs(given: list[dict[str, Any]], blobs: memoryview, model: Model) -> dict[str, np.ndarray]:
    specs = {spec.name: spec for spec in model.inputs}
    names = [tensor["name"] for tensor in given]
    if sorted(names) != sorted(specs):
        raise ServingError(f"[{model.name}] inputs must be {sorted(specs)}, got {sorted(names)}")
    arrays = {}
    for tensor in given:
        arrays[tensor["name"]], blobs = _read_tensor(tensor, specs[tensor["name"]], blobs, model.max_batch)
    if len(blobs):
        raise ServingError(f"[request] {len(blobs)} bytes are left after the last binary tensor")
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise ServingError(f"[{model.name}] all inputs must have the same batch size, got {rows}")
    return arrays


def _read_tensor(
    tensor: dict[str, Any], spec: TensorSpec, blobs: memoryview, max_batch: int
) -> tuple[np.ndarray, memoryview]:
    """The array of one input, and the binary data that is left for the others."""
    where = spec.name
    if tensor.get("datatype") != spec.datatype:
        raise ServingError(f"[{where}] datatype must be {spec.datatype}, got {_short(tensor.get('datatype'))}")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise ServingError(f"[{where}] shape must be a list of whole numbers of at least 0, got {_short(shape)}")
    spec.check(tuple(shape), max_batch)
    size = _object(tensor, "parameters", where).get("binary_data_size")
    if size is None:
        if "data" not in tensor:
            raise ServingError(f"[{where}] needs data, or parameters.binary_data_size and bytes after the JSON")
        return from_json(tensor["data"], spec.datatype, tuple(shape), where), blobs
    if "data" in tensor:
        raise ServingError(f"[{where}] has data and binary_data_size; only one can hold")
    if type(size) is not int or not 0 <= size <= len(blobs):
        raise ServingError(f"[{where}] binary_data_size must lie in the {len(blobs)} bytes left, got {_short(size)}")
    return from_bytes(blobs[:size], spec.datatype, tuple(shape), where), blobs[size:]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _read_outputs(given: list[dict[str, Any]], binary: bool, model: Model) -> tuple[RequestedOutput, ...]:
    specs = {spec.name: spec for spec in model.outputs}
    wanted = []
    for output in given or [{"name": name} for name in specs]:
        name = output["name"]
        if name not in specs:
            raise ServingError(f"[{model.name}] outputs are {sorted(specs)}, got {_short(name)}")
        parameters = _object(output, "parameters", name)
        classes = parameters.get("classification", 0)
        if type(classes) is not int or classes < 0:
            raise ServingError(f"[{name}] classification must be a whole number of at least 1, got {_short(classes)}")
        if classes and specs[name].datatype == "BYTES":
            raise ServingError(f"[{name}] has no scores to classify by: its elements are texts")
        wanted.append(RequestedOutput(specs[name], parameters.get("binary_data", binary) is True, classes))
    return tuple(wanted)


def classify(scores: np.ndarray, count: int, labels: tuple[str, ...]) -> np.ndarray:
    """The `count` highest scores of each row as "score:index:label", highest first; an array of byte strings."""
    rows = scores.reshape(len(scores), -1)
    last = rows.shape[1] - 1  # reversed twice: the highest come first, of equal ones the first, without a sign changed
    order = last - np.argsort(rows[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :count]
    named = [[f"{row[i]:f}:{i}" + (f":{labels[i]}" if i < len(labels) else "") for i in best]
             for row, best in zip(rows, order, strict=True)]
    found = np.empty(order.shape, object)
    found[...] = [[text.encode() for text in row] for row in named]
    return found


def reply(model: Model, request: InferRequest, results: Arrays) -> tuple[bytes, int | None]:
    """The body of the answer, and the length of its JSON part when binary tensors follow it (None when none do)."""
    tensors: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for wanted in request.outputs:
        array, datatype = results[wanted.spec.name], wanted.spec.datatype
        if wanted.classes:
            array, datatype = classify(array, wanted.classes, wanted.spec.labels), "BYTES"
        tensor: dict[str, Any] = {"name": wanted.spec.name, "datatype": datatype, "shape": list(array.shape)}
        if wanted.binary:
            blobs.append(to_bytes(array, datatype))
            tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            tensor["data"] = to_json(array, datatype, wanted.spec.name)
        tensors.append(tensor)
    answer: dict[str, Any] = {"model_name": model.name, "model_version": model.version, "outputs": tensors}
    if request.id is not None:
        answer["id"] = request.id
    text = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([text, *blobs]), len(text) if blobs else None
