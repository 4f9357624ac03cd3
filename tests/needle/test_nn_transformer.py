"""Attention and the Transformer against formulas in numpy."""

import numpy as np
import pytest

import needle as ndl
from needle import nn
from needle.errors import ShapeError

pytestmark = pytest.mark.both_modes


def tensor(array, **options):
    return ndl.Tensor(np.asarray(array, dtype="float32"), **options)


def values(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def close(got, meant, tolerance=1e-4):
    got = got.numpy() if isinstance(got, ndl.Tensor) else got
    np.testing.assert_allclose(got, meant, rtol=tolerance, atol=tolerance)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def probabilities(q, k, causal):
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    queries, keys = scores.shape[-2:]
    if causal:
        scores = np.where(np.arange(keys) > np.arange(queries)[:, None] + keys - queries, -np.inf, scores)
    return softmax(scores)


def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def heads(x, count):
    return x.reshape(*x.shape[:2], count, -1).swapaxes(1, 2)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("queries", [1, 5])
def test_multi_head_attention(causal, dropout, queries):
    q, k, v = values(2, 3, queries, 4), values(2, 3, 5, 4, seed=1), values(2, 3, 5, 4, seed=2)
    attention = nn.MultiHeadAttention(dropout=dropout, causal=causal)
    np.random.seed(7)
    result, probs = attention(tensor(q), tensor(k), tensor(v))
    np.random.seed(7)
    mask = (np.random.rand(2, 3, queries, 5) <= 1 - dropout) / (1 - dropout)
    meant = probabilities(q, k, causal) * mask
    close(probs, meant)
    close(result, meant @ v)
    attention.eval()
    result, probs = attention(tensor(q), tensor(k), tensor(v))
    close(probs, probabilities(q, k, causal))
    close(attention.attend(tensor(q), tensor(k), tensor(v)), result.numpy())


def test_attention_gradients_with_and_without_probabilities_agree():
    inputs = [[tensor(values(2, 2, 4, 3, seed=s)) for s in range(3)] for _ in range(2)]
    g = tensor(values(2, 2, 4, 3, seed=5))
    attention = nn.MultiHeadAttention(causal=True)
    attention(*inputs[0])[0].backward(g)
    attention.attend(*inputs[1]).backward(g)
    for slow, fast in zip(*inputs, strict=True):
        close(fast.grad, slow.grad.numpy())


def test_pieces_of_multi_head_attention():
    attention = nn.MultiHeadAttention()
    mask = attention.create_causal_mask(2, 4, ndl.default_device())
    assert isinstance(mask, ndl.NDArray) and mask.shape == (1, 1, 2, 4)
    mask = mask if isinstance(mask, np.ndarray) else mask.numpy()
    lowest = -np.finfo("float32").max
    np.testing.assert_array_equal(mask[0, 0], [[0, 0, 0, lowest], [0, 0, 0, 0]])
    a, b = values(2, 3, 4, 5), values(2, 3, 6, 5, seed=1)
    close(attention.matmul(tensor(a), tensor(b)), a @ b.swapaxes(-1, -2))
    close(attention.softmax(tensor(a * 50)), softmax(a * 50))
    with pytest.raises(ShapeError, match="MultiHeadAttention"):
        attention(tensor(a), tensor(b), tensor(a))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_causal_attention_has_a_key_for_every_query(dropout):
    """Else the first queries would attend to keys that are hidden from them, all alike."""
    attention = nn.MultiHeadAttention(causal=True, dropout=dropout)
    q, k = tensor(values(1, 1, 4, 3)), tensor(values(1, 1, 2, 3, seed=1))
    for call in (attention, attention.attend):
        with pytest.raises(ShapeError, match="causal attention needs a key for every query, got 4 queries, 2 keys"):
            call(q, k, k)
        call(k, q, q)


def drawn_linears(*sizes):
    return [(np.random.rand(i, o) * 2 - 1) * np.sqrt(6 / i) for i, o in sizes]


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_attention_layer(dropout):
    q, k, v = values(2, 3, 6), values(2, 5, 4, seed=1), values(2, 5, 7, seed=2)
    np.random.seed(1)
    layer = nn.AttentionLayer(6, 2, 3, k_features=4, v_features=7, out_features=8, dropout=dropout, causal=False)
    np.random.seed(1)
    W_q, W_k, W_v, W_o = drawn_linears((6, 6), (4, 6), (7, 6), (6, 8))
    np.random.seed(2)
    y = layer(tensor(q), tensor(k), tensor(v))
    np.random.seed(2)
    mask = (np.random.rand(2, 2, 3, 5) <= 1 - dropout) / (1 - dropout)
    parts = [heads(layer_norm(x) @ W, 2) for x, W in ((q, W_q), (k, W_k), (v, W_v))]
    result = (probabilities(parts[0], parts[1], False) * mask) @ parts[2]
    close(y, result.swapaxes(1, 2).reshape(2, 3, 6) @ W_o)
    assert y.shape == (2, 3, 8) and len(layer.parameters()) == 6 + 4


def transformer_layer(x, drawn, norm=layer_norm):
    W_q, W_k, W_v, W_o, W_1, b_1, W_2, b_2 = drawn
    q, k, v = (heads(norm(x) @ W, 2) for W in (W_q, W_k, W_v))
    result = probabilities(q, k, True) @ v
    x = x + result.swapaxes(1, 2).reshape(*x.shape[:2], -1) @ W_o
    return x + np.maximum(norm(x) @ W_1 + b_1, 0) @ W_2 + b_2


def drawn_layer(features, inner, hidden):
    projections = drawn_linears((features, inner), (features, inner), (features, inner), (inner, features))
    W_1, b_1 = drawn_linears((features, hidden), (hidden, 1))
    W_2, b_2 = drawn_linears((hidden, features), (features, 1))
    return [*projections, W_1, b_1.T, W_2, b_2.T]


@pytest.mark.parametrize("batch_first", [True, False])
def test_transformer(batch_first):
    x = values(2, 5, 6)
    np.random.seed(4)
    model = nn.Transformer(6, 8, 2, num_head=2, dim_head=4, batch_first=batch_first, sequence_len=9)
    np.random.seed(4)
    meant = x + np.random.randn(9, 6)[:5]
    for _ in range(2):
        meant = transformer_layer(meant, drawn_layer(6, 8, 8))
    y, state = model(tensor(x if batch_first else x.swapaxes(0, 1)))
    close(y, meant if batch_first else meant.swapaxes(0, 1))
    assert state.shape == y.shape and not state.numpy().any()
    (y * y).sum().backward()
    assert all(param.grad is not None for param in model.parameters())
    with pytest.raises(ShapeError, match="at most 9"):
        model(tensor(values(10, 10, 6)))


def test_transformer_layer_with_dropout_draws_in_order():
    x = values(2, 3, 4)
    np.random.seed(5)
    layer = nn.TransformerLayer(4, 2, 2, 6, dropout=0.25)
    np.random.seed(5)
    W_q, W_k, W_v, W_o, W_1, b_1, W_2, b_2 = drawn_layer(4, 4, 6)
    np.random.seed(6)
    y = layer(tensor(x))
    np.random.seed(6)
    drop = [(np.random.rand(*shape) <= 0.75) / 0.75 for shape in [(2, 2, 3, 3), (2, 3, 4), (2, 3, 6), (2, 3, 4)]]
    q, k, v = (heads(layer_norm(x) @ W, 2) for W in (W_q, W_k, W_v))
    result = (probabilities(q, k, True) * drop[0]) @ v
    x = x + result.swapaxes(1, 2).reshape(2, 3, 4) @ W_o * drop[1]
    x = x + (np.maximum(layer_norm(x) @ W_1 + b_1, 0) * drop[2] @ W_2 + b_2) * drop[3]
    close(y, x)
    layer.eval()
    close(layer(tensor(values(2, 3, 4))), transformer_layer(values(2, 3, 4), (W_q, W_k, W_v, W_o, W_1, b_1, W_2, b_2)))
