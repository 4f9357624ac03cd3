"""The compiled fused kernels against their numpy twins in float64."""

import numpy as np
import pytest

from needle.backend_ndarray import NDArray, cpu
from needle.backend_ndarray import ndarray_backend_cpu as extension
from needle.backend_ndarray.kernels import kernels
from needle.errors import IndexRangeError, ShapeError

compiled = kernels(NDArray([0.0], device=cpu()))
plain = kernels(np.zeros(1))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def nd(x):
    return NDArray(np.asarray(x, dtype=np.float32), device=cpu())


def strided(x):
    """The numbers of x in every second place of every second row of a larger array."""
    big = nd(np.full([2 * n for n in x.shape], 9.0))
    view = big[tuple(slice(0, 2 * n, 2) for n in x.shape)]
    view[tuple(slice(0, n) for n in x.shape)] = nd(x)
    return view


def check(name, *args, tolerance=2e-6, layout=nd, **options):
    """The compiled kernel gives what the plain one gives in float64, relative to the largest number."""
    args = [a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in args]
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in args]
    given = [layout(a) if isinstance(a, np.ndarray) else a for a in args]
    expected, got = getattr(plain, name)(*wide, **options), getattr(compiled, name)(*given, **options)
    expected, got = (r if isinstance(r, tuple) else (r,) for r in (expected, got))
    assert len(expected) == len(got)
    for e, g in zip(expected, got, strict=True):
        assert g.shape == (e.shape or (1,))
        finite = np.abs(e[np.isfinite(e)])
        scale = finite.max() if finite.size else 1.0
        np.testing.assert_allclose(g.numpy().reshape(e.shape), e, rtol=tolerance, atol=tolerance * max(scale, 1.0))


ROWS = [(1, 1), (1, 7), (5, 1), (3, 16), (7, 17), (33, 10), (4, 100), (2, 3, 31), (130, 257)]


@pytest.mark.parametrize("layout", [nd, strided])
@pytest.mark.parametrize("shape", ROWS)
@pytest.mark.parametrize("scale", [1, 1e5])
def test_softmax_family(rng, shape, scale, layout):
    x, g = rng.normal(size=shape) * scale, rng.normal(size=shape)
    check("softmax", x, layout=layout)
    check("logsoftmax", x, layout=layout)
    check("softmax_gradient", g, plain.softmax(x), layout=layout)
    check("logsoftmax_gradient", g, plain.logsoftmax(x), layout=layout)


@pytest.mark.parametrize("axes", [None, 0, 1, -1, (0, 2), (1, 2), (0, 1, 2)])
def test_logsumexp_over_any_axes(rng, axes):
    x = rng.normal(size=(3, 5, 18)) * 20
    check("logsumexp", x, axes)
    check("logsumexp", x + 1e10, axes)
    check("logsumexp", x, axes, layout=strided)


def test_infinite_logits():
    inf = np.inf
    x = np.array([[0, -inf, 1], [-inf, -inf, -inf], [inf, 0, 0], [np.nan, 0, 1], [1, 2, 3]])
    check("logsumexp", x, 1)
    check("softmax", x)
    check("logsoftmax", x)
    assert np.isfinite(compiled.softmax(nd(x)).numpy()[[0, 4]]).all()  # NaN stays in its row
    assert compiled.softmax(nd(x)).numpy()[0, 1] == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (6, 1), (33, 10), (70, 1000), (5, 33)])
@pytest.mark.parametrize("scale", [1, 1e5])
def test_cross_entropy(rng, shape, scale, smoothing):
    x, labels = rng.normal(size=shape) * scale, rng.integers(0, shape[1], size=shape[0]).astype(float)
    check("cross_entropy", x, labels, smoothing)
    check("cross_entropy_gradient", np.array([1.5]), x, labels, smoothing)
    check("cross_entropy_gradient", np.array([1.5]), x, labels, smoothing, layout=strided)


@pytest.mark.parametrize("bad", [-1, 3, 0.5, np.nan, np.inf, 1e30])
def test_labels_and_ids_out_of_range_are_named(bad):
    logits, labels = np.zeros((4, 3)), np.array([0, 2, bad, 1])
    for module, array in ((compiled, nd), (plain, np.asarray)):
        for call in (
            lambda m, a: m.cross_entropy(a(logits), a(labels), 0.0),
            lambda m, a: m.cross_entropy_gradient(a([1.0]), a(logits), a(labels), 0.0),
            lambda m, a: m.embedding(a(labels), a(np.zeros((3, 2)))),
            lambda m, a: m.embedding_gradient(a(np.zeros((4, 2))), a(labels), 3),
        ):
            with pytest.raises(IndexRangeError, match=r"whole numbers in 0\.\.2, got .* 2$"):
                call(module, array)


NORMS = [(1, 1), (1, 5), (2, 3), (5, 1), (130, 16), (1000, 3), (9, 40), (4, 3, 3, 20), (70, 128), (5000, 2)]


@pytest.mark.parametrize("shape", NORMS)
@pytest.mark.parametrize("offset", [0, 1000])
def test_batch_norm(rng, shape, offset):
    x, g = (rng.normal(size=shape) + offset).astype(np.float32).astype(float), rng.normal(size=shape)
    weight, bias = rng.normal(size=shape[-1]), rng.normal(size=shape[-1])
    _, mean, var = plain.batch_norm(x, weight, bias)
    loose = 5e-6 if offset == 0 else 2e-3  # the inputs themselves are known to 6e-5 around 1000
    check("batch_norm", x, weight, bias, 1e-3, tolerance=loose)
    check("batch_norm", x, weight, bias, 1e-3, tolerance=loose, layout=strided)
    check("batch_norm_inference", x, weight, bias, mean, var, 1e-3, tolerance=loose)
    check("batch_norm_gradient", g, x, weight, mean, var, 1e-3, tolerance=loose)


def test_batch_norm_variance_far_from_zero(rng):
    x = (rng.normal(size=(4096, 3)) + 4096).astype(np.float32)
    _, mean, var = compiled.batch_norm(nd(x), nd(np.ones(3)), nd(np.zeros(3)))
    np.testing.assert_allclose(var.numpy(), x.astype(float).var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(mean.numpy(), x.astype(float).mean(axis=0), rtol=1e-6)


def test_batch_norm_keeps_the_memory_order_of_a_permuted_array(rng):
    x, weight, bias = rng.normal(size=(6, 2, 5, 4)), np.ones(4), np.zeros(4)
    view = nd(x).permute((2, 0, 1, 3))
    for y in (compiled.batch_norm(view, nd(weight), nd(bias))[0],
              compiled.batch_norm_inference(view, nd(weight), nd(bias), nd(bias), nd(weight))):
        assert y.strides == view.strides
    y = compiled.batch_norm(view, nd(weight), nd(bias))[0]
    np.testing.assert_allclose(y.numpy(), plain.batch_norm(x.transpose(2, 0, 1, 3), weight, bias)[0], atol=1e-5)


def test_nan_stays_in_its_channel_and_its_row(rng):
    x = rng.normal(size=(50, 20))
    x[7, 3] = np.nan
    one, zero = nd(np.ones(20)), nd(np.zeros(20))
    by_channel, by_row = (np.isnan(f(nd(x), one, zero)[0].numpy()) for f in (compiled.batch_norm, compiled.layer_norm))
    assert np.flatnonzero(by_channel.any(axis=0)).tolist() == [3]
    assert np.flatnonzero(by_row.any(axis=1)).tolist() == [7]


@pytest.mark.parametrize("shape", NORMS)
def test_layer_norm(rng, shape):
    x, g = rng.normal(size=shape), rng.normal(size=shape)
    weight, bias = rng.normal(size=shape[-1]), rng.normal(size=shape[-1])
    _, mean, rstd = plain.layer_norm(x, weight, bias, 1e-3)
    for layout in (nd, strided):
        check("layer_norm", x, weight, bias, 1e-3, tolerance=5e-6, layout=layout)
        check("layer_norm_gradient", g, x, weight, mean, rstd, tolerance=1e-5, layout=layout)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 1, 4), (2, 5, 3), (7, 20, 17), (4, 11, 32), (0, 2, 3)])
def test_lstm(rng, sizes):
    steps, batch, hidden = sizes
    gates, W_hh = rng.normal(size=(steps, batch, 4 * hidden)), rng.normal(size=(hidden, 4 * hidden)) * 0.5
    h0, c0 = rng.normal(size=(batch, hidden)), rng.normal(size=(batch, hidden))
    saved = plain.lstm(gates, h0, c0, W_hh)
    d_out, d_c = rng.normal(size=(steps, batch, hidden)), rng.normal(size=(batch, hidden))
    for layout in (nd, strided) if steps else (nd,):
        check("lstm", gates, h0, c0, W_hh, tolerance=1e-5, layout=layout)
        check("lstm_gradient", d_out, d_c, *saved, h0, c0, W_hh, tolerance=2e-5, layout=layout)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 1, 4), (2, 5, 3), (7, 20, 17), (4, 11, 32), (0, 2, 3)])
def test_gru_and_rnn(rng, sizes):
    steps, batch, hidden = sizes
    gates, W_hh = rng.normal(size=(steps, batch, 3 * hidden)), rng.normal(size=(hidden, 3 * hidden)) * 0.5
    h0, bias, d_out = (rng.normal(size=shape) for shape in ((batch, hidden), 3 * hidden, (steps, batch, hidden)))
    saved = plain.gru(gates, h0, W_hh, bias)
    for layout in (nd, strided) if steps else (nd,):
        check("gru", gates, h0, W_hh, bias, tolerance=1e-5, layout=layout)
        check("gru_gradient", d_out, *saved, h0, W_hh, tolerance=2e-5, layout=layout)
        for relu in (False, True):
            some, square = gates[..., :hidden], W_hh[:, :hidden]
            check("rnn", some, h0, square, relu, tolerance=1e-5, layout=layout)
            out = plain.rnn(some, h0, square, relu)
            check("rnn_gradient", d_out, out, h0, square, relu, tolerance=2e-5, layout=layout)


SIZES = [(1, 1, 1, 1, 1), (2, 3, 5, 5, 4), (1, 2, 33, 40, 16), (2, 1, 32, 70, 20), (1, 2, 99, 99, 64), (1, 1, 3, 97, 7)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("causal", [False, True])
def test_attention(rng, sizes, causal):
    batch, heads, queries, keys, depth = sizes
    q, g = rng.normal(size=(2, batch, heads, queries, depth))
    k, v = rng.normal(size=(2, batch, heads, keys, depth))
    out, lse = plain.attention(q, k, v, 0.3, causal)
    turned = lambda x: nd(x.swapaxes(1, 2)).permute((0, 2, 1, 3)) if x.ndim == 4 else nd(x)  # noqa: E731
    for layout in (nd, strided, turned):
        check("attention", q, k, v, 0.3, causal, tolerance=5e-6, layout=layout)
        check("attention_gradient", g, q, k, v, out, lse, 0.3, causal, tolerance=1e-5, layout=layout)
    assert compiled.attention(turned(q), turned(k), turned(v), 0.3, causal)[0].strides == turned(q).strides


def test_attention_with_large_scores(rng):
    q, k, v = rng.normal(size=(3, 1, 2, 40, 8)) * 100
    check("attention", q, k, v, 1.0, True, tolerance=1e-4)


def test_causal_attention_refuses_more_queries_than_keys():
    q, k = np.zeros((1, 1, 3, 2)), np.zeros((1, 1, 2, 2))
    for module, array in ((compiled, nd), (plain, np.asarray)):
        with pytest.raises(ShapeError, match="3 queries and 2 keys"):
            module.attention(array(q), array(k), array(k), 1.0, True)


@pytest.mark.parametrize("shape", [(1, 1), (10, 7), (100, 64), (3000, 33)])
def test_embedding(rng, shape):
    ids, weight = rng.integers(0, shape[0], size=(4, 9)).astype(float), rng.normal(size=shape)
    check("embedding", ids, weight)
    check("embedding", ids, weight, layout=strided)
    check("embedding_gradient", rng.normal(size=(4, 9, shape[1])), ids, shape[0])
    check("embedding_gradient", rng.normal(size=(4, 9, shape[1])), ids, shape[0], layout=strided)


def steps_agree(module, array, step):
    """Three steps of two parameters; their values and the optimizer's state afterwards."""
    rng = np.random.default_rng(3)
    shapes = [(3, 41), (7,)]
    params = [array(rng.normal(size=shape)) for shape in shapes]
    state = [[array(np.zeros(shape)) for shape in shapes] for _ in range(2)]
    for t in range(1, 4):
        before = [np.array(p) for p in params]
        new = step(module, params, [array(rng.normal(size=shape)) for shape in shapes], *state, t)
        assert all((np.asarray(p) == b).all() for p, b in zip(params, before, strict=True)), "parameters must stay"
        params = new
    return [np.asarray(x) for x in (*params, *state[0], *state[1])]


@pytest.mark.parametrize("step", [
    lambda k, p, g, m, v, t: k.sgd_step(p, g, [], 0.1, 0.0, 0.2),
    lambda k, p, g, m, v, t: k.sgd_step(p, g, m, 0.1, 0.9, 0.2),
    lambda k, p, g, m, v, t: k.momentum_step(p, g, m, 0.1, 0.9, 0.2),
    lambda k, p, g, m, v, t: k.momentum_step(p, g, m, 0.1, 0.9, 0.0, False),
    lambda k, p, g, m, v, t: k.adam_step(p, g, m, v, t, 0.1),
    lambda k, p, g, m, v, t: k.adam_step(p, g, m, v, t, 0.1, 0.8, 0.99, 1e-6, 0.3),
    lambda k, p, g, m, v, t: k.adam_step(p, g, m, v, t, 0.1, 0.8, 0.99, 1e-6, 0.3, True),
])
def test_optimizer_steps(step):
    expected, got = steps_agree(plain, np.array, step), steps_agree(compiled, nd, step)
    for e, g in zip(expected, got, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-6)


def test_optimizer_steps_refuse_overlap_and_other_shapes():
    p, g, m = (nd(np.ones((2, 3))) for _ in range(3))
    with pytest.raises(ValueError, match="given twice"):
        compiled.sgd_step([p], [g], [p], 0.1)
    with pytest.raises(ValueError, match="given twice"):
        compiled.adam_step([p], [g], [m], [m], 1, 0.1)
    with pytest.raises(ValueError, match="given twice"):
        compiled.sgd_step([p, g], [g, p], [m, m], 0.1, 0.9)
    with pytest.raises(ValueError, match="given twice"):
        compiled.sgd_step([p, m], [g, g], [m, nd(np.ones((2, 3)))], 0.1, 0.9)
    with pytest.raises(ShapeError, match="parameter's shape"):
        compiled.sgd_step([p], [nd(np.ones(5))], [], 0.1)
    with pytest.raises(ShapeError, match="compact where they are written"):
        compiled.sgd_step([p], [g], [nd(np.ones((3, 2))).permute((1, 0))], 0.1)
    with pytest.raises(ValueError, match="count from 1"):
        compiled.adam_step([p], [g], [m], [nd(np.ones((2, 3)))], 0, 0.1)


def everything(rng):
    """Results of every kernel as bytes, on sizes that make several tasks."""
    x, g, w, b = (nd(rng.normal(size=s)) for s in ((900, 100), (900, 100), (100,), (100,)))
    labels, one = nd(rng.integers(0, 100, size=900)), nd([1.0])
    q, k, v = (nd(rng.normal(size=(2, 3, 70, 20))) for _ in range(3))
    gates, h, c, W = (nd(rng.normal(size=s)) for s in ((5, 9, 80), (9, 20), (9, 20), (20, 80)))
    y, mean, var = compiled.batch_norm(x, w, b)
    z, middle, rstd = compiled.layer_norm(x, w, b)
    out, lse = compiled.attention(q, k, v, 0.2, True)
    saved = compiled.lstm(gates, h, c, W)
    three, square, bias = gates[:, :, :60], W[:, :20], W[0, :60].compact().reshape((60,))
    gated, plain_h = compiled.gru(three, h, W[:, :60], bias), compiled.rnn(gates[:, :, :20], h, square, False)
    results = [y, mean, var, z, middle, rstd, out, lse, *saved, compiled.softmax(x), compiled.logsumexp(x, 1)]
    results += [compiled.cross_entropy(x, labels, 0.1), compiled.cross_entropy_gradient(one, x, labels, 0.1)]
    results += compiled.batch_norm_gradient(g, x, w, mean, var)
    results += compiled.layer_norm_gradient(g, x, w, middle, rstd)
    results += compiled.attention_gradient(q, q, k, v, out, lse, 0.2, True)
    results += compiled.lstm_gradient(saved[0], c, *saved, h, c, W)
    results += [*gated, *compiled.gru_gradient(gated[0], *gated, h, W[:, :60]), plain_h]
    results += compiled.rnn_gradient(plain_h, plain_h, h, square, False)
    results += [compiled.embedding_gradient(g, labels, 100)]
    return [r.numpy().tobytes() for r in results]


def test_threads_do_not_change_the_bits():
    before = extension.num_threads()
    try:
        runs = []
        for threads in (1, 2, 3):
            extension.set_num_threads(threads)
            runs.append(everything(np.random.default_rng(5)))
    finally:
        extension.set_num_threads(before)
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("sizes", [[], [0], [1], [5, 100], [16384, 16385, 70001]])
def test_squared_norm(rng, sizes):
    arrays = [rng.normal(size=size) for size in sizes]
    expected = sum((a * a).sum() for a in arrays)
    assert compiled.squared_norm([nd(a) for a in arrays]) == pytest.approx(expected, rel=1e-6)
    assert plain.squared_norm([a.astype("float32") for a in arrays]) == pytest.approx(expected, rel=1e-6)
    whole = nd(rng.normal(size=(40, 50)))
    assert compiled.squared_norm([whole.permute((1, 0))]) == pytest.approx((whole.numpy() ** 2).sum(), rel=1e-6)
