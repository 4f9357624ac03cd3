"""no_grad: what is computed inside records nothing, on the thread that entered it alone. In both array modes."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import Tensor, autograd, nn, ops
from needle.errors import NeedleError

pytestmark = pytest.mark.both_modes


def records() -> bool:
    """Whether a product of a parameter is recorded here."""
    y = nn.Parameter([2.0]) * 3
    assert y.requires_grad == (y.op is not None) == bool(y.inputs) == ndl.is_grad_enabled()
    return y.requires_grad


RESULTS: dict[str, Any] = {
    "sum": lambda w: (w * w).sum(), "matmul": lambda w: w @ w, "clone": lambda w: w.clone(),
    "twice permuted": lambda w: w.T.T, "stack": lambda w: ops.stack([w, w], 0), "row": lambda w: next(iter(w)),
    "item": lambda w: ops.make_tuple(w, w)[1], "softmax": ops.softmax, "getitem": lambda w: w[0, 1:],
    "recompute": lambda w: ndl.recompute(lambda x: x * w, w), "layer": lambda w: nn.Linear(3, 2)(w),
    "lstm": lambda w: nn.LSTM(3, 2)(w.reshape(3, 1, 3))[1][0], "norm": lambda w: nn.BatchNorm1d(3)(w),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_nothing_is_kept(name: str) -> None:
    w = nn.Parameter(np.arange(9.0).reshape(3, 3))
    seen: list[Any] = []
    for block in (ndl.enable_grad(), ndl.no_grad()):
        np.random.seed(0)
        with block:
            seen.append(RESULTS[name](w))
    recorded, free = seen
    assert recorded.requires_grad and not free.requires_grad and free.op is None and list(free.inputs) == []
    assert free.numpy().tobytes() == recorded.numpy().tobytes() and w.requires_grad


def test_what_was_permuted_before_is_cut_off_too() -> None:
    w = nn.Parameter(np.ones((2, 3)))
    before = w.T
    with ndl.no_grad():
        assert not before.T.requires_grad
    assert before.T is w


def test_blocks_nest_and_end_with_their_errors() -> None:
    block = ndl.no_grad()
    assert records()
    with block:
        with block, ndl.no_grad():
            assert not records()
        assert not records()
        with ndl.enable_grad():
            assert records()
            with block:
                assert not records()
            assert records()
        with pytest.raises(ZeroDivisionError), ndl.enable_grad():
            raise ZeroDivisionError
        assert not records()
    assert records() and ndl.is_grad_enabled()


def test_as_a_decorator() -> None:
    @ndl.no_grad()
    def inside(depth: int, *, more: bool = True) -> list[bool]:
        """What it says."""
        return [records(), *(inside(depth - 1) if depth else [])] if more else []

    @ndl.no_grad
    def bare() -> bool:
        return records()

    assert inside(3) == [False] * 4 and inside.__name__ == "inside" and inside.__doc__ == "What it says."
    assert inside(0, more=False) == [] and bare() is False and records()

    class Model(nn.Module):
        @ndl.no_grad()
        def predict(self) -> bool:
            return records()

    assert Model().predict() is False

    def generator() -> Any:
        yield 1

    async def coroutine() -> None:
        pass

    async def stream() -> Any:
        yield 1

    for wrong in (generator, coroutine, stream):
        with pytest.raises(NeedleError, match=r"\[no_grad\] cannot decorate a generator or coroutine"):
            ndl.no_grad()(wrong)
    with pytest.raises(NeedleError, match=r"\[enable_grad\] decorates functions, got a int"):
        ndl.enable_grad(3)


def test_each_thread_has_a_switch_of_its_own() -> None:
    block, seen = ndl.no_grad(), {}
    inside, go = threading.Event(), threading.Event()

    def other() -> None:
        seen["at first"] = records()
        with block:
            inside.set()
            go.wait(10)
            seen["inside"] = records()
        seen["after"] = records()

    thread = threading.Thread(target=other)
    with block:
        thread.start()
        inside.wait(10)
    assert records()
    go.set()
    thread.join(10)
    assert seen == {"at first": True, "inside": False, "after": True} and records()


def test_memory_does_not_grow_and_leaves_still_learn() -> None:
    w = nn.Parameter(np.ones((4, 4)))
    gc.collect()
    before = autograd.TENSOR_COUNTER
    with ndl.no_grad():
        y = w
        for _ in range(50):
            y = y @ w * 0.2
        made = nn.Parameter([3.0])
    assert before + 2 == autograd.TENSOR_COUNTER and made.requires_grad
    (made * made).sum().backward()
    assert made.grad.tolist() == [6]


def test_backward_inside_gives_the_same_gradients_without_a_graph() -> None:
    """Of plain ops, of ops whose gradients differentiate a formula, and of recomputed segments."""
    for function in (
        lambda w: ops.softmax(w * w).sum(axis=0),
        lambda w: ops.layer_norm(w, w[0], w[1])[0] * w,
        lambda w: ndl.recompute(lambda x: ops.tanh(x) @ w, w),
    ):
        grads = []
        for block in (ndl.enable_grad(), ndl.no_grad()):
            w = nn.Parameter(np.arange(9.0).reshape(3, 3) / 9)
            y = function(w)
            with block:
                y.backward()
            grads.append(w.grad)
        assert grads[0].numpy().tobytes() == grads[1].numpy().tobytes()
        assert not grads[1].requires_grad and grads[1].op is None


def test_backward_of_what_was_not_recorded_says_so() -> None:
    w = nn.Parameter([1.0])
    with ndl.no_grad():
        y = w * 2
        with pytest.raises(NeedleError, match=r"\[backward\] nothing was recorded: .*no_grad"):
            y.backward()
    assert w.grad is None


def test_gradients_of_gradients_inside() -> None:
    w = nn.Parameter([[1.0, 2.0]])
    with ndl.no_grad(), ndl.enable_grad():
        (w * w * w).sum().backward()
        w.grad.sum().backward()
    assert np.allclose(w.grad.numpy(), [[6, 12]])


def test_tracing_is_as_ever() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    with ndl.no_grad():
        inside = str(ndl.summary(model, (2, 3)))
        autograd.LAZY_MODE = True
        try:
            y = model(Tensor([[1.0, 2.0, 3.0]]))
        finally:
            autograd.LAZY_MODE = False
    assert inside == str(ndl.summary(model, (2, 3))) and not y.requires_grad
    assert np.allclose(y.numpy(), model(Tensor([[1.0, 2.0, 3.0]])).numpy())
