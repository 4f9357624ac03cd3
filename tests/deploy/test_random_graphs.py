"""Random graphs of the ops that programs hold: the instant engine computes what the interpreter does.

    python -m tests.deploy.test_random_graphs 5000      # that many graphs, each with its own seed
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deploy import EmitError, GraphError, Instant, interpreter
from deploy.ir import Graph, Input, Node, apply, constant, describe, weight
from deploy.nd import dumps, loads
from needle import ops
from needle.errors import NeedleError
from needle.sizes import Size, dim, size_at
from needle.types import Type


class Grower:
    """A graph that grows by one random op after the other, of values that are there."""

    def __init__(self, seed: int) -> None:
        self.draw, self.numbers = random.Random(seed), np.random.default_rng(seed)
        self.batch, self.time = dim("batch", 7), dim("time", 13, 1, 9)
        self.inputs: list[Node] = []
        self.values: list[Node] = []
        self.weights = 0

    def size(self) -> int:
        return self.draw.choice([self.batch, self.batch, self.time, 1, 2, 3, 4, 5])

    def input(self, shape: tuple[int, ...] | None = None) -> Node:
        shape = tuple(self.size() for _ in range(self.draw.randint(0, 4))) if shape is None else shape
        node = Node(Input(f"x{len(self.inputs)}"), (), Type(shape))
        self.inputs.append(node)
        return node

    def known(self, *shape: int) -> Node:
        array = self.numbers.uniform(0.1, 1, shape).astype("float32")
        self.weights += 1
        return self.draw.choice([constant(array), weight(array, f"w{self.weights}")])

    def value(self, fits: Callable[[Node], bool] = lambda x: True) -> Node:
        """One that is there, the latest likeliest."""
        there = [x for x in self.values if fits(x)]
        if not there:
            raise IndexError("no such value")
        return there[-1] if self.draw.random() < 0.5 else self.draw.choice(there)

    def grow(self) -> None:
        """One op more, if it is possible; of a tuple its parts."""
        try:
            node = self.draw.choice(GROWTH)(self)
        except (NeedleError, IndexError):
            return
        if isinstance(node.type, Type):
            self.values.append(node)
        else:
            self.values += [apply(ops.TupleGetItem(i), node) for i in range(min(3, len(node.type)))]

    def like(self, x: Node) -> Node:
        """A value of the shape of x: another one, or a part of it repeated."""
        there = [y for y in self.values if describe(y.type) == describe(x.type)]
        return self.draw.choice([*there, x])


def pointwise(g: Grower) -> Node:
    x = g.value()
    kind = g.draw.choice(
        [ops.ReLU(), ops.Tanh(), ops.Negate(), ops.AddScalar(0.5), ops.MulScalar(-1.5), ops.Sigmoid(), ops.Clip(-1, 1)]
    )
    return apply(kind, x)


def two(g: Grower) -> Node:
    x = g.value()
    a, b = g.draw.sample([x, g.like(x)], 2)
    return apply(g.draw.choice([ops.EWiseAdd(), ops.EWiseMul(), ops.EWiseDiv(), ops.Maximum()]), a, b)


def with_known(g: Grower) -> Node:
    x = g.value(lambda x: len(x.shape) > 0 and not isinstance(x.shape[-1], Size))
    return apply(ops.EWiseAdd(), x, apply(ops.BroadcastTo(x.shape), g.known(x.shape[-1])))


def with_a_slice(g: Grower) -> Node:
    """x and one of its slices, which lies in the same memory."""
    x = g.value(lambda x: len(x.shape) > 0)
    part = apply(ops.GetItem((g.draw.choice([0, -1]),)), x)
    return apply(ops.EWiseAdd(), *g.draw.sample([x, apply(ops.BroadcastTo(x.shape), part)], 2))


def permute(g: Grower) -> Node:
    x = g.value()
    axes = list(range(len(x.shape)))
    g.draw.shuffle(axes)
    return apply(ops.Permute(tuple(axes)), x)


def transpose(g: Grower) -> Node:
    return apply(ops.Transpose(None), g.value(lambda x: len(x.shape) > 1))


def flip(g: Grower) -> Node:
    x = g.value(lambda x: len(x.shape) > 0)
    return apply(ops.Flip((g.draw.randrange(len(x.shape)),)), x)


def reshape(g: Grower) -> Node:
    x = g.value()
    sizes = list(x.shape)
    i = g.draw.randint(0, len(sizes))
    if len(sizes) > 1 and g.draw.random() < 0.6:
        i = min(i, len(sizes) - 2)
        sizes[i : i + 2] = [sizes[i] * sizes[i + 1]]
    elif sizes and g.draw.random() < 0.5 and not isinstance(sizes[i - 1], Size):
        whole = sizes[i - 1]
        part = g.draw.choice([n for n in range(1, whole + 1) if whole % n == 0])
        sizes[i - 1 : i or None] = [whole // part, part]
    else:
        sizes.insert(i, 1)
    return apply(ops.Reshape(tuple(sizes)), x)


def broadcast(g: Grower) -> Node:
    x = g.value(lambda x: len(x.shape) < 4)
    shape = [g.size() if n == 1 and not isinstance(n, Size) else n for n in x.shape]
    return apply(ops.BroadcastTo(tuple([g.size() for _ in range(g.draw.randint(0, 1))] + shape)), x)


def index(g: Grower) -> Node:
    x = g.value(lambda x: len(x.shape) > 0)
    parts: list[Any] = []
    for n in x.shape:
        choices: list[Any] = [(None, None, 1), 0, -1]
        if not isinstance(n, Size):
            choices += [(0, max(1, n // 2), 1), (None, None, -1), (None, None, 2), (n - 1, None, -2)]
        parts.append(g.draw.choice(choices))
    if g.draw.random() < 0.3:
        parts.insert(g.draw.randint(0, len(parts)), None)
    return apply(ops.GetItem(tuple(parts)), x)


def split(g: Grower) -> Node:
    x = g.value(lambda x: len(x.shape) > 0)
    return apply(ops.Split(g.draw.randrange(len(x.shape))), x)


def stack(g: Grower) -> Node:
    x = g.value(lambda x: len(x.shape) < 4)
    parts = apply(ops.MakeTensorTuple(), *[g.like(x) for _ in range(g.draw.randint(1, 3))])
    return apply(ops.Stack(g.draw.randint(0, len(x.shape))), parts)


def reduction(g: Grower) -> Node:
    x = g.value(lambda x: len(x.shape) > 0)
    axes = tuple(g.draw.sample(range(len(x.shape)), g.draw.randint(1, len(x.shape))))
    return apply(g.draw.choice([ops.Summation(axes), ops.LogSumExp(axes)]), x)


def softmax(g: Grower) -> Node:
    return apply(g.draw.choice([ops.Softmax(), ops.LogSoftmax()]), g.value(lambda x: len(x.shape) > 0))


def norm(g: Grower) -> Node:
    x = g.value(lambda x: len(x.shape) > 1 and not isinstance(x.shape[-1], Size))
    n = x.shape[-1]
    if g.draw.random() < 0.5:
        return apply(ops.LayerNorm(1e-2), x, g.known(n), g.known(n))
    return apply(ops.BatchNormInference(1e-2), x, *[g.known(n) for _ in range(4)])


def product(g: Grower) -> Node:
    x = g.value(lambda x: len(x.shape) > 1 and not isinstance(x.shape[-1], Size))
    return apply(ops.MatMul(), x, g.known(x.shape[-1], g.draw.randint(1, 5)))


def conv(g: Grower) -> Node:
    x = g.value(lambda x: len(x.shape) == 4 and not any(isinstance(n, Size) for n in x.shape[1:]))
    kernel, depth = g.draw.choice([1, 2, 3, 5]), g.draw.randint(1, 4)
    w = g.known(kernel, kernel, x.shape[3], depth)
    return apply(ops.Conv(g.draw.choice([1, 2]), g.draw.choice([0, 1, 2])), x, w)


def pool(g: Grower) -> Node:
    x = g.value(lambda x: len(x.shape) == 4 and not any(isinstance(n, Size) for n in x.shape[1:]))
    kind = g.draw.choice([ops.MaxPool, ops.AvgPool])
    return apply(kind((g.draw.randint(1, 2), g.draw.randint(1, 2)), (g.draw.randint(1, 2), 1), (0, 0)), x)


GROWTH = [
    pointwise, pointwise, two, two, two, with_known, with_a_slice, permute, permute, transpose, flip, reshape, reshape,
    broadcast, index, index, split, stack, reduction, softmax, norm, product, conv, pool,
]  # fmt: skip


def random_graph(seed: int) -> Graph:
    """Outputs may be one value twice, inputs, weights, views of each other; some inputs are a state."""
    g = Grower(seed)
    g.input((g.batch, *(g.draw.randint(1, 6) for _ in range(g.draw.randint(0, 3)))))
    for _ in range(g.draw.randint(0, 2)):
        g.input()
    g.values = [*g.inputs]
    for _ in range(g.draw.randint(1, 25)):
        g.grow()
    small = [x for x in g.values if not any(len(str(n)) > 30 for n in x.shape)]
    outputs = [g.draw.choice(small[-8:]) for _ in range(g.draw.randint(1, 4))]
    if g.draw.random() < 0.1:
        outputs.append(g.known(2, 3))
    state = []
    for x in g.inputs:
        after = [y for y in small if describe(y.type) == describe(x.type)]
        if after and g.draw.random() < 0.3:
            state.append((x.op.name, f"y{len(outputs)}"))
            outputs.append(g.draw.choice(after))
    graph = Graph((), tuple((f"y{i}", node) for i, node in enumerate(outputs)))
    if g.draw.random() < 0.5:  # all sizes are known
        g.input((g.time, g.batch))
    return Graph(tuple(g.inputs), graph.outputs, state=tuple(state))


def check(seed: int) -> bool:
    """Whether the graph of this seed is a program; AssertionError if it computes something else."""
    graph = random_graph(seed)
    draw = np.random.default_rng(seed)
    try:
        instant = Instant(graph, max_batch=draw.choice([2, 64]), threads=int(draw.integers(1, 3)))
    except (EmitError, GraphError) as error:
        assert str(error).startswith(("[emit]", "[verify]")), (seed, str(error))
        return False
    try:
        assert dumps(loads(dumps(graph))) == dumps(graph)
    except NeedleError as error:
        assert "unused" in str(error), (seed, str(error))
    with instant:
        for batch, time in ((3, 4), (1, 1), (2, 9), (5, 2)):
            if graph.state and batch > instant.max_batch:
                continue
            sizes = {"batch": batch, "time": time}
            instant.reset()
            state: dict[str, np.ndarray] = {}
            for _ in range(1 + bool(graph.state)):
                inputs = {x.op.name: _array(draw, x, sizes) for x in graph.inputs}
                inputs |= {name: state.get(name, np.zeros_like(inputs[name])) for name, _ in graph.state}
                expected = interpreter.run(graph, inputs)
                found = instant.run(**{x.op.name: inputs[x.op.name] for x in graph.given})
                for name, _ in graph.results:
                    _near(found[name], expected[name], (seed, name, sizes))
                state = {before: expected[after] for before, after in graph.state}
                for name, array in instant.state.items():
                    _near(array, state[name], (seed, name, sizes))
    return True


def _array(draw: np.random.Generator, x: Node, sizes: dict[str, int]) -> np.ndarray:
    return draw.standard_normal([size_at(n, sizes) for n in x.shape]).astype("float32")


def _near(found: np.ndarray, expected: np.ndarray, where: Any) -> None:
    assert found.shape == expected.shape and found.dtype == expected.dtype, where
    scale = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * scale, err_msg=str(where))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers that grow out of float32
def test_random_graphs() -> None:
    assert sum(check(seed) for seed in range(60)) > 30


if __name__ == "__main__":
    programs = 0
    np.seterr(all="ignore")
    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        try:
            programs += check(seed)
        except Exception as error:
            print(seed, type(error).__name__, str(error)[:600].replace("\n", " "), flush=True)
    print(f"{programs} programs")
