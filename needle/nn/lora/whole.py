"""Modules that an adapter's file holds whole, such as a new head: PEFT's `modules_to_save`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy

from ...errors import DataError
from ..module import Parameter
from ..nn_basic import Linear
from ..nn_named import known

Arrays = dict[str, numpy.ndarray]
ROOT = "base_model.model."  # before the names of a model's modules


def take_whole(
    arrays: Mapping[str, numpy.ndarray], names: Sequence[str], layers: Mapping[str, tuple[str, Linear]], where: str
) -> tuple[dict[str, Linear], Arrays]:
    """Linear layers with the tensors that a file has of the modules `names`, by our names; and the other arrays.

    `layers` are the base's, by their names in the file, with ours; a name also means the layers whose names end with
    it, as in PEFT. The number of outputs is the file's, all else the base's. Raises DataError for what is missing or
    does not fit.
    """
    found: dict[str, Linear] = {}
    rest = dict(arrays)
    for name in names:
        chosen = [each for each in layers if each == name or each.endswith(f".{name}")]
        chosen = [each for each in chosen if f"{ROOT}{each}.weight" in rest]
        if not chosen:
            raise DataError(f"[{where} lacks the module {name!r}, which modules_to_save names{known(name, layers)}")
        for each in chosen:
            at, base = layers[each]
            weight, bias = (rest.pop(f"{ROOT}{each}.{end}", None) for end in ("weight", "bias"))
            found[at] = _linear(base, weight, bias, f"{where}: {each}")
    return found, rest


def _linear(base: Linear, weight: numpy.ndarray | None, bias: numpy.ndarray | None, where: str) -> Linear:
    """A layer like `base` but for its outputs, with PyTorch's weight (outputs, inputs) and bias (outputs,)."""
    inputs, outputs = base.in_features, len(weight) if weight is not None and weight.ndim else 0
    needed = [(outputs, inputs), (outputs,) if base.bias is not None else None]
    given = [None if array is None else array.shape for array in (weight, bias)]
    if given != needed or outputs == 0:
        raise DataError(f"[{where} needs a weight (outputs, {inputs}) and its bias {needed[1]}, got {given}")
    layer: Linear = Linear.__new__(Linear)
    vars(layer).update(vars(base))
    options = {"device": base.weight.device, "dtype": base.weight.dtype}
    layer.out_features, layer.weight = outputs, Parameter(numpy.ascontiguousarray(weight.T), **options)  # type: ignore[union-attr]
    if bias is not None:
        layer.bias = Parameter(bias.reshape(1, -1), **options)
    return layer
