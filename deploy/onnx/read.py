"""From a file to a checked protobuf: what is hostile or damaged is refused here, naming the place."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

import numpy

from needle.types import Type

from ..card import check_card
from ..errors import NdFormatError, OnnxError
from ..strict import parse as parse_json
from .dtypes import BITS, NAMES, numpy_dtype

MAX_BYTES = 2**31 - 1  # what protobuf can hold in one message
MAX_NODES = 100_000
MAX_DEPTH = 16  # of subgraphs in subgraphs


def read_model(path: str | os.PathLike[str]) -> tuple[Any, Path]:
    """(the ModelProto, its folder). Raises OnnxError for what is no well-formed model, OSError if it is unreadable."""
    file = Path(path)
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise OnnxError(f"[onnx] '{file}' has {size} bytes; a file holds at most {MAX_BYTES}, use external data")
    return parse(file.read_bytes(), str(file)), file.parent


def parse(data: bytes, where: str = "model") -> Any:
    """The ModelProto in some bytes, its size checked."""
    import onnx

    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf has errors of its own
        raise OnnxError(f"[onnx] '{where}' is damaged, or no ONNX model: {error}") from error
    check(model, where)
    return model


def check(model: Any, where: str) -> None:
    """OnnxError unless there is a graph of a bounded number of nodes, with distinct names in order of computation."""
    if not model.HasField("graph") or not model.graph.output:
        raise OnnxError(f"[onnx] '{where}' holds no graph with outputs: it is damaged, or no ONNX model")
    count = sum(len(graph.node) for graph in graphs(model.graph, where))
    count += sum(len(function.node) for function in model.functions)
    if count > MAX_NODES:
        raise OnnxError(f"[onnx] '{where}' has {count} nodes; at most {MAX_NODES} are read")


def graphs(graph: Any, where: str, depth: int = 0) -> Iterator[Any]:
    """The graph and those inside its nodes."""
    if depth > MAX_DEPTH:
        raise OnnxError(f"[onnx] '{where}' has more than {MAX_DEPTH} graphs inside each other")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                yield from graphs(inner, where, depth + 1)


def array_of(tensor: Any, folder: Path | None) -> numpy.ndarray:
    """The values of a TensorProto; its external data must lie inside the folder. OnnxError names the tensor."""
    from onnx import numpy_helper

    where = f"tensor '{tensor.name}'"
    if tensor.data_type not in NAMES:
        raise OnnxError(f"[onnx] {where}: unknown element type {tensor.data_type}")
    if len(tensor.dims) > 32 or any(n < 0 for n in tensor.dims):
        raise OnnxError(f"[onnx] {where}: needs sizes of 0 or more, got {list(tensor.dims)}")
    dtype = NAMES[tensor.data_type]
    count = math.prod(tensor.dims)
    if tensor.data_location == 1:
        return _external(tensor, dtype, count, folder, where)
    held = tensor.ByteSize()  # a number takes at least a byte, or its bits in raw data
    if count * BITS.get(dtype, 8) > 8 * held:
        raise OnnxError(f"[onnx] {where}: {list(tensor.dims)} of {dtype} do not fit into its {held} bytes")
    try:
        array: numpy.ndarray = numpy_helper.to_array(tensor)
    except Exception as error:  # the helper raises whatever numpy does
        raise OnnxError(f"[onnx] {where}: its data are not {list(tensor.dims)} of {dtype}: {error}") from error
    if dtype == "object":
        array = numpy.array([_text(x) for x in array.ravel()], dtype=object).reshape(array.shape)
    return array.astype(numpy_dtype(dtype), copy=False)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _external(tensor: Any, dtype: str, count: int, folder: Path | None, where: str) -> numpy.ndarray:
    """The part of a file beside the model that a tensor names."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None or not location:
        raise OnnxError(f"[onnx] {where}: its data are in another file '{location}', and the model was not read as one")
    root = folder.resolve()
    file = (root / location).resolve()
    if Path(location).is_absolute() or not file.is_relative_to(root) or not file.is_file():
        raise OnnxError(f"[onnx] {where}: '{location}' is no file inside the model's folder")
    try:
        offset = int(entries.get("offset", 0))
        kind = numpy_dtype(dtype)
        needed = -(-count * BITS[dtype] // 8) if dtype in BITS else count * kind.itemsize
        length = int(entries.get("length", needed))
    except (ValueError, TypeError) as error:
        raise OnnxError(f"[onnx] {where}: offset and length must be whole numbers, got {entries}") from error
    size = file.stat().st_size
    if dtype == "object" or length != needed or offset < 0 or offset + needed > size:
        raise OnnxError(f"[onnx] {where}: {needed} bytes from {offset} of '{location}', which has {size}")
    with file.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(needed)
    if dtype in BITS:  # several in a byte
        return array_of(type(tensor)(dims=tensor.dims, data_type=tensor.data_type, raw_data=data), folder)
    return numpy.frombuffer(data, dtype=kind.newbyteorder("<")).reshape(tuple(tensor.dims))


def dense(sparse: Any, folder: Path | None, fits: Callable[[Type], bool]) -> numpy.ndarray:
    """The array of a sparse tensor, if its type `fits`: values at indices, linear or by axis."""
    values, indices = array_of(sparse.values, folder), array_of(sparse.indices, folder)
    shape = tuple(sparse.dims)
    if values.ndim != 1 or not fits(Type(shape, str(values.dtype))):
        raise OnnxError(f"[onnx] a sparse tensor of shape {shape} is too large, or malformed")
    out = numpy.zeros(shape, dtype=values.dtype)
    if indices.ndim == 1:
        out.reshape(-1)[indices] = values
    else:
        out[tuple(indices.T)] = values
    return out


def identifier(name: str, front: str, taken: Container[str]) -> str:
    """The name in letters, digits and underscores, as none is that is taken."""
    stem = re.sub(r"\W", "_", name, flags=re.ASCII)
    stem = stem if stem.isidentifier() else f"{front}{stem}"
    found, n = stem, 0
    while found in taken:
        n += 1
        found = f"{stem}_{n}"
    return found


def plain_card(card: dict[str, Any]) -> dict[str, Any]:
    """The card that this package wrote into a model's metadata; or other metadata, but for what no card can hold."""
    written = card.pop("needle.card", None)
    if written is not None:
        try:
            return check_card(parse_json("needle.card", written.encode()))
        except NdFormatError:
            pass
    return {key: value for key, value in card.items() if _fits(key, value)}


def _fits(key: str, value: Any) -> bool:
    """Whether a card may have this entry: `labels` are a list there, other programs write what they like."""
    try:
        check_card({key: value})
    except NdFormatError:
        return False
    return True
