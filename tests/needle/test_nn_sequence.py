"""Recurrent networks, embeddings and attention against loops in numpy, their gradients against finite differences."""

import numpy as np
import pytest

import needle as ndl
from needle import nn
from needle.errors import NeedleError, ShapeError

pytestmark = pytest.mark.both_modes
T, B, D, H = 5, 3, 4, 6


def tensor(array, **options):
    return ndl.Tensor(np.asarray(array, dtype="float32"), **options)


def values(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def close(got, meant, tolerance=1e-5):
    got = got.numpy() if isinstance(got, ndl.Tensor) else got
    np.testing.assert_allclose(got, meant, rtol=tolerance, atol=tolerance)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights(cell):
    """W_ih, W_hh and the sum of the biases, in float64."""
    bias = 0 if cell.bias_ih is None else cell.bias_ih.numpy().astype(float) + cell.bias_hh.numpy()
    return cell.W_ih.numpy().astype(float), cell.W_hh.numpy().astype(float), bias


def rnn_step(cell, x, h, f=np.tanh):
    W_ih, W_hh, bias = weights(cell)
    return f(x @ W_ih + h @ W_hh + bias)


def lstm_step(cell, x, h, c):
    W_ih, W_hh, bias = weights(cell)
    i, f, g, o = np.split(x @ W_ih + h @ W_hh + bias, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(cell, x, h):
    W_ih, W_hh, _ = weights(cell)
    b_ih, b_hh = (0 if b is None else b.numpy().astype(float) for b in (cell.bias_ih, cell.bias_hh))
    (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(x @ W_ih + b_ih, 3, axis=1), np.split(h @ W_hh + b_hh, 3, axis=1)
    z = sigmoid(x_z + h_z)
    return (1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h


def slopes_agree(loss, params, steps=1e-2, tolerance=2e-2):
    """d loss along a random direction of each parameter, by autograd and by a central difference."""
    loss().backward()
    grads = [param.grad.numpy() for param in params]
    for param, grad in zip(params, grads, strict=True):
        direction, data = values(*param.shape, seed=9), param.numpy()
        ends = []
        for sign in (1, -1):
            param.data = tensor(data + sign * steps * direction)
            ends.append(loss().numpy().item())
        param.data = tensor(data)
        slope = (ends[0] - ends[1]) / (2 * steps)
        assert abs((grad * direction).sum() - slope) <= tolerance * max(1, abs(slope))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("module", "gates"), [(nn.RNNCell, 1), (nn.GRUCell, 3), (nn.LSTMCell, 4)])
def test_cells_draw_input_weights_first(module, gates, bias):
    np.random.seed(3)
    cell = module(D, H, bias=bias)
    np.random.seed(3)
    bound, width = 1 / np.sqrt(H), gates * H
    shapes = {"W_ih": (D, width), "W_hh": (H, width)}
    shapes |= {"bias_ih": (width,), "bias_hh": (width,)} if bias else {}
    for name, shape in shapes.items():
        close(getattr(cell, name), np.random.rand(*shape) * 2 * bound - bound)
    assert len(cell.parameters()) == len(shapes)


@pytest.mark.parametrize("state", [True, False])
@pytest.mark.parametrize(("nonlinearity", "f"), [("tanh", np.tanh), ("relu", lambda x: np.maximum(x, 0))])
def test_rnn_cell(nonlinearity, f, state):
    cell, x, h = nn.RNNCell(D, H, nonlinearity=nonlinearity), values(B, D), values(B, H, seed=1)
    y = cell(tensor(x), tensor(h) if state else None)
    close(y, rnn_step(cell, x, h if state else 0 * h, f))
    y.sum().backward()
    assert all(param.grad is not None for param in cell.parameters())


@pytest.mark.parametrize("state", [True, False])
def test_lstm_cell(state):
    cell, x = nn.LSTMCell(D, H), values(B, D)
    h, c = values(2, B, H, seed=1) * state
    got = cell(tensor(x), (tensor(h), tensor(c)) if state else None)
    for y, meant in zip(got, lstm_step(cell, x, h, c), strict=True):
        close(y, meant)
    (got[0].sum() + got[1].sum()).backward()
    assert all(param.grad is not None for param in cell.parameters())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("state", [True, False])
def test_gru_cell(state, bias):
    cell, x, h = nn.GRUCell(D, H, bias=bias), values(B, D), values(B, H, seed=1)
    y = cell(tensor(x), tensor(h) if state else None)
    close(y, gru_step(cell, x, h if state else 0 * h))
    y.sum().backward()
    assert all(param.grad is not None for param in cell.parameters())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("state", [True, False])
@pytest.mark.parametrize(("kind", "step"), [(nn.RNN, rnn_step), (nn.GRU, gru_step)])
def test_rnn_and_gru(kind, step, layers, bias, state):
    model = kind(D, H, num_layers=layers, bias=bias)
    x, h0 = values(T, B, D), values(layers, B, H, seed=1) * state
    out, h_n = model(tensor(x), tensor(h0) if state else None)
    last = []
    for cell, h in zip(model.rnn_cells if kind is nn.RNN else model.gru_cells, h0, strict=True):
        x = np.stack([h := step(cell, row, h) for row in x])
        last.append(h)
    close(out, x)
    close(h_n, np.stack(last))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("state", [True, False])
def test_lstm(layers, bias, state):
    model = nn.LSTM(D, H, num_layers=layers, bias=bias)
    x, (h0, c0) = values(T, B, D), values(2, layers, B, H, seed=1) * state
    out, (h_n, c_n) = model(tensor(x), (tensor(h0), tensor(c0)) if state else None)
    last = []
    for cell, h, c in zip(model.lstm_cells, h0, c0, strict=True):
        rows = []
        for row in x:
            h, c = lstm_step(cell, row, h, c)
            rows.append(h)
        x = np.stack(rows)
        last.append((h, c))
    close(out, x)
    close(h_n, np.stack([h for h, _ in last]))
    close(c_n, np.stack([c for _, c in last]))


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_dropout_acts_between_layers_in_training_only(kind):
    x, model = tensor(values(T, B, D)), kind(D, H, 2, dropout=0.5)
    assert not np.array_equal(model(x)[0].numpy(), model(x)[0].numpy())
    model.eval()
    assert np.array_equal(model(x)[0].numpy(), model(x)[0].numpy())
    single = kind(D, H, 1, dropout=0.5)  # no place for dropout
    assert np.array_equal(single(x)[0].numpy(), single(x)[0].numpy())


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_gradients_through_time(kind):
    np.random.seed(0)  # slopes of float32 agree for most weights, not for every draw
    model, x = kind(D, H, 2), tensor(values(T, B, D))
    weight = tensor(values(T, B, H, seed=2), requires_grad=False)

    def loss():
        out, state = model(x)
        last = state if isinstance(state, ndl.Tensor) else state[0] + state[1] * 0.5
        return (out * weight).sum() + (last * last).sum()

    slopes_agree(loss, [*model.parameters(), x])


def test_state_is_carried_and_can_be_cut():
    model = nn.LSTM(D, H)
    x = values(T, B, D)
    whole, _ = model(tensor(x))
    first, state = model(tensor(x[:2]))
    rest, _ = model(tensor(x[2:]), tuple(s.detach() for s in state))
    close(np.concatenate([first.numpy(), rest.numpy()]), whole.numpy())
    rest.sum().backward()
    assert first.grad is None


def test_wrong_states_are_refused():
    x = tensor(values(T, B, D))
    for wrong in (values(2, B, H), values(B, H), values(1, B, H + 1)):
        with pytest.raises(ShapeError, match="state must have shape"):
            nn.RNN(D, H)(x, tensor(wrong))
        with pytest.raises(ShapeError, match="state must have shape"):
            nn.GRU(D, H)(x, tensor(wrong))
        with pytest.raises(ShapeError, match="state must have shape"):
            nn.LSTM(D, H)(x, (tensor(wrong), tensor(wrong)))
    with pytest.raises(ShapeError, match="time step"):
        nn.RNN(D, H)(tensor(values(0, B, D)))
    with pytest.raises(NeedleError, match="nonlinearity"):
        nn.RNNCell(D, H, nonlinearity="sin")


def test_embedding_of_float_ids():
    np.random.seed(2)
    layer = nn.Embedding(7, 3)
    np.random.seed(2)
    close(layer.weight, np.random.randn(7, 3))
    ids = np.array([[0, 6, 6], [2, 0, 1]])
    y = layer(tensor(ids))
    close(y, layer.weight.numpy()[ids])
    g = values(2, 3, 3, seed=1)
    y.backward(tensor(g))
    meant = np.zeros((7, 3))
    np.add.at(meant, ids, g)
    close(layer.weight.grad, meant)
    for wrong in (7, -1, 0.5):
        with pytest.raises(NeedleError, match=f"{wrong}"):
            layer(tensor([[wrong]]))
