"""Every public name of needle says what it computes, on what shapes, and which errors it raises."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import needle
from needle import autograd, data, errors, init, nn, ops, optim, training, weights
from needle.nn import lora
from tests.cases import REFUSALS

SURFACE: list[ModuleType] = [needle, nn, lora, ops, optim, init, data, training, errors, weights]
SHAPE = re.compile(r"\([^()]*[,*][^()]*\)|elementwise|any shape|each element|scalar|shape")


def public() -> Iterator[tuple[str, Any]]:
    """(name, object) of every class and function that the modules publish, once."""
    seen: set[int] = set()
    for module in SURFACE:
        for name in getattr(module, "__all__", [key for key in vars(module) if not key.startswith("_")]):
            found = getattr(module, name)
            ours = getattr(found, "__module__", "").startswith("needle.")
            if ours and (inspect.isclass(found) or inspect.isfunction(found)) and id(found) not in seen:
                seen.add(id(found))
                yield f"{module.__name__}.{name}", found


def methods(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class defines itself."""
    for name, member in vars(cls).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function):
            yield name, function


NAMES = list(public())
MODULES = [(name, found) for name, found in NAMES if inspect.isclass(found) and issubclass(found, nn.Module)]
# Methods that the base class documents.
INHERITED = {"forward", "infer", "compute", "gradient", "step", "rate", "state_dict", "load_state_dict"}
INHERITED |= {"plain", "derivative", "pullback", "numbers", "kernel", "result"}  # of a pointwise op


def raised(function: Any) -> set[str]:
    """The names of the exceptions that the text of a function raises; none for what a dataclass makes by itself."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except OSError:
        return set()
    raises = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
    calls = [exc.func if isinstance(exc, ast.Call) else exc for exc in raises]
    return {call.id for call in calls if isinstance(call, ast.Name)} - {"NotImplementedError", "StopIteration"}


@pytest.mark.parametrize(("name", "found"), NAMES, ids=[name for name, _ in NAMES])
def test_public_names_are_documented(name: str, found: Any) -> None:
    own = found.__doc__ if not inspect.isclass(found) else vars(found).get("__doc__")
    assert own and not own.startswith(f"{found.__name__}("), f"{name} has no docstring"  # dataclasses make that one
    for method, function in methods(found) if inspect.isclass(found) else ():
        if method not in INHERITED:
            assert function.__doc__, f"{name}.{method} has no docstring"


@pytest.mark.parametrize(("name", "found"), NAMES, ids=[name for name, _ in NAMES])
def test_errors_are_documented(name: str, found: Any) -> None:
    if inspect.isfunction(found):
        assert not raised(found) or "Error" in (found.__doc__ or ""), f"{name} raises {raised(found)}"
    elif issubclass(found, autograd.Op):
        refuses = any(raised(function) for function in vars(found).values() if inspect.isfunction(function))
        assert not refuses or any(type(op) is found for op, _, _ in REFUSALS), f"{name}: docs/ops.md has no refusal"
    elif not issubclass(found, BaseException):
        inside = [function for function in vars(found).values() if inspect.isfunction(function)]
        text = " ".join(item.__doc__ or "" for item in (found, *inside))
        for function in inside:
            assert not raised(function) or "Error" in text, f"{name}.{function.__name__} raises {raised(function)}"


@pytest.mark.parametrize(("name", "found"), MODULES, ids=[name for name, _ in MODULES])
def test_modules_name_the_shapes_of_what_they_take(name: str, found: Any) -> None:
    assert SHAPE.search(found.__doc__ or "") or re.match(r"y = [^.]*x", found.__doc__ or ""), f"{name}: {found.__doc__}"
