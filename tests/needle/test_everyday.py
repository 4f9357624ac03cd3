"""What people type by habit from numpy and PyTorch means what it means there. In both array modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import BACKEND, Tensor, nn, ops
from needle.errors import DTypeError, IndexRangeError, NeedleError, SettingError, ShapeError

pytestmark = pytest.mark.both_modes

A = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.5]])
B = np.array([[2.0, 1.0, 0.5], [-1.0, 3.0, 2.0]])


def close(x: Any, expected: Any) -> bool:
    """Whether a tensor has the shape and, to single precision, the values of numpy's answer."""
    expected = np.asarray(expected)
    return tuple(x.shape) == expected.shape and np.allclose(x.numpy(), expected, rtol=1e-5, atol=1e-6)


EXPRESSIONS: dict[str, Callable[[Any], Any]] = {
    "1 / t": lambda t: 1 / t, "2 ** t": lambda t: 2**t, "(-2) ** t": lambda t: (-2.0) ** (t * 0 + 3),
    "2 - t": lambda t: 2 - t, "-t": lambda t: -t, "+t": lambda t: +t, "abs(t)": abs, "t ** 2": lambda t: t**2,
    "array + t": lambda t: B + t, "t + array": lambda t: t + B, "array - t": lambda t: B - t,
    "t - array": lambda t: t - B, "array * t": lambda t: B * t, "t * array": lambda t: t * B,
    "array / t": lambda t: B / t, "t / array": lambda t: t / B, "array ** t": lambda t: abs(B) ** t,
    "t ** array": lambda t: abs(t) ** B, "t < array": lambda t: t < B,
    "array < t": lambda t: B < t,  # noqa: SIM300
    "t >= array": lambda t: t >= B, "row + t": lambda t: B[0] + t, "column * t": lambda t: B[:, :1] * t,
    "wider + t": lambda t: B[None, :, :1] + t, "t @ array": lambda t: t @ B.T, "array @ t": lambda t: B.T @ t,
    "t @ vector": lambda t: t @ B[0], "vector @ t": lambda t: B[:, 0] @ t, "t[0] @ vector": lambda t: t[0] @ B[0],
    "batch @ vector": lambda t: t[None] @ B[0], "vector @ batch": lambda t: B[:, 0] @ t[None],
    "reshape(-1)": lambda t: t.reshape(-1), "reshape(3, 2)": lambda t: t.reshape(3, 2),
    "reshape(3, -1)": lambda t: t.reshape(3, -1), "reshape((3, 2))": lambda t: t.reshape((3, 2)),
    "reshape([2, 3, 1])": lambda t: t.reshape([2, 3, 1]), "reshape(*shape)": lambda t: t.reshape(*t.shape[::-1]),
    "reshape(numpy)": lambda t: t.reshape(np.int64(6)), "T": lambda t: t.T, "T of 3 axes": lambda t: t[None].T,
    "T of 1 axis": lambda t: t[0].T, "t[None]": lambda t: t[None], "t[..., 0]": lambda t: t[..., 0],
    "t[:, 1:]": lambda t: t[:, 1:], "t[[1, 0]]": lambda t: t[[1, 0]], "t[-1]": lambda t: t[-1],
    "flatten": lambda t: t.flatten(),
    "argmax": lambda t: t.argmax(axis=1), "argmin": lambda t: t.argmin(0),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_mean_what_they_mean_in_numpy(name: str) -> None:
    expression = EXPRESSIONS[name]
    assert close(expression(Tensor(A, dtype="float64")), expression(A)), name


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var"])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), (1,)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_by_axis_and_axes(name: str, axis: Any, keepdims: bool) -> None:
    x, expected = Tensor(A), getattr(np, name)(A, axis=axis, keepdims=keepdims)
    if BACKEND == "nd" and axis is None and not keepdims:
        expected = expected.reshape(1)  # as the course has it
    function = getattr(ndl, {"sum": "summation"}.get(name, name))
    assert close(getattr(x, name)(axis=axis, keepdims=keepdims), expected)
    assert close(getattr(x, name)(axes=axis, keepdims=keepdims), expected)
    assert close(getattr(x, name)(axis, keepdims), expected)
    assert close(function(x, axis=axis, keepdims=keepdims), expected)


def test_both_names_of_the_axes_at_once_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\[summation\] axes and axis mean the same, give one of them; got 1 and 0"):
        Tensor(A).sum(1, axis=0)
    with pytest.raises(ShapeError, match=r"\[logsumexp\] axes and axis"):
        ndl.logsumexp(Tensor(A), 1, axis=0)
    assert close(ndl.logsumexp(Tensor(A), axis=1), np.log(np.exp(A).sum(1)))


DIFFERENTIATED = "1 / t; 2 ** t; array / t; array ** t; abs(t); t @ array; array @ t; T; t @ vector; vector @ t"


@pytest.mark.parametrize("name", DIFFERENTIATED.split("; "))
def test_their_gradients_are_those_of_differences(name: str) -> None:
    x = Tensor(A, dtype="float64")
    y = EXPRESSIONS[name](x)
    weights = np.arange(1.0, 7.0)[: y.size] if y.size <= 6 else np.arange(1.0, 1.0 + y.size)
    (y * weights.reshape(y.shape)).sum().backward()
    eps, expected = 1e-6, np.zeros_like(A)
    for at in np.ndindex(A.shape):
        step = np.zeros_like(A)
        step[at] = eps
        there, back = (np.asarray(EXPRESSIONS[name](A + s * step)) for s in (1, -1))
        expected[at] = ((there - back).reshape(-1) @ weights) / (2 * eps)
    assert x.grad.shape == A.shape and np.allclose(x.grad.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64", ">f4"])
def test_arrays_meet_tensors_in_one_dtype(dtype: str) -> None:
    """Floats are as weak as numbers, integers promote by the table; in numpy mode numpy's rule holds."""
    array = np.array([0, 1, 1]).astype(dtype)
    for own in ("int32", "int64", "float32", "float64"):
        x = Tensor([3, 4, 5], dtype=own)
        if BACKEND == "np":
            expected = str(np.result_type(own, array.dtype).newbyteorder("="))
        elif own.startswith("float") or array.dtype.kind == "f":
            expected = own if own.startswith("float") else "float32"
        else:
            expected = "int64" if "int64" in (own, dtype) else "int32"
        for y in (x * array, array * x):
            assert str(np.asarray(y).dtype) == expected and y.tolist() == [0, 4, 5]


def test_what_is_no_operand_is_refused() -> None:
    x = Tensor(A)
    for wrong in ("a", None, [1, 2, 3], np.array(["a", "b", "c"]), np.array([1j, 2, 3])):
        for operator in (lambda a, b: a + b, lambda a, b: a / b, lambda a, b: a**b, lambda a, b: a < b):
            for left, right in ((x, wrong), (wrong, x)):
                with pytest.raises(TypeError, match=r"needs|not supported"):
                    operator(left, right)
    with pytest.raises(ShapeError, match=r"\(2, 3\) and \(2, 2\)"):
        x + B[:, :2]
    for left, right in ((x, B[0, :2]), (B[0], x), (x[0], B[0, :2]), (x, Tensor(2.0)), (Tensor(2.0), x[0])):
        with pytest.raises(ShapeError, match=r"\[matmul\] (inner sizes must agree|needs at least 2 axes each), got \("):
            left @ right
    for wrong in (2.5, "ab", (2, 1.5), None):
        with pytest.raises(ShapeError, match=r"\[reshape\] needs whole numbers, or one tuple of them, got"):
            x.reshape(wrong)


FRACTIONS: dict[str, tuple[Callable[..., Any], Any, Any]] = {  # name -> function of x, what is refused, what is meant
    "reshape": (ndl.reshape, (7, 77 / 7), (7, np.int64(11))), "max": (ndl.max, -1.0, -1),
    "what is left": (ndl.reshape, (-1.0, 7), (-1, np.int8(7))), "summation": (ndl.summation, 1.0, np.int64(1)),
    "broadcast_to": (ndl.broadcast_to, (2, 11.0, 7), (2, 11, 7)), "logsumexp": (ndl.logsumexp, 1.0, 1),
    "permute": (ndl.permute, (1.0, 0), (np.int64(1), 0)), "transpose": (ndl.transpose, (0.0, 1), (0, 1)),
    "flip": (ndl.flip, (1.0,), (1,)), "mean": (ndl.mean, (0.0, 1), (0, 1)), "split": (ndl.split, 1.0, 1),
    "argmax": (ndl.argmax, 1.0, 1), "cumsum": (ndl.cumsum, 0.0, np.int16(0)),
}  # fmt: skip


@pytest.mark.parametrize("name", FRACTIONS)
def test_floats_as_axes_and_sizes_are_refused_and_spoil_nothing_for_the_next(name: str) -> None:
    """What is asked first is kept for later calls, to which 1.0 is 1: that must not be the wrong one."""
    function, wrong, right = FRACTIONS[name]
    x = Tensor(np.arange(77.0).reshape(11, 7))
    for axes_of in (ops.attributes.axes_of, ops.attributes.swapped):
        axes_of.cache_clear()
    with pytest.raises(ShapeError, match=r"must be (a )?whole number"):
        function(x, wrong)
    y = function(x, right)
    sizes = [n for each in (y if name == "split" else [y]) for n in (each + 1).shape]
    assert {type(n) for n in sizes} <= {int}


def test_views_and_their_relatives() -> None:
    x = Tensor(np.arange(24.0).reshape(2, 3, 4))
    a = x.numpy()
    assert close(x.permute(2, 0, 1), a.transpose(2, 0, 1)) and close(x.permute((2, 0, 1)), a.transpose(2, 0, 1))
    assert close(x.transpose(0, 1), a.swapaxes(0, 1)) and close(x.transpose((0, 1)), a.swapaxes(0, 1))
    assert close(x.transpose(), a.swapaxes(1, 2)) and close(x.transpose(axes=(0, 2)), a.swapaxes(0, 2))
    assert close(x.flatten(1), a.reshape(2, 12)) and close(x.flatten(), a.reshape(-1))
    assert close(x[0, 0, :1].broadcast_to(3, 1), a[:1, 0, :1].repeat(3, 0)) and Tensor(2.0).flatten().shape == (1,)
    assert close(x.broadcast_to((1, 2, 3, 4)), a[None]) and x.reshape(shape=(6, 4)).shape == (6, 4)
    assert Tensor([7.0]).reshape(()).shape == () and Tensor(np.zeros((0, 3))).T.shape == (3, 0)


def test_numbers_of_a_tensor() -> None:
    x = Tensor(A)
    assert (x.size, x.numel(), x.ndim, len(x), x.shape) == (6, 6, 2, 2, (2, 3)) and Tensor(1.5).size == 1
    assert Tensor(np.zeros((0, 4))).size == 0 and len(Tensor(np.zeros((0, 4)))) == 0
    one = Tensor([2.5])
    assert (float(one), int(one), one.item(), bool(one), bool(one * 0)) == (2.5, 2, 2.5, True, False)
    assert f"{one.sum():.3f}" == "2.500" and f"{one}" == str(one) and f"{Tensor(7.0):>4.0f}" == "   7"
    assert ["a", "b", "c"][x[0].argmax()] == "c" and list(range(Tensor([3], dtype="int64"))) == [0, 1, 2]
    for wrong, error, message in (
        (lambda: bool(x), ShapeError, r"\[bool\] needs a tensor of one element, got shape \(2, 3\); x.numpy\(\).any"),
        (lambda: bool(Tensor(np.zeros(0))), ShapeError, r"\[bool\]"),
        (lambda: float(x), ShapeError, r"\[float\]"),
        (lambda: f"{x:.2f}", ShapeError, r"\[format\]"),
        (lambda: [1, 2][one], DTypeError, r"\[index\] needs a tensor of whole numbers, got float"),
        (lambda: [1, 2][Tensor([1], dtype="bool")], DTypeError, r"\[index\]"),
        (lambda: x[x > 0], DTypeError, r"\[getitem\] cannot index by a mask"),
    ):
        with pytest.raises(error, match=message):
            wrong()


def test_iterating_gives_rows_that_gradients_flow_through() -> None:
    x = Tensor(A)
    assert [row.tolist() for row in x] == A.tolist() and list(Tensor(np.zeros((0, 2)))) == []
    first, second = x
    (first * second).sum().backward()
    assert close(x.grad, A[::-1])
    with pytest.raises(ShapeError, match="axis"):
        list(Tensor(1.0))


@pytest.mark.parametrize("shape", [(2, 3), (3,), (), (0, 2)])
def test_a_clone_has_memory_of_its_own_and_passes_gradients(shape: tuple[int, ...]) -> None:
    for dtype in ("float32", "float64", "int64", "bool"):
        x = Tensor(np.ones(shape), dtype=dtype)
        y = x.clone()
        assert y is not x and y.dtype == x.dtype and y.shape == shape and y.tolist() == x.tolist()
        np.asarray(y)[...] = 0
        assert x.tolist() == np.ones(shape, dtype).tolist()
    x = Tensor(np.full(shape, -0.0))
    assert np.signbit(x.clone().numpy()).all()
    (x.clone() * 3).sum().backward()
    assert close(x.grad, np.full(shape, 3.0))


def test_numpy_sees_the_values() -> None:
    x = Tensor(A, dtype="float64")
    assert np.array_equal(np.asarray(x), A) and np.array_equal(np.array([x, x]), np.stack([A, A]))
    assert np.asarray(x.T).shape == (3, 2) and np.array_equal(np.asarray(x[:, ::2]), A[:, ::2])


# modules


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.ReLU(), nn.Dropout(0.5)), nn.Linear(4, 2))


def test_a_sequential_is_a_sequence() -> None:
    m = model()
    assert len(m) == 4 and m[0] is m.modules[0] and m[-1] is m.modules[3] and list(m) == list(m.modules)
    part = m.eval()[1:3]
    assert isinstance(part, nn.Sequential) and len(part) == 2 and part[0] is m[1] and part.training is False
    assert len(m[:0]) == 0 and m[::2][1] is m[2] and m[np.int64(1)] is m[1]
    x = Tensor(A)
    assert np.allclose(m[2:](m[:2](x)).numpy(), m(x).numpy())
    with pytest.raises(IndexRangeError, match=r"\[Sequential\] index 4 is outside its 4 modules"):
        m[4]
    with pytest.raises(DTypeError, match=r"\[Sequential\] needs an int or a slice, got str"):
        m["0"]


def test_train_and_eval_return_the_module() -> None:
    m = model()
    assert m.eval() is m and not any(module.training for _, module in m.named_modules())
    assert m.train() is m and all(module.training for _, module in m.named_modules())
    assert m.train(False) is m and not m[2][1].training


def test_names_of_parameters_and_modules() -> None:
    m = model()
    names = dict(m.named_parameters())
    assert list(names) == [
        "modules.0.weight", "modules.0.bias", "modules.1.weight", "modules.1.bias", "modules.3.weight",
        "modules.3.bias",
    ]  # fmt: skip
    assert [id(p) for p in names.values()] == [id(p) for p in m.parameters()] and set(names) <= set(m.state_dict())
    modules = dict(m.named_modules())
    assert list(modules)[:3] == ["", "modules.0", "modules.1"]
    assert modules[""] is m and modules["modules.2.modules.1"] is m[2][1]
    shared = nn.Linear(2, 2)
    twice = nn.Sequential(shared, nn.ReLU(), shared)
    assert [name for name, _ in twice.named_parameters()] == ["modules.0.weight", "modules.0.bias"]
    assert [name for name, _ in twice.named_modules()] == ["", "modules.0", "modules.1"]
    assert nn.ReLU().named_parameters() == [] and len(nn.ReLU().named_modules()) == 1


# the library


def test_manual_seed_seeds_what_the_library_draws_from() -> None:
    ndl.manual_seed(3)
    first = ndl.rand(4).tolist(), nn.Linear(2, 2).weight.tolist(), np.random.rand()
    np.random.seed(3)
    assert (ndl.rand(4).tolist(), nn.Linear(2, 2).weight.tolist(), np.random.rand()) == first
    for seed in (0, np.int64(7), 2**32 - 1):
        ndl.manual_seed(seed)
    for wrong in (-1, 2**32, 1.5, "7", None):
        with pytest.raises(SettingError, match=r"\[manual_seed\] needs a whole number in 0\.\.4294967295, got"):
            ndl.manual_seed(wrong)


def test_dir_lists_what_people_use() -> None:
    listed = dir(ndl)
    assert {"Tensor", "no_grad", "relu", "nn", "optim", "data", "errors", "fit", "__version__"} <= set(listed)
    assert not {"EWiseAdd", "ReLUGradient", "TYPE_CHECKING", "builtins", "interop", "tensor"} & set(listed)
    assert all(hasattr(ndl, name) for name in listed) and ndl.EWiseAdd is ndl.ops.EWiseAdd
    assert listed == sorted(set(listed)) and NeedleError is ndl.errors.NeedleError
