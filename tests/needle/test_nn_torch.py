"""Modules and optimizers beside PyTorch's, forward and backward, where PyTorch is installed."""

import numpy as np
import pytest

import needle as ndl
from needle import nn, optim

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.both_modes


def values(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def close(got, meant, tolerance=1e-4):
    np.testing.assert_allclose(got.numpy(), meant.detach().numpy(), rtol=tolerance, atol=tolerance)


def leaf(array):
    return torch.tensor(array, requires_grad=True)


def copied(parameter, theirs, permute=None):
    """Give PyTorch's parameter the values of ours."""
    array = parameter.numpy() if permute is None else parameter.numpy().transpose(permute)
    theirs.data = torch.tensor(np.ascontiguousarray(array).reshape(theirs.shape))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("size", "cin", "cout", "k", "stride"), [(8, 2, 3, 3, 1), (9, 3, 2, 3, 2), (8, 3, 16, 7, 4)])
def test_conv(size, cin, cout, k, stride, bias):
    ours = nn.Conv(cin, cout, k, stride=stride, bias=bias)
    theirs = torch.nn.Conv2d(cin, cout, k, stride=stride, padding=k // 2, bias=bias)
    copied(ours.weight, theirs.weight, (3, 2, 0, 1))
    if bias:
        copied(ours.bias, theirs.bias)
    x, tx = ndl.Tensor(values(2, cin, size, size)), leaf(values(2, cin, size, size))
    y, ty = ours(x), theirs(tx)
    close(y, ty)
    (y * y).sum().backward()
    (ty * ty).sum().backward()
    close(x.grad, tx.grad)
    np.testing.assert_allclose(
        ours.weight.grad.numpy().transpose(3, 2, 0, 1), theirs.weight.grad.numpy(), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_recurrent(name, layers):
    ours, theirs = getattr(nn, name)(4, 6, layers), getattr(torch.nn, name)(4, 6, layers)
    cells = getattr(ours, f"{name.lower()}_cells")
    pairs = []
    for number, cell in enumerate(cells):
        for mine in ("W_ih", "W_hh", "bias_ih", "bias_hh"):
            pair = getattr(cell, mine), getattr(theirs, f"{mine.replace('W', 'weight')}_l{number}")
            copied(*pair, (1, 0) if mine.startswith("W") else None)
            pairs.append(pair)
    x, tx = ndl.Tensor(values(5, 3, 4)), leaf(values(5, 3, 4))
    (y, state), (ty, tstate) = ours(x), theirs(tx)
    close(y, ty)
    for s, ts in zip(*((state, tstate) if name == "LSTM" else ([state], [tstate])), strict=True):
        close(s, ts)
    (y * y).sum().backward()
    (ty * ty).sum().backward()
    close(x.grad, tx.grad)
    for mine, other in pairs:
        np.testing.assert_allclose(mine.grad.numpy().T, other.grad.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("ours", "theirs"), [(optim.Adam, torch.optim.Adam), (optim.AdamW, torch.optim.AdamW)])
def test_adam(ours, theirs):
    param, other = nn.Parameter(ndl.Tensor(values(3, 2))), leaf(values(3, 2))
    mine = ours([param], lr=0.05, weight_decay=0.1)
    torchs = theirs([other], lr=0.05, weight_decay=0.1)
    for step in range(8):
        param.grad, other.grad = ndl.Tensor(values(3, 2, seed=step)), torch.tensor(values(3, 2, seed=step))
        mine.step()
        torchs.step()
    close(param, other, 1e-5)


def test_nesterov():
    param, other = nn.Parameter(ndl.Tensor(values(3, 2))), leaf(values(3, 2))
    mine = optim.NesterovSGD([param], lr=0.05, momentum=0.9, weight_decay=0.1)
    torchs = torch.optim.SGD([other], lr=0.05, momentum=0.9, weight_decay=0.1, nesterov=True)
    for step in range(8):
        param.grad, other.grad = ndl.Tensor(values(3, 2, seed=step)), torch.tensor(values(3, 2, seed=step))
        mine.step()
        torchs.step()
    close(param, other, 1e-5)


def test_one_cycle():
    optimizer = torch.optim.SGD([leaf(values(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=60, pct_start=0.3)
    for step in range(60):
        assert optim.one_cycle(step, 60, peak=0.5) == pytest.approx(schedule.get_last_lr()[0], rel=1e-6)
        optimizer.step()
        if step < 59:
            schedule.step()
