"""Element types: what arrays hold, in which dtype operands meet, gradients and whole models in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import BACKEND, Tensor, nn, ops, optim
from needle.errors import DTypeError
from needle.types import DTYPES, promote

pytestmark = pytest.mark.both_modes

# In which dtype each pair meets, written out: rows and columns in the order of DTYPES.
MEETING = {
    "bool": ["bool", "uint8", "int8", "int32", "int64", "float32", "float64"],
    "uint8": ["uint8", "uint8", "int32", "int32", "int64", "float32", "float64"],
    "int8": ["int8", "int32", "int8", "int32", "int64", "float32", "float64"],
    "int32": ["int32", "int32", "int32", "int32", "int64", "float32", "float64"],
    "int64": ["int64", "int64", "int64", "int64", "int64", "float32", "float64"],
    "float32": ["float32", "float32", "float32", "float32", "float32", "float32", "float64"],
    "float64": ["float64", "float64", "float64", "float64", "float64", "float64", "float64"],
}
PAIRS = list(itertools.product(DTYPES, DTYPES))
VALUES = np.array([[1, 0, 2], [3, 1, 1]])


def tensor(dtype: str, values: Any = VALUES, **options: Any) -> Tensor:
    return Tensor(np.array(values), dtype=dtype, **options)


def meant(a: str, b: str) -> str:
    return MEETING[a][DTYPES.index(b)] if BACKEND == "nd" else str(np.result_type(a, b))


def check_type(op: Any, *inputs: Tensor) -> Tensor:
    """The result, after a look at its type: what `infer` says is what `compute` makes."""
    result = op(*inputs)
    inferred = op.infer(*[x.type for x in inputs])
    assert (tuple(result.shape), str(result.dtype)) == (tuple(inferred.shape), inferred.dtype), op
    return result


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_operands_meet_in_the_dtype_of_the_table(a: str, b: str) -> None:
    x, y = tensor(a), tensor(b)
    promoted = meant(a, b)
    if BACKEND == "nd":
        assert promote(a, b) == promote(b, a) == promoted
    for op, meaning in ((ops.EWiseAdd(), np.add), (ops.EWiseMul(), np.multiply)):
        z = check_type(op, x, y)
        assert z.dtype == promoted
        np.testing.assert_array_equal(z.numpy(), meaning(x.numpy().astype(promoted), y.numpy().astype(promoted)))
    assert check_type(ops.EWisePow(), x, y).dtype == promoted
    product = check_type(ops.MatMul(), x, ops.transpose(y))
    assert product.dtype == promoted
    np.testing.assert_array_equal(product.numpy(), x.numpy().astype(promoted) @ y.numpy().astype(promoted).T)
    quotient = check_type(ops.EWiseDiv(), x, y + tensor(b, 1))
    real = promoted if promoted.startswith("float") else "float32" if BACKEND == "nd" else "float64"
    assert quotient.dtype == real
    np.testing.assert_allclose(quotient.numpy(), x.numpy().astype(float) / (y + tensor(b, 1)).numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_python_numbers_are_weak(dtype: str) -> None:
    x = tensor(dtype)
    for number in (True, 2, 1.5, np.int64(2), np.float64(1.5), np.float32(1.5)):
        kind = bool if isinstance(number, bool) else int if isinstance(number, int | np.integer) else float
        if BACKEND == "np":
            expected = str(np.result_type(dtype, kind(number)))
        elif dtype.startswith("float") or kind is bool:
            expected = dtype
        elif kind is float:
            expected = "float32"
        else:
            expected = "int64" if dtype == "bool" else dtype
        for op in (ops.AddScalar(number), ops.MulScalar(number), ops.PowerScalar(number)):
            result = check_type(op, x)
            assert result.dtype == expected, (op, number)
        quotient = check_type(ops.DivScalar(number), x).dtype
        assert quotient == (dtype if dtype.startswith("float") else "float32" if BACKEND == "nd" else "float64")
        np.testing.assert_allclose((x * number).numpy(), x.numpy() * kind(number), rtol=1e-6)


@pytest.mark.parametrize(("a", "b"), [(a, b) for a, b in PAIRS if {a, b} != {"bool"}])
def test_differences_are_taken_where_both_meet(a: str, b: str) -> None:
    """Not in the dtype of what is subtracted: an unsigned one and bool have no negative."""
    x, y, meets = tensor(a), tensor(b), meant(a, b)
    expected = x.numpy().astype(meets) - y.numpy().astype(meets)
    differences = [x - y, -(y - x)]
    if not b.startswith("float"):  # arrays of floats are weak
        differences += [x - y.numpy(), -(y.numpy() - x)]
    for z in differences:
        assert z.dtype == meets
        np.testing.assert_array_equal(z.numpy(), expected)
    if BACKEND == "nd":
        np.testing.assert_array_equal((x.realize_cached_data() - y.realize_cached_data()).numpy(), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_less_a_tensor_is_taken_where_both_meet(dtype: str) -> None:
    x = tensor(dtype)
    forms = [x, x.realize_cached_data()] if BACKEND == "nd" else [x]
    for number in (5.5, np.float32(5.5), 5, np.int64(5)):
        expected = np.asarray(number, "float64") - VALUES.astype(bool if dtype == "bool" else float)
        for each in forms:
            assert (number - each).numpy().tolist() == expected.astype((x + number).dtype).tolist()
        assert (x - number).dtype == (number - x).dtype == (x + number).dtype
        wraps = dtype == "uint8" and isinstance(number, int | np.integer)
        assert (x - number).numpy().tolist() == ((-expected) % 256 if wraps else -expected).tolist()


def test_what_a_number_takes_from_narrow_integers_wraps_around() -> None:
    """As numpy's does, also where -number is none of the dtype."""
    for dtype, values, number in (
        ("uint8", [5, 0, 255], 7), ("int8", [-128, 5, 127], -128), ("int8", [-128, 5, 127], 127),
        ("int32", [5, 2**31 - 1], -(2**31)), ("uint8", [5], 255),
    ):  # fmt: skip
        x = tensor(dtype, values)
        np.testing.assert_array_equal((x - number).numpy(), x.numpy() - np.array(number, dtype))
        assert (x - number).dtype == dtype


NARROW = [("uint8", [1, 2, 255], 300), ("uint8", [1, 255, 0], -1), ("int8", [-128, 0, 100], 200), ("int8", [-72], -200),
          ("int32", [5, -5], 2**40), ("uint8", [0], 2**40)]  # fmt: skip


@pytest.mark.parametrize(("dtype", "values", "number"), NARROW)
def test_numbers_that_a_dtype_lacks_are_compared_by_value_and_refused_elsewhere(
    dtype: str, values: list[int], number: int
) -> None:
    x = tensor(dtype, values)
    for function, meaning in (
        (ops.equal, lambda a, b: a == b), (ops.not_equal, lambda a, b: a != b), (ops.less, lambda a, b: a < b),
        (ops.less_equal, lambda a, b: a <= b), (ops.greater, lambda a, b: a > b),
        (ops.greater_equal, lambda a, b: a >= b),
    ):  # fmt: skip
        assert function(x, number).numpy().tolist() == [meaning(value, number) for value in values]
        assert function(number, x).numpy().tolist() == [meaning(number, value) for value in values]
    for use in (
        lambda: x + number, lambda: x - number, lambda: number - x, lambda: x * number, lambda: ops.clip(x, number),
        lambda: ops.where(x > 0, x, number), lambda: ops.pad(x, [(1, 1)], value=number), lambda: x**number,
    ):  # fmt: skip
        with pytest.raises(DTypeError, match=rf"is no number that {dtype} holds|is too large for {dtype}"):
            use()


def test_pixels_are_divided_by_any_number() -> None:
    x = tensor("uint8", [0, 64, 255])
    assert (x / 256).numpy().tolist() == [0, 0.25, 255 / 256] and (x / -1).numpy().tolist() == [0, -64, -255]


@pytest.mark.parametrize(("dtype", "room"), [("uint8", 256), ("int8", 128)])
def test_narrow_dtypes_count_as_far_as_they_go(dtype: str, room: int) -> None:
    assert ops.iota(tensor(dtype, np.zeros(room)), 0).numpy().tolist() == list(range(room))
    with pytest.raises(DTypeError, match=rf"\[iota\] {dtype} counts in .*, not from 0 to {room}; take x.astype"):
        ops.iota(tensor(dtype, np.zeros(room + 1)), 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_of_numbers_are_floats_and_sums_of_integers_int64(dtype: str) -> None:
    x = tensor(dtype)
    real = dtype if dtype.startswith("float") else "float32" if BACKEND == "nd" else "float64"
    for op in (ops.Exp(), ops.Tanh(), ops.Sigmoid(), ops.LogSumExp((1,)), ops.Softmax(), ops.LogSoftmax()):
        assert check_type(op, x).dtype == real
    np.testing.assert_allclose(ops.exp(x).numpy(), np.exp(x.numpy().astype(float)), rtol=1e-6)
    for axes in (None, (0,), (0, 1), ()):
        total = check_type(ops.Summation(axes), x)
        whole = "int64" if BACKEND == "nd" else str(np.zeros(0, dtype).sum().dtype)
        assert total.dtype == (dtype if dtype.startswith("float") else whole)
        np.testing.assert_array_equal(total.numpy().reshape(-1), x.numpy().sum(axis=axes).reshape(-1))
    for exclusive in (False, True):
        assert check_type(ops.CumSum(1, exclusive), x).dtype == total.dtype
    np.testing.assert_array_equal(ops.cumsum(x, 1).numpy(), x.numpy().cumsum(1))
    if dtype in ("uint8", "int8"):
        assert ops.cumsum(tensor(dtype, [100, 100, 100])).numpy().tolist() == [100, 200, 300]
    for op in (ops.ReLU(), ops.Transpose(), ops.Reshape((3, 2)), ops.BroadcastTo((2, 2, 3)), ops.Flip((0,))):
        assert check_type(op, x).dtype == dtype
    assert check_type(ops.Dilate((0,), 1), x).dtype == dtype
    assert ops.stack([x, x], 0).dtype == ops.split(x, 0)[0].dtype == dtype
    if dtype == "bool":
        with pytest.raises(DTypeError, match=r"\[negate\] is not defined for bool"):
            ops.negate(x)
    else:
        np.testing.assert_array_equal(check_type(ops.Negate(), x).numpy(), -x.numpy())


def test_casting_cuts_towards_zero_and_its_gradient_casts_back() -> None:
    x = Tensor([-1.7, 0.0, 2.9], dtype="float32")
    assert x.astype("int32").numpy().tolist() == [-1, 0, 2] and x.astype("bool").numpy().tolist() == [True, False, True]
    assert x.astype("float32") is x and x.astype(np.float64).dtype == x.astype(float).dtype == "float64"
    assert not x.astype("int64").requires_grad and x.astype("float64").requires_grad
    (x.astype("float64") * 2.0).sum().backward()
    assert x.grad.dtype == "float32" and x.grad.numpy().tolist() == [2, 2, 2]
    assert Tensor(x, dtype="int64").dtype == "int64"


def test_gradients_have_the_dtype_of_their_tensor() -> None:
    x, y = tensor("float32"), tensor("float64")
    for result in (x * y, x + y, y / (x + 1), x @ ops.transpose(y)):
        result.sum().backward()
        assert result.dtype == "float64" and x.grad.dtype == "float32" and y.grad.dtype == "float64"
    n = tensor("int64", requires_grad=False)
    (x * n).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), VALUES)
    assert n.grad is None


@pytest.mark.skipif(BACKEND == "np", reason="in numpy mode integers may require gradients, as in the course")
def test_integers_and_bool_have_no_gradients() -> None:
    for dtype in ("bool", "int32", "int64"):
        n = tensor(dtype, requires_grad=True)
        assert not n.requires_grad and (n * n).op is None
        with pytest.raises(DTypeError, match=rf"\[backward\] only floats have gradients, this tensor is {dtype}"):
            n.backward()
    with pytest.raises(DTypeError, match="only floats"):
        Tensor([1.5]).astype("int32").backward()


def test_data_given_without_a_dtype() -> None:
    for source in (np.arange(3), np.arange(3, dtype="uint8"), [0, 1, 2], np.arange(3.0), np.array([0, 1, 2], ">f8")):
        x = Tensor(source)
        own = "float32" if BACKEND == "nd" else np.asarray(source).dtype
        assert x.numpy().tolist() == [0, 1, 2] and x.dtype == own
        for dtype in DTYPES:
            assert Tensor(source, dtype=dtype).dtype == dtype
    kept = tensor("int64")
    assert Tensor(kept).dtype == Tensor(kept.realize_cached_data()).dtype == ndl.zeros_like(kept).dtype == "int64"
    if BACKEND == "nd":
        assert ndl.NDArray(kept.realize_cached_data()).dtype == "int64"
        assert ndl.NDArray([1, 2]).dtype == ndl.NDArray(np.arange(3)).dtype == "float32"
        assert ndl.NDArray([1, 2], dtype=int).dtype == "int64"


WHOLE = [2**24, 2**24 + 1, 2**25 + 2, 2**25 + 4, 2**31 - 1, 2**53 + 1, 3 << 40, 2**62 + 2**30, 2**63 - 1]


@pytest.mark.parametrize("value", [*WHOLE, *[-value for value in WHOLE], -(2**31), -(2**63), 2**64 - 1, 2**63])
def test_integers_are_refused_where_float32_would_change_them(value: int) -> None:
    sources: list[Any] = [value, np.array(value), np.array([[0, 1], [value, 3]], np.array(value).dtype)]
    if BACKEND == "np" or int(np.float32(value)) == value:
        assert all(int(Tensor(source).numpy().reshape(-1)[-2:][0]) == value for source in sources)
        return
    for source in sources:
        with pytest.raises(DTypeError, match=rf'\[Tensor\] {value} would change .*, such as dtype="int64"'):
            Tensor(source)
    if value < 2**63:
        assert Tensor(value, dtype="int64").numpy().item() == value
        assert Tensor(Tensor(value, dtype="int64")).numpy().item() == value
    assert Tensor(value, dtype="float32").numpy().item() == np.float32(value)  # who asks for it gets it


def test_initialisers_honour_dtypes() -> None:
    for dtype in DTYPES:
        for make in (ndl.init.ones, ndl.init.zeros, ndl.init.rand, ndl.init.randn, ndl.init.randb):
            assert make(2, 3, dtype=dtype).dtype == dtype
        assert ndl.init.one_hot(4, Tensor([1, 3]), dtype=dtype).numpy().tolist() == np.eye(4)[[1, 3]].tolist()
        assert ndl.init.one_hot(4, tensor("int32", [1, 3]), dtype=dtype).dtype == dtype
    assert ndl.init.randb(3).dtype == "bool"
    np.random.seed(3)
    double = ndl.init.rand(4, dtype="float64").numpy()
    np.random.seed(3)
    np.testing.assert_array_equal(double, np.random.rand(4))


def test_unknown_dtypes_and_data_that_are_not_numbers_are_refused() -> None:
    for dtype in ("complex64", "object", "U3", "nonsense", *([None] if BACKEND == "nd" else [])):
        with pytest.raises(DTypeError, match=r"dtype must be .*bool, uint8, int8, int32, int64, float32, float64, got"):
            Tensor([1.0]).astype(dtype)
    if BACKEND == "nd":
        for dtype in ("float16", "uint16", "int16", "complex64", "nonsense"):
            with pytest.raises(DTypeError, match=r"dtype must be one of bool, .*, float64, got"):
                Tensor([1.0], dtype=dtype)
            with pytest.raises(DTypeError, match="dtype must be one of"):
                ndl.init.ones(2, dtype=dtype)
        for source in ("text", None, [None], np.array(["a"]), np.array([1j]), object()):
            with pytest.raises(DTypeError, match="needs numbers"):
                Tensor(source)
        with pytest.raises(ValueError, match="nested lists must have one length"):
            Tensor([[1], [2, 3]])


def test_numbers_too_large_for_an_integer_dtype_are_refused() -> None:
    for x in (tensor("int32"), tensor("int64")):
        with pytest.raises(DTypeError, match="too large for int"):
            x + 2**70
    with pytest.raises(DTypeError, match="a number of 3001 bits is too large"):
        tensor("float32") * 2**3000
    with pytest.raises(DTypeError, match="negative integer powers"):
        tensor("int32", [2]) ** -1


@pytest.mark.skipif(BACKEND == "np", reason="numpy mode promotes as numpy does")
def test_layers_refuse_a_mixture_of_dtypes_and_say_how_to_cast() -> None:
    x, images = tensor("float64", np.ones((2, 4))), tensor("float64", np.ones((1, 3, 8, 8)))
    for module, data in ((nn.LayerNorm1d(4), x), (nn.BatchNorm1d(4), x), (nn.Conv(3, 4, 3), images)):
        with pytest.raises(DTypeError, match=r'one dtype, got float64, float32.*; x.astype\("float64"\) casts'):
            module(data)
    with pytest.raises(DTypeError, match=r'one dtype, got int32, float32; x.astype\("float32"\) casts'):
        nn.Conv(3, 4, 3)(tensor("int32", np.ones((1, 3, 8, 8))))
    with pytest.raises(DTypeError, match="one dtype"):
        ops.stack([x, tensor("float32", np.ones((2, 4)))], 0)
    with pytest.raises(DTypeError, match="needs float32 or float64, got int64"):
        nn.SoftmaxLoss()(tensor("int64", np.ones((2, 4))), Tensor([1, 2]))
    assert nn.Linear(4, 2)(x).dtype == "float64"


def test_labels_and_ids_of_any_kind_of_whole_numbers() -> None:
    logits, weight = Tensor(np.random.default_rng(0).normal(size=(3, 5)), dtype="float32"), ndl.init.randn(7, 2)
    expected = nn.SoftmaxLoss()(logits, tensor("float32", [4, 0, 2])).numpy()
    for dtype in ("int32", "int64", "float64"):
        loss = nn.SoftmaxLoss()(logits, tensor(dtype, [4, 0, 2]))
        np.testing.assert_array_equal(loss.numpy(), expected)
        assert loss.dtype == "float32"
        loss.backward()
        assert logits.grad.dtype == "float32"
        np.testing.assert_array_equal(ops.embed(tensor(dtype, [[6, 0]]), weight).numpy(), weight.numpy()[[[6, 0]]])
        with pytest.raises(IndexError, match=r"0\.\.6, got 7"):
            ops.embed(tensor(dtype, [7]), weight)
    np.testing.assert_array_equal(ops.embed(tensor("bool", [True, False]), weight).numpy(), weight.numpy()[[1, 0]])


def models(dtype: str) -> dict[str, tuple[nn.Module, Callable[[Any], Tensor], tuple[int, ...]]]:
    """Name: a model of this dtype, what is made one number of its output, and the shape of its input."""
    options: dict[str, Any] = {"dtype": dtype}
    first: Callable[[Any], Tensor] = lambda y: ops.summation(y[0] * y[0])  # noqa: E731
    square: Callable[[Any], Tensor] = lambda y: ops.summation(y * y)  # noqa: E731
    labels = Tensor([0, 2], dtype="int64")
    loss: Callable[[Any], Tensor] = lambda y: nn.SoftmaxLoss()(y, labels)  # noqa: E731
    conv = nn.Sequential(nn.Conv(3, 4, 3, **options), nn.BatchNorm2d(4, **options), nn.ReLU(), nn.Flatten(),
                         nn.Linear(4 * 36, 3, **options))  # fmt: skip
    mlp = nn.Sequential(nn.Linear(5, 8, **options), nn.LayerNorm1d(8, **options), nn.Sigmoid(), nn.Dropout(0.3),
                        nn.Linear(8, 3, **options))  # fmt: skip
    return {
        "mlp": (mlp, loss, (2, 5)),
        "conv": (conv, loss, (2, 3, 6, 6)),
        "lstm": (nn.LSTM(3, 4, 2, **options), first, (5, 2, 3)),
        "rnn": (nn.RNN(3, 4, 1, nonlinearity="relu", **options), first, (5, 2, 3)),
        "transformer": (nn.Transformer(8, 16, 1, num_head=2, dim_head=4, dropout=0.1, sequence_len=6, **options), first,
                        (6, 2, 8)),
        "cell": (nn.RNNCell(3, 4, **options), square, (2, 3)),
    }  # fmt: skip


@pytest.mark.parametrize("name", models("float32"))
def test_models_work_in_float64(name: str) -> None:
    def trained(dtype: str) -> list[np.ndarray]:
        np.random.seed(0)
        model, reduce, shape = models(dtype)[name]
        x = Tensor(np.random.default_rng(1).normal(size=shape), dtype=dtype)
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
        found = []
        for _ in range(2):
            np.random.seed(5)
            loss = reduce(model(x))
            loss.backward()
            tensors = [loss, x.grad, *[p.grad for p in model.parameters()]]
            optimizer.step()
            assert {str(t.dtype) for t in (*tensors, *model.parameters())} == {dtype}
            found += [t.numpy() for t in tensors]
        return found

    for double, single in zip(trained("float64"), trained("float32"), strict=True):
        np.testing.assert_allclose(single, double, rtol=2e-3, atol=2e-4)


@pytest.mark.skipif(BACKEND == "np", reason="numpy arrays keep their dtype")
def test_what_is_repeated_is_looked_at_once() -> None:
    """4 * 2**40 times one number: too many for memory, and to look at."""
    with pytest.raises(MemoryError):
        Tensor(np.broadcast_to(np.int64(1), (2**40, 2, 2)))
    with pytest.raises(DTypeError, match="16777217 would change in float32"):
        Tensor(np.broadcast_to(np.int64(2**24 + 1), (2**40, 2)))
