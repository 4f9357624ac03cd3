"""Self-attention with and without a cache: decoding step by step gives what one call over all positions gives."""

import numpy as np
import pytest

import needle as ndl
from needle import nn
from needle.errors import NeedleError, ShapeError

pytestmark = pytest.mark.both_modes
B, T, WIDTH, HEADS = 2, 9, 12, 3


def tensor(*shape, seed=0):
    return ndl.Tensor(np.random.RandomState(seed).randn(*shape).astype("float32"))


def close(got, meant, tolerance=1e-5):
    np.testing.assert_allclose(got, meant, rtol=tolerance, atol=tolerance)


def attention(**options):
    layer = nn.SelfAttention(WIDTH, HEADS, **options)
    layer.eval()
    return layer


def loops(layer, x, causal):
    """The definition, head by head and query by query."""
    weights = [layer.qkv.weight, layer.out.weight]
    W_qkv, W_o = (w.numpy().astype(float) for w in weights)
    b_qkv, b_o = (0 if m.bias is None else m.bias.numpy().astype(float) for m in (layer.qkv, layer.out))
    dim = WIDTH // HEADS
    q, k, v = np.split(x @ W_qkv + b_qkv, 3, axis=-1)
    joined = np.zeros(x.shape)
    for b in range(B):
        for head in range(HEADS):
            columns = slice(head * dim, (head + 1) * dim)
            for i in range(x.shape[1]):
                seen = slice(0, i + 1 if causal else None)
                scores = k[b, seen, columns] @ q[b, i, columns] / np.sqrt(dim)
                p = np.exp(scores - scores.max())
                joined[b, i, columns] = p / p.sum() @ v[b, seen, columns]
    return joined @ W_o + b_o


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_value_is_the_definition(causal, bias):
    layer, x = attention(causal=causal, bias=bias), tensor(B, T, WIDTH)
    close(layer(x).numpy(), loops(layer, x.numpy().astype(float), causal))


def test_gradients_are_those_of_differences():
    np.random.seed(0)
    layer, x = nn.SelfAttention(WIDTH, HEADS), tensor(B, T, WIDTH)
    weight = tensor(B, T, WIDTH, seed=1)

    def loss():
        return (layer(x) * weight).sum()

    loss().backward()
    for param in [x, *layer.parameters()]:
        direction, data, ends = np.random.RandomState(2).randn(*param.shape), param.numpy(), []
        slope = (param.grad.numpy() * direction).sum()
        for sign in (1, -1):
            param.data = ndl.Tensor((data + sign * 2e-3 * direction).astype("float32"))
            ends.append(loss().numpy().item())
        param.data = ndl.Tensor(data)
        assert abs((ends[0] - ends[1]) / 4e-3 - slope) <= 2e-2 * max(1, abs(slope))


@pytest.mark.parametrize("chunks", [[1] * T, [T], [4, 5], [4, 1, 1, 3], [8, 1]])
@pytest.mark.parametrize("rotary", [False, True])
def test_cached_decoding_equals_one_call(chunks, rotary):
    layer, x = attention(rotary=rotary), tensor(B, T, WIDTH)
    whole, cache, first, parts = layer(x).numpy(), layer.cache(B, T), 0, []
    for size in chunks:
        parts.append(layer(ndl.Tensor(x.numpy()[:, first : first + size]), cache).numpy())
        first += size
        assert cache.length == first
    close(np.concatenate(parts, axis=1), whole)


def test_a_cache_starts_anew_after_reset():
    layer, x, y = attention(), tensor(B, 4, WIDTH), tensor(B, 6, WIDTH, seed=1)
    cache = layer.cache(B, 6)
    layer(x, cache)
    cache.reset()
    assert cache.length == 0
    close(layer(y, cache).numpy(), layer(y).numpy())


def test_a_full_cache_says_what_to_do():
    layer, cache = attention(), nn.KVCache(B, HEADS, 5, WIDTH // HEADS)
    layer(tensor(B, 4, WIDTH), cache)
    with pytest.raises(NeedleError, match=r"holds 4 of 5 positions, no room for 2 more: make the cache longer"):
        layer(tensor(B, 2, WIDTH), cache)
    assert cache.length == 4
    layer(tensor(B, 1, WIDTH), cache)
    assert cache.length == 5


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="width must be a multiple of heads, got 12 and 5"):
        nn.SelfAttention(12, 5)
    with pytest.raises(ShapeError, match="needs sizes of at least 1"):
        nn.KVCache(1, 0, 5, 4)
    for wrong in (4.0, "4", None):
        with pytest.raises(ShapeError, match="whole numbers, got"):
            nn.KVCache(1, 1, wrong, 2)
    with pytest.raises(ShapeError, match=r"needs keys and values \(3, 3, T, 4\), got \[\(2, 3, 1, 4\)"):
        attention()(tensor(B, 1, WIDTH), nn.KVCache(3, HEADS, 5, 4))
    with pytest.raises(ShapeError, match="12 features"):
        attention()(tensor(B, T, 7))
    trained, full = nn.SelfAttention(WIDTH, HEADS), attention(causal=False)
    for layer in (trained, full):
        with pytest.raises(NeedleError, match="eval mode and causal=True"):
            layer(tensor(B, 1, WIDTH), layer.cache(B, 5))


def test_dropout_of_the_weights_is_drawn_in_training_only():
    layer, x = nn.SelfAttention(WIDTH, HEADS, dropout=0.5), tensor(B, T, WIDTH)
    assert not np.allclose(layer(x).numpy(), layer(x).numpy())
    layer.eval()
    assert np.array_equal(layer(x).numpy(), layer(x).numpy())
    close(layer(x).numpy(), loops(layer, x.numpy().astype(float), True))


@pytest.mark.parametrize("chunks", [[T], [5, 4], [1] * T])
def test_a_block_decodes_step_by_step(chunks):
    block, x = nn.TransformerBlock(WIDTH, HEADS, 20), tensor(B, T, WIDTH)
    block.eval()
    cache, first, parts = block.attention.cache(B, T), 0, []
    for size in chunks:
        parts.append(block(ndl.Tensor(x.numpy()[:, first : first + size]), cache).numpy())
        first += size
    close(np.concatenate(parts, axis=1), block(x).numpy())


def test_a_block_is_its_formula():
    block, x = nn.TransformerBlock(WIDTH, HEADS), tensor(B, T, WIDTH)
    h = x + block.attention(block.norm_1(x))
    y = h + block.down(ndl.ops.gelu(block.up(block.norm_2(h))))
    close(block(x).numpy(), y.numpy())
    assert block.up.weight.shape == (WIDTH, 4 * WIDTH)
    dropping = nn.TransformerBlock(WIDTH, HEADS, dropout=0.5, attention_dropout=0.5)
    assert not np.allclose(dropping(x).numpy(), dropping(x).numpy())
    dropping.eval()
    close(dropping(x).numpy(), dropping(x).numpy())


def test_rotary_embedding_multiplies_complex_numbers():
    x = tensor(B, HEADS, T, 8)
    values = x.numpy()[..., :4] + 1j * x.numpy()[..., 4:]
    turned = values * np.exp(1j * np.outer(np.arange(3, 3 + T), 10_000.0 ** -np.array([0, 0.25, 0.5, 0.75])))
    close(nn.RotaryEmbedding(8)(x, first=3).numpy(), np.concatenate([turned.real, turned.imag], -1))
    with pytest.raises(ShapeError, match="even number of columns for each head, got 3"):
        nn.RotaryEmbedding(3)


def test_rotary_scores_depend_on_the_distance_alone():
    rotary, q, k = nn.RotaryEmbedding(8), tensor(1, 1, 1, 8), tensor(1, 1, 1, 8, seed=1)
    score = [float((rotary(q, p + 5) * rotary(k, p)).sum().numpy().item()) for p in (0, 1, 40)]
    assert score == pytest.approx([score[0]] * 3, abs=1e-4)
    other = float((rotary(q, 6) * rotary(k, 0)).sum().numpy().item())
    assert abs(other - score[0]) > 1e-3
