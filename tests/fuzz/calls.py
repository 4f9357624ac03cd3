"""What is called: each kind of call draws its arguments, and returns a text that shows it and a function to run."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

import needle as ndl
from needle import array_api, autograd, data, init, nn, ops, optim
from needle.data import transforms
from tests.cases import CASES
from tests.fuzz.draw import Draw

Call = tuple[str, Callable[[], Any]]


def described(value: Any) -> str:
    """A short text for an argument."""
    if isinstance(value, ndl.Tensor | np.ndarray):
        return f"<{type(value).__name__} {tuple(value.shape)} {value.dtype}>"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(described, value))})"
    return repr(value)[:120]


def _call(name: str, function: Callable[..., Any], args: list[Any], options: dict[str, Any] | None = None) -> Call:
    options = options or {}
    text = ", ".join([*map(described, args), *(f"{key}={described(value)}" for key, value in options.items())])
    return f"{name}({text})", lambda: function(*args, **options)


def _arguments(draw: Draw, function: Any) -> dict[str, Any] | None:
    """An argument for each parameter, by name; None where they cannot be named."""
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return None
        if parameter.kind is not parameter.VAR_KEYWORD:
            found[name] = draw.named(name, str(parameter.annotation), parameter.default)
    return found


def _by_signature(draw: Draw, name: str, function: Any) -> Call:
    found = _arguments(draw, function)
    if found is None:
        numbers = [draw.whole() if draw.chance(0.8) else draw.hostile() for _ in range(draw.pick((1, 2, 3)))]
        return _call(name, function, numbers)
    return _call(name, function, [], found)


def _backward(value: Any) -> Any:
    """The gradient of what a call gave, where it has one."""
    tensors = list(value) if isinstance(value, ndl.TensorTuple | tuple) else [value]
    for y in tensors:
        if isinstance(y, ndl.Tensor) and y.requires_grad and 0 < np.prod(y.shape) < 1e5:
            y.backward()
    return value


FUNCTIONS = {name: f for name, f in vars(ops).items() if name in ops.__all__ and inspect.isfunction(f)}
MODULES = {name: getattr(nn, name) for name in nn.__all__ if isinstance(getattr(nn, name), type)}
for _name in ("Parameter", "ParameterCount", "Module", "KVCache"):  # which are no layers
    MODULES.pop(_name, None)
METHODS = [name for name in dir(ndl.Tensor) if not name.startswith("_") and callable(getattr(ndl.Tensor, name))]
OPERATORS = ["add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "pow", "matmul", "neg", "lt", "le", "gt", "ge"]
TRANSFORMS = {name: t for name, t in vars(transforms).items() if name in transforms.__all__ and name != "Transform"}
OPTIMIZERS = {name: o for name, o in vars(optim).items() if inspect.isclass(o) and issubclass(o, optim.Optimizer)}
SCHEDULES = {name: s for name, s in vars(optim).items() if inspect.isclass(s) and issubclass(s, optim.Schedule)}
for _table, _base in ((OPTIMIZERS, "Optimizer"), (SCHEDULES, "Schedule")):
    _table.pop(_base, None)


def near_a_sample(draw: Draw) -> Call:
    """A sample of tests/families with shapes, types or attributes changed; then its gradient."""
    case = draw.pick(CASES)
    op = case.op
    if draw.chance(0.2) and dataclasses.fields(op):
        field = draw.pick(dataclasses.fields(op)).name
        value = draw.hostile() if draw.chance(0.3) else draw.pick((draw.whole(), draw.real(), draw.shape()))
        name = f"{type(op).__name__}({field}={described(value)})"
        remake = lambda: dataclasses.replace(op, **{field: value})  # noqa: E731
    else:
        name, remake = repr(op), lambda: op

    def leaf(x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(map(leaf, x))
        shape = list(x.shape)
        if draw.chance(0.15) and shape:
            shape[draw.random.randrange(len(shape))] = draw.size()
        if draw.chance(0.05):
            shape = list(draw.shape())
        if draw.chance(0.02):
            return draw.hostile()
        dtype = "float32" if draw.chance(0.8) else None
        same = tuple(shape) == x.shape and dtype and draw.chance(0.7)
        return ndl.Tensor(x) if same else draw.tensor(tuple(min(n, 64) for n in shape), dtype)

    inputs = [leaf(x) for x in case.all_inputs(case.inputs)]

    def run() -> Any:
        return _backward(remake()(*[ops.make_tuple(*x) if isinstance(x, tuple) else x for x in inputs]))

    return f"{name}({', '.join(map(described, inputs))}), then backward", run


def function(draw: Draw) -> Call:
    name = draw.pick(list(FUNCTIONS))
    text, run = _by_signature(draw, f"ops.{name}", FUNCTIONS[name])
    return text, lambda: _backward(run())


def method(draw: Draw) -> Call:
    t, name = draw.tensor(), draw.pick(METHODS)
    text, run = _by_signature(draw, f"{described(t)}.{name}", getattr(t, name))
    return text, run


def operator(draw: Draw) -> Call:
    t, name = draw.tensor(), draw.pick(OPERATORS)
    if draw.chance(0.3):
        two = (draw.whole(), slice(None, None, -1))
        index = draw.pick((draw.whole(), two, None, ..., [0, 1], draw.tensor(), draw.hostile()))
        return f"{described(t)}[{described(index)}]", lambda: _backward(t[index])
    if name == "neg":
        return f"-{described(t)}", lambda: -t
    other = draw.pick((draw.tensor(), draw.tensor(tuple(t.shape)), draw.whole(), draw.real(), draw.hostile()))
    special = getattr(type(t), f"__{name}__")
    return f"{described(t)}.__{name}__({described(other)})", lambda: _backward(special(t, other))


def module(draw: Draw) -> Call:
    name = draw.pick(list(MODULES))
    made = _arguments(draw, MODULES[name]) or {}
    if name in ("Sequential", "Residual", "Recompute"):
        made = {"fn": nn.ReLU()} if name == "Residual" else {}
    inputs = [draw.tensor() for _ in range(draw.pick((1, 1, 1, 2, 3)))]
    text = ", ".join(f"{key}={described(value)}" for key, value in made.items())

    def run() -> Any:
        layer = MODULES[name](**made)
        if draw.chance(0.5):
            layer.eval()
        return _backward(layer(*inputs))

    return f"nn.{name}({text})({', '.join(map(described, inputs))})", run


def initial(draw: Draw) -> Call:
    name = draw.pick(init.__all__)
    shape = list(draw.shape()) if name not in ("one_hot", "zeros_like", "ones_like") else None
    options = {key: value for key, value in (_arguments_or_none(draw, getattr(init, name))).items() if draw.chance(0.4)}
    if shape is None:
        return _by_signature(draw, f"init.{name}", getattr(init, name))
    return _call(f"init.{name}", getattr(init, name), shape, options)


def _arguments_or_none(draw: Draw, f: Any) -> dict[str, Any]:
    parameters = inspect.signature(f).parameters.values()
    keyword = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return {p.name: draw.named(p.name, str(p.annotation), p.default) for p in keyword}


def tensor_of(draw: Draw) -> Call:
    given = draw.hostile() if draw.chance(0.5) else draw.array()
    options = {} if draw.chance(0.5) else {"dtype": draw.pick((*DTYPES_AND_MORE, draw.hostile()))}
    return _call("ndl.Tensor", ndl.Tensor, [given], options)


DTYPES_AND_MORE = ("float32", "float64", "int64", "bool", "uint8", "float16", "complex64", "S3", "object")


def ndarray(draw: Draw) -> Call:
    """A method of the backend's own array."""
    if ndl.BACKEND == "np":
        return tensor_of(draw)
    a = draw.tensor().realize_cached_data()
    names = [n for n, f in inspect.getmembers(type(a), callable) if not n.startswith("_") and n not in UNCHECKED]
    name = draw.pick([*names, "__getitem__", "__setitem__", "__add__", "__matmul__", "__eq__", "__pow__"])
    if name.startswith("__"):
        index = draw.pick((draw.whole(), tuple(draw.whole() for _ in a.shape), (slice(None),) * a.ndim, draw.hostile()))
        other = [draw.tensor().realize_cached_data()]
        args = {"__getitem__": [index], "__setitem__": [index, draw.real()]}.get(name, other)
        return _call(f"NDArray{a.shape}.{name}", getattr(a, name), args)
    return _by_signature(draw, f"NDArray{a.shape}.{name}", getattr(a, name))


UNCHECKED = {"as_strided", "make", "ewise_or_scalar", "reduce_view_out"}  # the course's own: they trust their caller


def optimizer(draw: Draw) -> Call:
    name = draw.pick(list(OPTIMIZERS))
    params = [draw.tensor(dtype="float32") for _ in range(draw.pick((0, 1, 2)))]
    given = _arguments(draw, OPTIMIZERS[name]) or {}
    options = {k: v for k, v in given.items() if k != "params" and draw.chance(0.5)}

    def run() -> None:
        made = OPTIMIZERS[name](params, **options)
        for p in params:
            p.grad = ndl.Tensor(np.ones(p.shape if draw.chance(0.9) else (2, 2), "float32"), device=p.device)
        made.step()
        ndl.clip_grad_norm(params, draw.real())
        made.load_state_dict(made.state_dict())

    return f"optim.{name}({described(params)}, {options})", run


def schedule(draw: Draw) -> Call:
    name = draw.pick(list(SCHEDULES))
    made = optim.SGD([ndl.Tensor(np.ones(2, "float32"))], lr=0.1)
    options = {k: v for k, v in (_arguments(draw, SCHEDULES[name]) or {}).items() if k != "optimizer"}

    def run() -> None:
        chosen = SCHEDULES[name](made, **options)
        for _ in range(3):
            chosen.step()

    return f"optim.{name}({options})", run


def transform(draw: Draw) -> Call:
    name = draw.pick(list(TRANSFORMS))
    options = _arguments(draw, TRANSFORMS[name]) or {}
    shape = draw.pick(((4, 3, 8, 8), (2, 1, 5, 7), (0, 3, 8, 8), draw.shape()))
    images = draw.array(shape, draw.pick(("uint8", "float32", "float64")) if draw.chance(0.9) else None)

    def run() -> Any:
        chosen = transforms.Compose(TRANSFORMS[name](**options)) if name != "Compose" else transforms.Compose()
        return chosen(images, np.random.default_rng(0).random((len(images) if images.ndim else 1, chosen.draws)))

    return f"transforms.{name}({options})({described(images)})", run


def loader(draw: Draw) -> Call:
    options = {k: v for k, v in (_arguments(draw, data.DataLoader) or {}).items() if k not in ("dataset", "augment")}
    options["workers"] = draw.pick((0, 0, 0, 1, -1))
    fields = [draw.array((draw.pick((0, 1, 5, 8)), 3)) for _ in range(draw.pick((1, 2)))]

    def run() -> None:
        made = data.DataLoader(data.NDArrayDataset(*fields), **options)
        for number, _ in enumerate(made):
            if number > 3:
                break

    return f"data.DataLoader({described(fields)}, {options})", run


def array_function(draw: Draw) -> Call:
    """A function of the array backend's module."""
    if ndl.BACKEND == "np":
        return tensor_of(draw)
    names = ("array", "empty", "full", "broadcast_to", "reshape", "maximum", "log", "exp", "tanh", "sum", "max", "flip")
    name = draw.pick(names)
    f = getattr(array_api, name)
    found = _arguments(draw, f) or {}
    first = next(iter(found))
    if first in ("a", "array") and name != "array" and draw.chance(0.95):
        found[first] = draw.tensor().realize_cached_data()
    return _call(f"array_api.{name}", f, [], found)


KINDS: list[tuple[int, Callable[[Draw], Call]]] = [
    (30, near_a_sample), (20, function), (8, method), (10, operator), (14, module), (4, initial), (3, tensor_of),
    (4, ndarray), (2, optimizer), (1, schedule), (2, transform), (1, loader), (1, array_function),
]  # fmt: skip
assert autograd.LAZY_MODE is False


def draw_call(draw: Draw) -> Call:
    """One call of a kind drawn by weight."""
    weights = [weight for weight, _ in KINDS]
    return draw.random.choices([kind for _, kind in KINDS], weights)[0](draw)
