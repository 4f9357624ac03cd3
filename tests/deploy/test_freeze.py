"""From modules to graphs: what is recorded, what is refused, and that nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deploy import FreezeError, Graph, GraphError, RunError, freeze, interpreter
from deploy.compare import relative_error
from deploy.generate import generate
from deploy.ir import Constant, Input, Node, apply
from deploy.lower import lower
from deploy.nd import dumps, loads
from deploy.passes import optimize
from deploy.verify import verify
from needle import Tensor, autograd, nn, ops
from needle.autograd import TensorOp
from needle.backend_ndarray import NDArray
from needle.sizes import Size, _watch
from needle.types import Type
from tests.deploy.conftest import images, small_net


class Function(nn.Module):
    """A module from a function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: Tensor) -> Any:
        return self.function(*x)


def test_graph_means_what_the_module_computes_for_every_batch_size(graph: Graph, model: Any) -> None:
    model.eval()
    for batch in (1, 3, 8):
        x = images(batch, seed=batch)
        expected = model(Tensor(x)).numpy()
        assert relative_error(interpreter.run(graph, {"image": x})["logits"], expected) < 1e-6
        on_cpu = interpreter.run(graph, {"image": x}, array=lambda a: NDArray(a))
        assert relative_error(on_cpu["logits"], expected) < 1e-6


def test_operators_with_numbers_and_arrays_are_recorded() -> None:
    w = np.arange(1.0, 10.0).reshape(3, 3)

    def function(x: Tensor) -> Tensor:
        y = 1 / (x + 10) + 2 ** (x / 4) + np.array([1.0, 2, 3]) - w[0] * x.clone()
        y = w[1] ** (y @ w / 300).T.T.sum(axis=1, keepdims=True) / 5 ** abs(x) + y.flatten(1)
        return (y @ w[2]).reshape(-1, 1) + y.reshape(*y.shape).sum(axis=1, keepdims=True)

    graph = freeze(Function(function), np.ones((2, 3), dtype="float32"))
    generate(lower(optimize(graph)), "operators")
    for batch in (1, 4):
        x = np.linspace(-1, 1, 3 * batch, dtype="float32").reshape(batch, 3)
        found = interpreter.run(graph, {graph.inputs[0].op.name: x})[graph.outputs[0][0]]
        assert relative_error(found, function(Tensor(x)).numpy()) < 1e-5


def test_batch_stays_symbolic_and_types_are_known(graph: Graph) -> None:
    assert [x.op.name for x in graph.inputs] == ["image"]
    assert isinstance(graph.inputs[0].shape[0], Size) and str(graph.outputs[0][1].shape) == "(batch, 5)"
    names = graph.weights().keys()
    assert "modules.0.modules.0.weight" in names and "modules.8.bias" in names


def test_mode_of_every_module_and_lazy_mode_are_restored() -> None:
    model = small_net()
    model.eval()
    model.modules[0].train()
    before = [module.training for module in model._children()]
    freeze(model, images(1))
    assert [module.training for module in model._children()] == before and autograd.LAZY_MODE is False
    with pytest.raises(FreezeError):
        freeze(model, np.zeros((1, 4, 8, 8), dtype="float32"))
    assert [module.training for module in model._children()] == before and autograd.LAZY_MODE is False


def test_graph_shares_no_memory_with_the_model() -> None:
    layer = nn.Linear(3, 2)
    graph = freeze(layer, np.zeros((1, 3)))
    x = np.ones((1, 3), dtype="float32")
    before = interpreter.run(graph, {"input": x})["output"]
    layer.weight.data = Tensor(np.zeros((3, 2), dtype="float32"))
    assert np.array_equal(interpreter.run(graph, {"input": x})["output"], before)
    weights = list(graph.weights().values())
    with pytest.raises(ValueError, match="read-only"):
        weights[0][0] = 1


BAKED = {
    "the size becomes a number": lambda x: ops.reshape(x, (int(x.shape[0]) * 2, 2)),
    "the size changes a scalar": lambda x: x * float(x.shape[0]),
    "the size decides how often": lambda x: ops.relu(x) if x.shape[0] % 2 and x.shape[0] > 7 else x,
    "a constant of the size": lambda x: x + Tensor(np.ones((int(x.shape[0]), 4), dtype="float32")),
    "the batch is summed away": lambda x: ops.summation(x, 0),
}


@pytest.mark.parametrize("function", BAKED.values(), ids=BAKED)
def test_graph_that_depends_on_the_batch_size_is_refused(function: Any) -> None:
    with pytest.raises(FreezeError, match="batch"):
        freeze(Function(function), np.zeros((2, 4)))
    assert freeze(Function(function), np.zeros((2, 4)), batch=None).inputs[0].shape == (2, 4)


BRANCHES = {
    "one image": lambda x: ops.relu(x) if x.shape[0] == 1 else x * 2,
    "not one image": lambda x: x * 2 if x.shape[0] != 1 else ops.relu(x),
    "one image, by its shape": lambda x: ops.relu(x) if x.shape == (1, 4) else x * 2,
    "one image, without a name": lambda x: ops.relu(x) if int(x.shape[0]) == 1 else x * 2,
    "the size less one": lambda x: x * 2 if x.shape[0] - 1 else ops.relu(x),
    "an even size": lambda x: ops.relu(x) if x.shape[0] % 2 == 0 else x * 2,
    "a multiple of four": lambda x: ops.relu(x) if x.shape[0] % 4 == 0 else x * 2,
    "a large size": lambda x: ops.relu(x) if x.shape[0] > 64 else x * 2,
    "both branches are one": lambda x: ops.relu(x) if x.shape[0] == 1 else ops.ReLU()(x),
    "the remainder of a size": lambda x: ops.relu(x) if x.shape[0] % 3 else x,
    "one of several": lambda x: ops.relu(x) if x.shape[0] in (16, 32) else x * 2,
    "at most so many": lambda x: x * 2 if min(x.shape[0], 100) < 100 else ops.relu(x),
    "a multiple of the size": lambda x: ops.relu(x) if (x.shape[0] * 4) == 80 else x * 2,
    "a size in bits": lambda x: ops.relu(x) if x.shape[0] >> 6 else x * 2,
    "a size as a fraction": lambda x: ops.relu(x) if x.shape[0] / 64 > 1 else x * 2,
    "a size and a fraction": lambda x: ops.relu(x) if x.shape[0] > 64.5 else x * 2,
    "a number in a size": lambda x: ops.relu(x) if 100 % x.shape[0] == 50 else x * 2,
    "a branch within a branch": lambda x: x * 2 if x.shape[0] < 50 else (x * 2 if x.shape[0] < 90 else ops.relu(x)),
}


@pytest.mark.parametrize("function", BRANCHES.values(), ids=BRANCHES)
def test_a_branch_on_the_size_of_the_batch_is_refused(function: Any) -> None:
    with pytest.raises(FreezeError, match=r"depends on a size that stays open, asked at .*test_freeze\.py:\d+: "):
        freeze(Function(function), np.zeros((2, 4)))
    assert freeze(Function(function), np.zeros((2, 4)), batch=None).inputs[0].shape == (2, 4)
    assert _watch.get() is None


def test_the_line_that_asks_is_named() -> None:
    def forward(x: Tensor) -> Tensor:
        if x.shape[0] > 64:
            return ops.relu(x)
        return x

    line = forward.__code__.co_firstlineno + 1
    with pytest.raises(FreezeError, match=rf"the answer to 'batch > 64' depends .*test_freeze\.py:{line}: "):
        freeze(Function(forward), np.zeros((2, 4)))
    graph = freeze(Function(forward), Type(("rows", 4)), dims={"rows": (1, 64)})
    assert [type(x.op) for x in graph.order()] == [Input]
    graph = freeze(Function(forward), Type(("rows", 4)), dims={"rows": (65, None)})
    assert [type(x.op) for x in graph.order()] == [Input, ops.ReLU]
    with pytest.raises(RunError, match=r"input 'input' must have shape \(rows, 4\), 65 <= rows, got \(3, 4\)"):
        interpreter.run(graph, {"input": np.zeros((3, 4), "float32")})


def test_what_c_code_sees_is_found_by_the_ops_or_by_another_trace() -> None:
    with pytest.raises(FreezeError, match=r"shapes must be equal or broadcast, got \(batch, 4\) and \(7, 4\)"):
        freeze(Function(lambda x: x + Tensor(np.ones((x.shape[0], 4), "float32"))), np.zeros((2, 4)))
    with pytest.raises(FreezeError, match=r"depends on the size 'batch', which must stay open: at sizes 7 and 11 "):
        freeze(Function(lambda x: x * float(np.ones(x.shape[0]).sum())), np.zeros((2, 4)))

    def steps(x: Tensor) -> Tensor:
        for _ in range(x.shape[0]):
            x = x * 2
        return x

    with pytest.raises(FreezeError, match="depends on the size 'batch'"):
        freeze(Function(steps), np.zeros((2, 4)))


def test_sizes_are_expressions_over_several_dims() -> None:
    def forward(x: Tensor) -> Tensor:
        batch, time, width = x.shape
        pairs = ops.reshape(x, (batch * time, width))
        return ops.reshape(ops.relu(pairs), (time, batch * width))

    graph = freeze(Function(forward), Type(("batch", "time", 4)))
    assert str(graph.outputs[0][1].type.shape) == "(time, 4*batch)"
    x = np.random.default_rng(0).standard_normal((3, 5, 4)).astype("float32")
    found = interpreter.run(graph, {"input": x})["output"]
    assert np.array_equal(found, np.maximum(x, 0).reshape(5, 12))
    assert loads(dumps(graph)).outputs[0][1].type == graph.outputs[0][1].type
    with pytest.raises(RunError, match="must have shape"):
        interpreter.run(graph, {"input": x[..., :3]})


def test_a_convolution_of_any_width_has_the_quotient_as_its_width() -> None:
    graph = freeze(nn.Conv(3, 8, 3, stride=2), Type(("batch", 3, 16, "width")))
    assert str(graph.outputs[0][1].shape) == "(batch, 8, 8, (width + 1)//2)"
    for width in (1, 2, 7, 8):
        x = np.random.default_rng(width).standard_normal((2, 3, 16, width)).astype("float32")
        assert interpreter.run(graph, {"input": x})["output"].shape == (2, 8, 8, (width + 1) // 2)


def test_names_and_bounds_of_sizes_are_checked() -> None:
    for example, dims, message in (
        (Type(("batch", 2)), {"time": (1, 2)}, "no input has a size called"),
        (Type(("not a name", 2)), {}, "needs an identifier"),
        (Type(("rows", 2)), {"rows": (0, 2)}, "1 <= low <= high"),
        (Type(("rows", 2)), {"rows": (3, 2)}, "1 <= low <= high"),
    ):
        with pytest.raises(FreezeError, match=message):
            freeze(Function(lambda x: x * 2), example, dims=dims)


SAME = {
    "two inputs of one size": lambda x: x * 2 if x.shape[0] == (x + 1).shape[0] else ops.relu(x),
    "a comparison that no size changes": lambda x: x * 2 if x.shape[0] > 0 else ops.relu(x),
    "one row for every size": lambda x: x + Tensor(np.ones((1, 4), dtype="float32")),
    "fewer axes": lambda x: x * Tensor(np.ones(4, dtype="float32")),
    "one matrix for every size": lambda x: ops.reshape(x, (x.shape[0], 2, 2)) @ Tensor(np.ones((1, 2, 3))),
    "a broadcast": lambda x: x + Tensor(np.ones((1, 1), dtype="float32")).broadcast_to(x.shape),
}


@pytest.mark.parametrize("function", SAME.values(), ids=SAME)
def test_what_holds_at_every_size_is_recorded(function: Any) -> None:
    graph = freeze(Function(function), np.zeros((2, 4)))
    assert isinstance(graph.outputs[0][1].shape[0], Size)
    for batch in (1, 2, 5):
        x = images(batch, seed=batch).reshape(batch, -1)[:, :4]
        found = interpreter.run(graph, {"input": x})["output"]
        np.testing.assert_allclose(found, function(Tensor(x)).numpy(), rtol=1e-6)


def test_what_cannot_be_recorded_is_refused() -> None:
    class Unknown(TensorOp):
        def compute(self, x: Any) -> Any:
            return x

    with pytest.raises(FreezeError, match="Unknown has no infer"):
        freeze(Function(lambda x: Unknown()(x)), Type((1, 2)))
    with pytest.raises(FreezeError, match="placeholder"):
        freeze(Function(lambda x: x * float(x.numpy().max())), Type((1, 2)))
    with pytest.raises(FreezeError, match="must return Tensors"):
        freeze(Function(lambda x: "text"), Type((1, 2)))
    with pytest.raises(FreezeError, match="needs 1 input names"):
        freeze(Function(lambda x: x), Type((1, 2)), input_names=["a", "b"])
    with pytest.raises(FreezeError, match="identifier"):
        freeze(Function(lambda x: x), Type((1, 2)), input_names=["not a name"])


def test_several_inputs_and_outputs_keep_their_order() -> None:
    graph = freeze(
        Function(lambda a, b: (a + b, a * b)), (np.zeros((1, 2)), np.zeros((1, 2))), output_names=["sum", "product"]
    )
    found = interpreter.run(graph, {"input_0": np.full((3, 2), 2.0), "input_1": np.full((3, 2), 5.0)})
    assert found["sum"][0, 0] == 7 and found["product"][2, 1] == 10
    with pytest.raises(ValueError, match="input_1"):
        interpreter.run(graph, {"input_0": np.zeros((3, 2))})
    with pytest.raises(ValueError, match="must have shape"):
        interpreter.run(graph, {"input_0": np.zeros((3, 2)), "input_1": np.zeros((4, 2))})


def test_verifier_names_what_is_wrong() -> None:
    x = Node(ops.ReLU(), (), Type((2,)))
    with pytest.raises(GraphError, match="ReLU"):
        verify(Graph((), (("y", Node(ops.ReLU(), (x,), Type((3,)))),)))
    loop = apply(ops.ReLU(), Node(Constant(np.zeros(2, dtype="float32")), (), Type((2,))))
    object.__setattr__(loop, "inputs", (loop,))
    with pytest.raises(GraphError, match="depends on itself"):
        verify(Graph((), (("y", loop),)))
