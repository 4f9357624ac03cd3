"""The public interface that code written for the course relies on: every name with its arguments, and the promises
that no other test is about."""

import ast
import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest

import needle as ndl
from needle import autograd, backend_ndarray, nn, ops, optim
from needle.autograd import Op, Tensor, TensorOp, TensorTuple, TensorTupleOp, Value
from tests.needle.interface import EXTENSION, INTERFACE, MODULES, TOP_LEVEL

pytestmark = pytest.mark.both_modes


def found(path):
    """The object behind a dotted path of packages, modules and attributes."""
    first, *rest = path.split(".")
    value = importlib.import_module(first)
    for name in rest:
        if not hasattr(value, name):
            importlib.import_module(f"{value.__name__}.{name}")
        value = getattr(value, name)
    return value


def promised(arguments):
    """(name, kind, default) of each argument in a text such as `a, *, b=1`."""
    tree = ast.parse(f"def f({arguments}): ...").body[0].args
    first = [None] * (len(tree.args) - len(tree.defaults)) + tree.defaults
    yield from ((arg.arg, "positional", default) for arg, default in zip(tree.args, first, strict=True))
    if tree.vararg:
        yield tree.vararg.arg, "*", None
    yield from ((arg.arg, "keyword", default) for arg, default in zip(tree.kwonlyargs, tree.kw_defaults, strict=True))
    if tree.kwarg:
        yield tree.kwarg.arg, "**", None


KINDS = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


@pytest.mark.parametrize("line", INTERFACE, ids=lambda line: line.split("(")[0])
def test_every_name_takes_its_arguments(line):
    path, arguments = line.rstrip(")").split("(", 1)
    actual = dict(inspect.signature(found(path)).parameters)
    order = [name for name in actual if KINDS[actual[name].kind] == "positional"]
    expected = list(promised(arguments))
    assert order[: len(expected)] == [name for name, kind, _ in expected if kind == "positional"]
    for name, kind, default in expected:
        assert KINDS[actual[name].kind] == kind
        if isinstance(default, ast.Constant) and default.value is ...:
            assert actual[name].default is not inspect.Parameter.empty
        elif default is not None:
            assert actual[name].default == ast.literal_eval(default)
    extra = set(actual) - {name for name, _, _ in expected}
    optional = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    assert all(actual[n].default is not inspect.Parameter.empty or actual[n].kind in optional for n in extra)


# names and what they are


def test_top_level_names():
    assert all(hasattr(ndl, name) for name in TOP_LEVEL)
    assert all(getattr(ndl, name) is getattr(ops, name) for name in ops.__all__)
    assert all(hasattr(ops, module) for module in MODULES)
    assert ops.AddScalar.__module__ == "needle.ops.ops_mathematic"
    scope: dict = {}
    exec("from needle import *", scope)
    assert {"Tensor", "add", "EWiseAdd", "nn", "BACKEND"} <= set(scope)


@pytest.mark.parametrize(("module", "names"), [
    ("needle.data.data_basic", "Dataset DataLoader"),
    ("needle.data.data_transforms", "Transform RandomFlipHorizontal RandomCrop"),
    ("needle.nn.nn_basic", "Parameter Module Linear Sequential Dropout Residual SoftmaxLoss"),
    ("needle.nn.nn_conv", "Conv"),
    ("needle.nn.nn_sequence", "RNNCell RNN LSTMCell LSTM Embedding"),
    ("needle.nn.nn_transformer", "MultiHeadAttention AttentionLayer TransformerLayer Transformer"),
])  # fmt: skip
def test_modules_have_the_names_that_the_course_imports_from_them(module, names):
    found = importlib.import_module(module)
    package = importlib.import_module(module.rpartition(".")[0])
    assert all(getattr(found, name) is getattr(package, name) for name in names.split())


def test_the_backend_is_chosen_by_the_environment():
    command = "import needle as ndl; print(ndl.BACKEND, ndl.array_api.__name__, ndl.cpu(), ndl.default_device())"
    for value, meant in (("np", "np numpy needle.cpu() needle.cpu()"), ("nd", "nd needle.backend_ndarray cpu() cpu()")):
        environment = {"NEEDLE_BACKEND": value, "PATH": ""}
        done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == meant, done.stderr
    done = subprocess.run([sys.executable, "-c", command], env={"NEEDLE_BACKEND": "tf"}, capture_output=True, text=True)
    assert done.returncode and "NEEDLE_BACKEND must be nd or np" in done.stderr


def test_devices():
    assert ndl.cpu() == ndl.cpu() and ndl.cpu().enabled() and ndl.default_device() in ndl.all_devices()
    assert repr(backend_ndarray.cpu()) == "cpu()" and repr(backend_ndarray.cpu_numpy()) == "cpu_numpy()"
    assert repr(backend_ndarray.cuda()) == "cuda()" and backend_ndarray.cuda().enabled() is False
    assert backend_ndarray.cpu() != backend_ndarray.cuda()
    assert repr(ndl.cpu()) == ("needle.cpu()" if ndl.BACKEND == "np" else "cpu()")
    if ndl.BACKEND == "nd":
        assert ndl.cuda() == backend_ndarray.cuda() and ndl.cpu_numpy() == backend_ndarray.cpu_numpy()
        assert ndl.NDArray is backend_ndarray.NDArray and ndl.array_api is backend_ndarray
    else:
        assert ndl.NDArray is np.ndarray and ndl.array_api is np


@pytest.mark.parametrize("module", ["ndarray_backend_cpu", "ndarray_backend_numpy"])
def test_extension_modules(module):
    module = importlib.import_module(f"needle.backend_ndarray.{module}")
    assert all(callable(getattr(module, name)) for name in EXTENSION) and module.__device_name__
    array = module.Array(6)
    module.from_numpy(np.arange(6, dtype="float32").reshape(2, 3), array)
    assert array.size == 6
    np.testing.assert_array_equal(module.to_numpy(array, (3, 2), (1, 3), 0), np.arange(6).reshape(2, 3).T)
    out = module.Array(6)
    module.compact(array, out, (3, 2), (1, 3), 0)
    module.scalar_add(out, 1.0, out)
    assert module.to_numpy(out, (6,), (1,), 0).tolist() == [1, 4, 2, 5, 3, 6]
    module.reduce_sum(array, out := module.Array(2), 3)
    assert module.to_numpy(out, (2,), (1,), 0).tolist() == [3, 12]


def test_the_tiled_product_belongs_to_the_compiled_module():
    assert backend_ndarray.cpu().__tile_size__ == 8 and hasattr(backend_ndarray.cpu(), "matmul_tiled")
    assert not hasattr(backend_ndarray.cpu_numpy(), "matmul_tiled")
    assert isinstance(backend_ndarray.NDArray([1.0])._handle.ptr(), int)


# tensors


def test_tensors_are_made_of_anything_numeric():
    array = np.arange(6, dtype="float32").reshape(2, 3)
    for source in (array, array.tolist(), Tensor(array), Tensor(array).realize_cached_data(), array.astype("uint8")):
        tensor = Tensor(source)
        np.testing.assert_array_equal(tensor.numpy(), array)
        assert tensor.requires_grad and tensor.op is None and list(tensor.inputs) == [] and tensor.is_leaf()
        assert tensor.shape == (2, 3) and isinstance(tensor.cached_data, ndl.NDArray) and tensor.num_outputs == 1
    assert Tensor(3.5).numpy().item() == 3.5
    assert Tensor(Tensor(array)).cached_data is not None and not Tensor(array, requires_grad=False).requires_grad
    first = Tensor(array)
    assert Tensor(first).cached_data is first.cached_data  # shared, as device and dtype agree
    assert repr(Tensor([1.0, 2.0])) == f"needle.Tensor({Tensor([1.0, 2.0])})" and "1" in str(Tensor([1.0, 2.0]))


def test_numpy_mode_keeps_dtypes_and_data_can_be_changed_in_place():
    x = Tensor(np.random.rand(3, 2))
    if ndl.BACKEND == "np":
        assert (
            x.dtype == "float64"
            and ndl.logsumexp(x).dtype == "float64"
            and (x @ Tensor(np.ones((2, 2)))).dtype == "float64"
        )
        assert Tensor(np.arange(3)).dtype == "int64" and Tensor(np.arange(3), dtype="float32").dtype == "float32"
    else:
        assert x.dtype == "float32" and Tensor(np.arange(3), dtype="int32").dtype == "int32"
    before = x.numpy().copy()
    x.realize_cached_data().flat[3] += 0.5
    assert x.numpy().reshape(-1)[3] == pytest.approx(before.reshape(-1)[3] + 0.5)
    assert (x * 1.0).numpy().reshape(-1)[3] == pytest.approx(before.reshape(-1)[3] + 0.5)


def test_data_is_detached_and_replaced_by_assignment():
    x = Tensor([1.0, 2.0])
    y = x * 2
    assert y.data.op is None and not y.data.requires_grad and list(y.data.inputs) == []
    snapshot = x.data
    x.data = x.data - Tensor([0.5, 0.5])
    assert x.numpy().tolist() == [0.5, 1.5] and snapshot.numpy().tolist() == [1, 2] and x.requires_grad
    assert x.detach().cached_data is x.cached_data
    if ndl.BACKEND == "np":
        with pytest.raises(TypeError, match="float"):
            x.data = Tensor(np.ones(2, dtype="float32"))


def test_operators_and_identities():
    a, b = Tensor([1.0, 2.0]), Tensor([3.0, 5.0])
    c = a - b
    assert isinstance(c.op, ops.EWiseAdd) and isinstance(c.inputs[1].op, ops.Negate) and c.inputs[0] is a
    assert isinstance((a - 2).op, ops.AddScalar) and (a - 2).op.scalar == -2
    assert isinstance((2 * a).op, ops.MulScalar) and isinstance((2 + a).op, ops.AddScalar)
    assert (
        (2 - a).numpy().tolist() == [1, 0] and (a**b).numpy().tolist() == [1, 32] and (-a).numpy().tolist() == [-1, -2]
    )
    np.testing.assert_allclose((a / b).numpy(), [1 / 3, 0.4], rtol=1e-6)
    assert a == a and len({a, b, a}) == 2  # compared and hashed by identity
    with pytest.warns(UserWarning, match="whether both are one object"):
        assert a != b


def test_eager_results_without_gradients_leave_no_graph():
    x = Tensor([1.0, 2.0], requires_grad=False)
    y = ndl.exp(x) * 2
    assert y.op is None and list(y.inputs) == [] and not y.requires_grad


def test_lazy_mode_waits_until_the_data_is_asked_for(monkeypatch):
    monkeypatch.setattr(autograd, "LAZY_MODE", True)
    x = Tensor([1.0, 2.0])
    y = x * 3 + 1
    assert y.cached_data is None and isinstance(y.op, ops.AddScalar)
    assert y.numpy().tolist() == [4, 7] and y.cached_data is not None
    y.sum().backward()
    assert x.grad.numpy().tolist() == [3, 3]


def test_counter_counts_live_values():
    before = autograd.TENSOR_COUNTER
    kept = [Tensor([1.0]) for _ in range(5)]
    assert before + 5 == autograd.TENSOR_COUNTER
    del kept
    assert before == autograd.TENSOR_COUNTER
    assert issubclass(TensorTuple, Value) and issubclass(TensorOp, Op) and issubclass(TensorTupleOp, Op)


# gradients that the course asks for by name


def test_gradients_of_powers_and_of_zero_dimensional_broadcasts():
    a, b = Tensor([2.0, 3.0]), Tensor([3.0, 2.0])
    ndl.power(a, b).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), [12, 6], rtol=1e-5)
    np.testing.assert_allclose(b.grad.numpy(), [8 * np.log(2), 9 * np.log(3)], rtol=1e-5)
    for scalar in (0, -1, 0.5, 2):
        x = Tensor([4.0, 1.0])
        ndl.power_scalar(x, scalar).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), scalar * np.array([4.0, 1.0]) ** (scalar - 1), rtol=1e-5)
    one = Tensor(np.float32(2.0)) if ndl.BACKEND == "np" else Tensor([2.0])
    ndl.broadcast_to(one, (3, 4)).sum().backward()
    assert one.grad.shape == one.shape and one.grad.numpy().item() == 12


def test_large_inputs_are_stable():
    x = Tensor(np.array([[1e5, 1e5 + 1], [-1e5, 0]]))
    np.testing.assert_allclose(np.exp(ndl.logsoftmax(x).numpy()).sum(1), [1, 1], rtol=1e-5)
    z = ndl.logsumexp(Tensor(np.array([[1e10, 1e9, 1e8], [1e-10, 1e9, 1e8]])), axes=(1,))
    np.testing.assert_allclose(z.numpy(), [1e10, 1e9], rtol=1e-6)


def test_conv_needs_no_exact_division_by_the_stride():
    for k, stride, padding, size in [(3, 2, 1, 6), (3, 3, 0, 7), (1, 2, 0, 4), (4, 3, 2, 9)]:
        x, w = Tensor(np.random.rand(1, size, size, 2)), Tensor(np.random.rand(k, k, 2, 3))
        y = ndl.conv(x, w, stride=stride, padding=padding)
        assert y.shape == (1, *[(size + 2 * padding - k) // stride + 1] * 2, 3)
        y.sum().backward()
        assert x.grad.shape == x.shape and w.grad.shape == w.shape


def test_dilate_puts_zeros_after_every_element():
    x = Tensor([[1.0, 2.0]])
    assert ndl.dilate(x, (0, 1), 1).numpy().tolist() == [[1, 0, 2, 0], [0, 0, 0, 0]]
    assert ndl.undilate(ndl.dilate(x, (0, 1), 2), (0, 1), 2).numpy().tolist() == [[1, 2]]


def test_sums_over_everything():
    assert Tensor([[1.0, 2.0]]).sum().shape == (() if ndl.BACKEND == "np" else (1,))
    assert ndl.summation(Tensor(np.ones((2, 3, 4))), axes=(0, 2)).numpy().tolist() == [8, 8, 8]
    assert ndl.logsumexp(Tensor(np.zeros((2, 3))), axes=(0, 1)).numpy().item() == pytest.approx(np.log(6))


# the lectures' programs


def test_a_module_of_the_lecture_trains_without_growing_a_graph():
    class ScaleAdd(nn.Module):
        def __init__(self):
            super().__init__()
            self.s = nn.Parameter([1.0], dtype="float32")
            self.b = nn.Parameter([0.0], dtype="float32")

        def forward(self, x):
            return x * self.s + self.b

    model, x, target = ScaleAdd(), Tensor([2.0], dtype="float32"), Tensor([7.0], dtype="float32")
    opt = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(60):
        opt.reset_grad()
        z = model(x) + (-1) * target
        loss = z * z
        loss.backward()
        opt.step()
    assert loss.numpy().item() < 1e-3 and model.s.op is None


def test_adversarial_training_without_resetting_gradients():
    np.random.seed(0)
    A, mu = np.array([[1, 2], [-0.2, 0.5]]), np.array([2, 1])
    real = np.random.normal(0, 1, (256, 2)) @ A + mu
    generator = nn.Sequential(nn.Linear(2, 2))
    layers = [nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 2)]
    judge, loss = nn.Sequential(*layers), nn.SoftmaxLoss()
    opt_g, opt_d = optim.Adam(generator.parameters(), lr=0.01), optim.Adam(judge.parameters(), lr=0.01)
    for step in range(300):
        batch = real[(step % 8) * 32 :][:32]
        z = np.random.normal(0, 1, (32, 2))
        fake = generator(Tensor(z, dtype="float32"))
        yes, no = ndl.ones(32, dtype="int32"), ndl.zeros(32, dtype="int32")
        loss(judge(fake), yes).backward()
        opt_g.step()
        (loss(judge(fake.detach()), no) + loss(judge(Tensor(batch, dtype="float32")), yes)).backward()
        opt_d.step()
    mean = generator(Tensor(np.random.normal(0, 1, (512, 2)), dtype="float32")).numpy().mean(0)
    np.testing.assert_allclose(mean, mu, atol=0.6)


def test_one_tensor_op_of_a_user_in_each_mode():
    class Square(TensorOp):
        def compute(self, a):
            return a * a

        def gradient(self, out_grad, node):
            return out_grad * node.inputs[0] * 2

    x = Tensor([3.0])
    Square()(x).backward()
    assert x.grad.numpy().tolist() == [6]


def test_updates_in_the_graph_grow_it_and_updates_of_data_do_not():
    w, grad = Tensor([1.0]), Tensor([0.5])
    grown = w + (-0.1) * grad
    assert grown.op is not None
    w.data = w.data + (-0.1) * grad.data
    assert w.op is None and w.numpy().item() == pytest.approx(0.95)


def test_a_tuple_of_fused_results():
    x = Tensor([1.0])
    pair = ndl.fused_add_scalars(x, 1, 2)
    assert isinstance(pair, TensorTuple) and len(pair) == 2 and [t.numpy().item() for t in pair.tuple()] == [2, 3]
    (pair[0] + pair[1]).sum().backward()
    assert x.grad.numpy().item() == 2
    made = ndl.make_tuple(x, pair[0])
    assert made[0] is x and (made + made).tuple()[0].numpy().item() == 2 and made.detach()[0].op is None
