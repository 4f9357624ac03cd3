"""Modules: values, gradients and draws against formulas in numpy."""

import numpy as np
import pytest

import needle as ndl
from needle import nn
from needle.errors import NeedleError, ShapeError

pytestmark = pytest.mark.both_modes


def tensor(array, **options):
    return ndl.Tensor(np.asarray(array, dtype="float32"), **options)


def close(got, meant, tolerance=1e-5):
    got = got.numpy() if isinstance(got, ndl.Tensor) else got
    np.testing.assert_allclose(got, meant, rtol=tolerance, atol=tolerance)


def values(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def uniform(bound, *shape):
    return np.random.rand(*shape) * 2 * bound - bound


class Scale(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = nn.Parameter(tensor([s]))

    def forward(self, x):
        return x * ndl.broadcast_to(self.s, x.shape)


def test_module_finds_parameters_in_order_through_containers():
    module = nn.Module()
    first, second, third = Scale(1), Scale(2), Scale(3)
    module.a = [first, {"x": (second, nn.Identity())}]
    module.p = nn.Parameter(tensor([4.0]))
    module.nothing = [1, "text", None, ndl.Tensor([1.0])]
    module.b = third
    module.again = first
    assert [p.numpy().item() for p in module.parameters()] == [1, 2, 4, 3]
    assert module.parameters()[0] is first.s and all(p.requires_grad for p in module.parameters())
    module.eval()
    assert not module.training and not any(child.training for child in module._children())
    module.train()
    assert module.training and first.training and third.training


def test_parameters_may_be_replaced_by_tensors():
    layer = nn.Linear(2, 3)
    layer.weight = tensor(values(2, 3))
    layer(tensor(values(4, 2, seed=1))).sum().backward()
    close(layer.weight.grad, np.repeat(values(4, 2, seed=1).sum(0)[:, None], 3, 1))


@pytest.mark.parametrize("shape", [(4, 5), (1, 5), (2, 3, 5), (2, 0, 5)])
def test_linear(shape):
    np.random.seed(2)
    layer = nn.Linear(5, 3)
    np.random.seed(2)
    weight = uniform(np.sqrt(6 / 5), 5, 3)
    bias = uniform(np.sqrt(6 / 3), 3, 1).reshape(1, 3)
    close(layer.weight, weight)
    close(layer.bias, bias)
    x = tensor(values(*shape))
    y = layer(x)
    close(y, x.numpy() @ weight + bias)
    g = values(*y.shape, seed=1)
    y.backward(tensor(g))
    close(x.grad, g @ weight.T)
    close(layer.bias.grad, g.reshape(-1, 3).sum(0)[None])
    close(layer.weight.grad, x.numpy().reshape(-1, 5).T @ g.reshape(-1, 3))


def test_linear_without_bias_draws_no_bias():
    np.random.seed(4)
    layer = nn.Linear(3, 2, bias=False)
    after = np.random.rand()
    np.random.seed(4)
    np.random.rand(3, 2)
    assert layer.bias is None and np.random.rand() == after and len(layer.parameters()) == 1


def test_small_modules():
    x = tensor(values(3, 2, 4))
    close(nn.Identity()(x), x.numpy())
    assert nn.Flatten()(x).shape == (3, 8) and nn.Flatten()(tensor(values(5))).shape == (5, 1)
    close(nn.ReLU()(x), np.maximum(x.numpy(), 0))
    close(nn.Sigmoid()(x), 1 / (1 + np.exp(-x.numpy())))
    chain = nn.Sequential(Scale(2), nn.ReLU(), lambda y: y + 1)
    close(chain(x), np.maximum(2 * x.numpy(), 0) + 1)
    assert isinstance(chain.modules[1], nn.ReLU) and len(chain.parameters()) == 1
    close(nn.Residual(Scale(3))(x), 4 * x.numpy())


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_loss(dtype, smoothing):
    z, labels = values(6, 4) * 5, np.array([0, 3, 1, 1, 2, 0], dtype=dtype)
    logits = tensor(z)
    loss = nn.SoftmaxLoss(smoothing)(logits, ndl.Tensor(labels))
    assert loss.shape == (() if ndl.BACKEND == "np" else (1,))
    e = np.exp(z - z.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    target = (1 - smoothing) * np.eye(4)[labels.astype(int)] + smoothing / 4
    close(loss, -(target * np.log(p)).sum(1).mean(), 1e-4)
    loss.backward()
    close(logits.grad, (p - target) / 6)


@pytest.mark.parametrize("labels", [[0, 4], [0, -1], [0.5, 1]])
def test_softmax_loss_refuses_labels_that_are_no_classes(labels):
    with pytest.raises(NeedleError):
        nn.SoftmaxLoss()(tensor(values(2, 4)), ndl.Tensor(np.array(labels)))


def normalized(x, axes, eps=1e-5):
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps), mean.reshape(-1), var.reshape(-1)


@pytest.mark.parametrize("momentum", [0.1, 0.3])
def test_batch_norm_1d(momentum):
    norm = nn.BatchNorm1d(5, momentum=momentum)
    norm.weight.data, norm.bias.data = tensor(values(5, seed=1)), tensor(values(5, seed=2))
    running_mean, running_var = np.zeros(5), np.ones(5)
    for step in range(3):
        x = values(8, 5, seed=step) * 3 + 1
        meant, mean, var = normalized(x, 0)
        close(norm(tensor(x)), meant * norm.weight.numpy() + norm.bias.numpy(), 1e-4)
        running_mean = (1 - momentum) * running_mean + momentum * mean
        running_var = (1 - momentum) * running_var + momentum * var
    close(norm.running_mean, running_mean)
    close(norm.running_var, running_var)
    assert norm.running_mean.shape == (5,) and norm.running_mean.op is None
    norm.eval()
    y = (x - running_mean) / np.sqrt(running_var + 1e-5) * norm.weight.numpy() + norm.bias.numpy()
    close(norm(tensor(x)), y, 1e-4)
    close(norm.running_mean, running_mean)
    assert [p.shape for p in norm.parameters()] == [(5,), (5,)]


def test_batch_norm_gradient():
    norm, x, g = nn.BatchNorm1d(4), tensor(values(6, 4) * 2), values(6, 4, seed=1)
    norm(x).backward(tensor(g))
    n, _, var = normalized(x.numpy(), 0)
    close(x.grad, (g - g.mean(0) - n * (g * n).mean(0)) / np.sqrt(var + 1e-5), 1e-4)
    close(norm.weight.grad, (g * n).sum(0), 1e-4)
    close(norm.bias.grad, g.sum(0), 1e-4)


def test_batch_norm_2d_is_per_channel():
    norm, x = nn.BatchNorm2d(3), values(4, 3, 5, 2) * 2 - 1
    meant, mean, var = normalized(x, (0, 2, 3))
    close(norm(tensor(x)), meant, 1e-4)
    close(norm.running_mean, 0.1 * mean)
    close(norm.running_var, 0.9 + 0.1 * var)
    norm.eval()
    shape = (1, 3, 1, 1)
    y = (x - 0.1 * mean.reshape(shape)) / np.sqrt(0.9 + 0.1 * var.reshape(shape) + 1e-5)
    close(norm(tensor(x)), y, 1e-4)


@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 5)])
def test_layer_norm(shape):
    norm, x, g = nn.LayerNorm1d(5), tensor(values(*shape) * 3), values(*shape, seed=3)
    y = norm(x)
    n = (x.numpy() - x.numpy().mean(-1, keepdims=True)) / np.sqrt(x.numpy().var(-1, keepdims=True) + 1e-5)
    close(y, n, 1e-4)
    y.backward(tensor(g))
    r = 1 / np.sqrt(x.numpy().var(-1, keepdims=True) + 1e-5)
    close(x.grad, r * (g - g.mean(-1, keepdims=True) - n * (g * n).mean(-1, keepdims=True)), 1e-4)
    assert norm.weight.shape == norm.bias.shape == (5,)


def test_normalisation_keeps_float64_and_float32_statistics():
    if ndl.BACKEND == "np":
        norm = nn.BatchNorm1d(3)
        assert norm(ndl.Tensor(values(4, 3).astype("float64"))).dtype == "float64"
        assert norm.running_mean.dtype == norm.running_var.dtype == "float32"


def test_dropout():
    dropout, x = nn.Dropout(0.3), tensor(values(20, 30))
    np.random.seed(6)
    y = dropout(x)
    np.random.seed(6)
    mask = np.random.rand(20, 30) <= 0.7
    close(y, x.numpy() * mask / 0.7)
    y.sum().backward()
    close(x.grad, mask / 0.7)
    dropout.eval()
    np.random.seed(6)
    close(dropout(x), x.numpy())
    np.testing.assert_array_equal(np.random.rand(2), np.random.RandomState(6).rand(2))  # nothing was drawn
    nn.Dropout(0.0)(x)
    rest = np.random.RandomState(6)
    rest.rand(2 + 600)
    assert np.random.rand() == rest.rand()  # in training, numbers are drawn even if none is dropped
    with pytest.raises(ValueError, match=r"\[Dropout\]"):
        nn.Dropout(1.0)


def conv_nchw(x, weight, bias, stride):
    k = weight.shape[0]
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("bchwpq,pqco->bohw", windows, weight) + bias[:, None, None]


@pytest.mark.parametrize(("size", "k", "stride"), [(6, 3, 1), (7, 3, 2), (5, 1, 1), (8, 7, 4), (6, 5, 2)])
def test_conv(size, k, stride):
    np.random.seed(8)
    layer = nn.Conv(2, 3, k, stride=stride)
    np.random.seed(8)
    weight = uniform(np.sqrt(6 / (2 * k * k)), k, k, 2, 3)
    bias = uniform(1 / np.sqrt(2 * k * k), 3)
    close(layer.weight, weight)
    close(layer.bias, bias)
    x = tensor(values(2, 2, size, size))
    y = layer(x)
    close(y, conv_nchw(x.numpy(), weight, bias, stride), 1e-4)
    g = values(*y.shape, seed=4)
    y.backward(tensor(g))
    close(layer.bias.grad, g.sum((0, 2, 3)), 1e-4)
    for wrt, name in ((x, "x"), (layer.weight, "weight")):  # linear in each: the directional derivative is exact
        direction = values(*wrt.shape, seed=5)
        moved = {"x": x.numpy(), "weight": weight} | {name: direction}
        slope = (conv_nchw(moved["x"], moved["weight"], np.zeros(3), stride) * g).sum()
        close((wrt.grad.numpy() * direction).sum(), slope, 2e-3)


def test_conv_without_bias_and_with_strange_sizes():
    np.random.seed(1)
    layer = nn.Conv(2, 3, (3, 3), bias=False)
    assert layer.bias is None and len(layer.parameters()) == 1
    with pytest.raises(ShapeError, match=r"\[Conv\]"):
        nn.Conv(2, 3, (3, 5))


WRONG = [
    (nn.Linear, (4, 2), (3, 5), "Linear"),
    (nn.BatchNorm1d, (4,), (3, 5), "BatchNorm1d"),
    (nn.BatchNorm1d, (4,), (3, 4, 4), "BatchNorm1d"),
    (nn.BatchNorm2d, (4,), (2, 3, 4, 4), "BatchNorm2d"),
    (nn.BatchNorm2d, (4,), (2, 4), "BatchNorm2d"),
    (nn.LayerNorm1d, (4,), (2, 3), "LayerNorm1d"),
    (nn.Conv, (3, 4, 3), (2, 2, 8, 8), "Conv"),
    (nn.Conv, (3, 4, 3), (2, 3, 8), "Conv"),
    (nn.RNN, (3, 4), (5, 2, 2), "RNN"),
    (nn.RNN, (3, 4), (5, 3), "RNN"),
    (nn.LSTM, (3, 4), (5, 2, 2), "LSTM"),
    (nn.LSTMCell, (3, 4), (5, 2), "LSTMCell"),
    (nn.RNNCell, (3, 4), (5, 2), "RNNCell"),
    (nn.AttentionLayer, (8, 2, 4), (2, 3, 7), "AttentionLayer"),
    (nn.Transformer, (8, 4, 1), (2, 3, 7), "Transformer"),
]


@pytest.mark.parametrize(("module", "options", "shape", "name"), WRONG)
def test_modules_say_which_input_they_need(module, options, shape, name):
    with pytest.raises(ShapeError, match=rf"\[{name}\] needs .*{shape[-1]}"):
        module(*options)(tensor(values(*shape)))
