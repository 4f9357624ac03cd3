"""What was wrong with a call of an op: the caller's fault in words, and needle's own as what it is.

Types are checked before anything is computed, so an error that does not say where it comes from is either explained by
what was given (a number of inputs, their kind, a setting of the op), or it is a fault of the op.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Sequence
from typing import Any

from .errors import DeviceError, DTypeError, NeedleError


def explained(op: Any, inputs: Any, error: Exception) -> Exception:
    """The error to raise for `op(*inputs)`, which raised `error`: DTypeError or DeviceError, or `error` itself."""
    from .autograd import Op, Tensor, Value

    name = op.__class__.__name__
    if not isinstance(op, Op) or not isinstance(inputs, list | tuple):
        return DTypeError(f"[make_from_op] needs an Op and a list of Tensors, got {name}, {inputs.__class__.__name__}")
    others = [x.__class__.__name__ for x in inputs if not isinstance(x, Value)]
    if others:
        return DTypeError(f"[{name}] needs Tensors, got {', '.join(others)}")
    told = isinstance(error, NeedleError) or str(error).startswith("[")
    if told and not isinstance(error, DeviceError):
        return error
    devices = sorted({repr(x.device) for x in inputs if isinstance(x, Tensor)})
    if len(devices) > 1:  # kernels are handed memory that is not theirs
        return DeviceError(f"[{name}] operands must be on one device, got {' and '.join(devices)}")
    if told or not op.__class__.__module__.startswith("needle."):
        return error
    reason = wrong_inputs(op.infer, inputs) or wrong_settings(op)
    if reason:
        return DTypeError(f"[{name}] {reason}")
    error.add_note(f"a fault of needle, in {op} of {', '.join(str(x.type) for x in inputs)}: please report it")
    return error


def wrong_inputs(infer: Any, inputs: Sequence[Any]) -> str:
    """What is wrong with the number of inputs, or with their kind: a TensorTuple for a Tensor; else nothing."""
    signature = inspect.signature(infer)
    try:
        given = signature.bind(*inputs).arguments
    except TypeError:
        count = len(signature.parameters)
        return f"needs {count} input{'s' if count > 1 else ''}, got {len(inputs)}"
    for name, value in given.items():
        parameter = signature.parameters[name]
        wants_tuple = str(parameter.annotation).startswith("tuple")
        for each in value if parameter.kind is parameter.VAR_POSITIONAL else (value,):
            if (type(each.type) is tuple) is not wants_tuple:
                return f"needs a {'TensorTuple' if wants_tuple else 'Tensor'} as {name}, got a {type(each).__name__}"
    return ""


def wrong_settings(op: Any) -> str:
    """Which attribute of an op is not what its annotation says; empty where all are."""
    hints = typing.get_type_hints(type(op))
    for field in dataclasses.fields(op):
        value = getattr(op, field.name)
        if not fits(value, hints[field.name]):
            return f"{field.name} must be {field.type}, got {value!r}"
    return ""


def fits(value: Any, hint: Any) -> bool:
    """Whether `value` is of the annotated type; `Any` means any plain number, string, None or nested tuple of them."""
    origin, parameters = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (types.UnionType, typing.Union):
        return any(fits(value, x) for x in parameters)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(parameters) == 2 and parameters[1] is Ellipsis:
            return all(fits(x, parameters[0]) for x in value)
        return len(value) == len(parameters) and all(map(fits, value, parameters))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is None or hint is types.NoneType:
        return value is None
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is tuple:
        return isinstance(value, tuple)
    return isinstance(hint, type) and isinstance(value, hint)
