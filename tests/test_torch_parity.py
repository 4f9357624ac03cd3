"""Values and gradients of the ops beside PyTorch's, where PyTorch is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from needle import BACKEND, Tensor, TensorTuple, autograd, ops
from tests.cases import CASES, Case

torch = pytest.importorskip("torch")


def reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction over the op's axes; over all of them where it names none."""
    return lambda op, x: function(x, tuple(range(x.ndim)) if op.axes is None else op.axes)


def conv(op: Any, x: Any, w: Any) -> Any:
    y = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), stride=op.stride, padding=op.padding)
    return y.permute(0, 2, 3, 1)


def batch_norm(op: Any, x: Any, weight: Any, bias: Any) -> Any:
    rows = x.reshape(-1, x.shape[-1])
    return torch.nn.functional.batch_norm(rows, None, None, weight, bias, training=True, eps=op.eps).reshape(x.shape)


def batch_norm_inference(op: Any, x: Any, weight: Any, bias: Any, mean: Any, var: Any) -> Any:
    rows = x.reshape(-1, x.shape[-1])
    y = (rows - mean) / torch.sqrt(var + op.eps) * weight + bias  # torch takes no gradient for given statistics
    return y.reshape(x.shape)


def attention(op: Any, q: Any, k: Any, v: Any) -> Any:
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2]) if op.causal else None
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=op.scale)


def lstm(_: Any, gates: Any, h: Any, c: Any, W: Any) -> Any:
    """torch's own LSTM on inputs that are the gates: its input weight is the identity."""
    states, hidden = [], h.shape[1]
    for step in gates:
        h, c = torch.lstm_cell(step, (h, c), torch.eye(4 * hidden), W.T)
        states.append(h)
    return torch.stack(states), c


TORCH: dict[type, Callable[..., Any]] = {
    ops.EWiseAdd: lambda op, a, b: a + b,
    ops.AddScalar: lambda op, a: a + op.scalar,
    ops.EWiseMul: lambda op, a, b: a * b,
    ops.MulScalar: lambda op, a: a * op.scalar,
    ops.EWisePow: lambda op, a, b: a**b,
    ops.PowerScalar: lambda op, a: a**op.scalar,
    ops.EWiseDiv: lambda op, a, b: a / b,
    ops.DivScalar: lambda op, a: a / op.scalar,
    ops.Negate: lambda op, a: -a,
    ops.Log: lambda op, a: torch.log(a),
    ops.Exp: lambda op, a: torch.exp(a),
    ops.ReLU: lambda op, a: torch.relu(a),
    ops.Tanh: lambda op, a: torch.tanh(a),
    ops.Sigmoid: lambda op, a: torch.sigmoid(a),
    ops.Transpose: lambda op, x: x.transpose(*(op.axes or (-1, -2))),
    ops.Permute: lambda op, x: x.permute(op.axes),
    ops.Reshape: lambda op, x: x.reshape(op.shape),
    ops.BroadcastTo: lambda op, x: x.broadcast_to(op.shape),
    ops.Summation: reduced(lambda x, axes: x.sum(axes) if axes != () else x * 1),
    ops.LogSumExp: reduced(lambda x, axes: x.logsumexp(axes) if axes != () else x * 1),
    ops.Stack: lambda op, parts: torch.stack(parts, op.axis),
    ops.Split: lambda op, x: x.unbind(op.axis),
    ops.Flip: reduced(lambda x, axes: x.flip(axes)),
    ops.MatMul: lambda op, a, b: a @ b,
    ops.Conv: conv,
    ops.Softmax: lambda op, x: torch.softmax(x, -1),
    ops.LogSoftmax: lambda op, x: torch.log_softmax(x, -1),
    ops.CrossEntropy: lambda op, x, labels: torch.nn.functional.cross_entropy(
        x, labels.long(), label_smoothing=op.smoothing
    ),
    ops.BatchNorm: batch_norm,
    ops.BatchNormInference: batch_norm_inference,
    ops.LayerNorm: lambda op, x, w, b: torch.nn.functional.layer_norm(x, x.shape[-1:], w, b, op.eps),
    ops.Embed: lambda op, ids, weight: torch.nn.functional.embedding(ids.long(), weight),
    ops.LSTM: lstm,
    ops.Attention: attention,
}
PAIRED = [case for case in CASES if type(case.op) in TORCH]


def leaves_of(case: Case, make: Callable[[Any, bool], Any]) -> list[Any]:
    """The inputs of a case, each made by make(array, whether it is differentiated)."""
    return [
        tuple(make(part, True) for part in x) if isinstance(x, tuple) else make(x, i not in case.fixed)
        for i, x in enumerate(case.inputs)
    ]


def flat(leaves: list[Any], case: Case) -> list[Any]:
    chosen = [x for i, x in enumerate(leaves) if i not in case.fixed]
    return [part for x in chosen for part in (x if isinstance(x, tuple) else (x,))]


@pytest.mark.parametrize("case", PAIRED, ids=lambda case: case.name)
def test_value_and_gradient_are_those_of_torch(case: Case) -> None:
    dtype = "float32" if BACKEND == "nd" else "float64"
    ours = leaves_of(case, lambda x, wanted: Tensor(x, dtype=dtype, requires_grad=wanted))
    result = case.op(*[ops.make_tuple(*x) if isinstance(x, tuple) else x for x in ours])
    found = (list(result) if isinstance(result, TensorTuple) else [result])[: case.outputs]

    theirs = leaves_of(case, lambda x, wanted: torch.tensor(x, dtype=torch.float32, requires_grad=wanted))
    value = TORCH[type(case.op)](case.op, *theirs)
    expected = (list(value) if isinstance(value, tuple) else [value])[: case.outputs]

    draw = np.random.default_rng(1)
    weights = [draw.standard_normal(tuple(y.shape)).astype("float32") for y in expected]
    for y, meant in zip(found, expected, strict=True):
        np.testing.assert_allclose(y.numpy().reshape(meant.shape), meant.detach().numpy(), rtol=1e-4, atol=1e-5)
    adjoints = {y: Tensor(w.reshape(y.shape), dtype=dtype) for y, w in zip(found, weights, strict=True)}
    total = sum((y * torch.tensor(w)).sum() for y, w in zip(expected, weights, strict=True))
    total.backward()
    for got, leaf in zip(autograd.vjp(adjoints, flat(ours, case)), flat(theirs, case), strict=True):
        np.testing.assert_allclose(got.numpy(), leaf.grad.numpy(), rtol=1e-3, atol=1e-4)
