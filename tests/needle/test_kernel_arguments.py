"""What compiled kernels make of their arguments: numbers of any dtype, any layout, and shapes that do not fit."""

import numpy as np
import pytest

from needle.backend_ndarray import NDArray, array, bands, cpu, empty, kernels
from needle.errors import IndexRangeError, ShapeError

k = kernels(array([0.0], device=cpu()))
LONG = 2**24 + 2  # longer than float32 can number


def ones(*shape: int) -> NDArray:
    return array(np.ones(shape), device=cpu())


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
def test_numbers_may_have_any_dtype(dtype):
    table, ids = array(np.arange(6).reshape(3, 2), device=cpu()), array([1, 0, 1], dtype=dtype, device=cpu())
    np.testing.assert_array_equal(k.embedding(ids, table).numpy(), [[2, 3], [0, 1], [2, 3]])
    np.testing.assert_array_equal(k.take(table, ids, 1).numpy(), [[1, 0, 1], [3, 2, 3], [5, 4, 5]])
    np.testing.assert_array_equal(k.gather(table, ids.reshape((1, 3))[:, 0:2], 0).numpy(), [[2, 1]])
    assert k.cross_entropy(table, ids).numpy() == pytest.approx(np.mean([np.log1p(np.e) - 1 + i for i in (0, 1, 0)]))


def test_tables_longer_than_floats_can_number_are_read_exactly():
    x, last = empty((LONG,), device=cpu()), array([LONG - 1], dtype="int64", device=cpu())
    x.fill(0.0)
    x[LONG - 1 : LONG] = 7.0
    for y in (k.take(x, last, 0), k.gather(x, last, 0), k.embedding(last, x.reshape((LONG, 1)))):
        assert y.numpy() == 7
    for dx in (k.take_gradient(ones(1), last, 0, LONG), k.gather_gradient(ones(1), last, 0, LONG),
               k.embedding_gradient(ones(1, 1), last, LONG).reshape((LONG,))):
        assert dx[LONG - 1 : LONG].numpy() == 1 and dx[LONG - 2 : LONG - 1].numpy() == 0
    loss, logits = np.log(LONG - 1 + np.exp(7)) - 7, x.reshape((1, LONG))
    assert k.cross_entropy(logits, last).numpy() == pytest.approx(loss, rel=1e-4)
    gradient = k.cross_entropy_gradient(ones(1), logits, last)
    assert gradient[0:1, LONG - 1 : LONG].numpy() == pytest.approx(np.exp(-loss) - 1)


def test_results_keep_the_order_in_memory_where_kernels_can():
    turned = array(np.arange(24).reshape(2, 3, 4), device=cpu()).permute((1, 0, 2))
    assert k.batch_norm(turned, ones(4), ones(4))[0].strides == turned.strides
    assert k.layer_norm(turned, ones(4), ones(4))[0].strides == k.softmax(turned).strides == (8, 4, 1)
    assert k.sum(turned, (2,)).strides == (1, 3) and k.sum(turned, (2,), True).strides == (1, 3, 1)
    assert k.sum(turned, None).shape == (1,) and k.sum(turned, None, True).shape == (1, 1, 1)
    assert k.sum(turned, (0, 1, 2)).shape == () and k.max(turned, [-1, 0]).numpy().tolist() == [11, 23]


@pytest.mark.parametrize("where, call", [
    ("softmax", lambda: k.softmax(ones(3, 0))),
    ("softmax_gradient", lambda: k.softmax_gradient(ones(2, 3), ones(3, 2))),
    ("logsumexp", lambda: k.logsumexp(ones(2, 3), (2,))),
    ("cache_write", lambda: k.cache_write(ones(2, 5, 2, 4), ones(1, 3, 2, 3), ones(1), ones(1))),
    ("cache_write", lambda: k.cache_write(ones(2, 5, 2), ones(1, 3, 2), ones(1), ones(1))),
    ("cache_write", lambda: k.cache_write(ones(2, 5, 2, 4), ones(1, 6, 2, 4), ones(1), ones(1))),
    ("cache_write", lambda: k.cache_write(ones(2, 5, 2, 4), ones(2, 3, 2, 4), ones(1), ones(2))),
    ("cached_attention", lambda: k.cached_attention(ones(1, 3, 2, 4), *[ones(2, 5, 2, 4)] * 2, ones(1), ones(1), 1.0)),
    ("cached_attention", lambda: k.cached_attention(ones(1, 2, 3, 4), ones(2, 5, 2, 4), ones(2, 5), *[ones(1)] * 2, 1)),
    ("cached_attention", lambda: k.cached_attention(ones(1, 2, 3, 4), *[ones(2, 5, 2, 4)] * 2, ones(1), ones(2), 1.0)),
    ("logsumexp", lambda: k.logsumexp(ones(2, 0), (1,))),
    ("cross_entropy", lambda: k.cross_entropy(ones(2, 3), ones(3))),
    ("cross_entropy_gradient", lambda: k.cross_entropy_gradient(ones(2), ones(3, 3), ones(3))),
    ("batch_norm", lambda: k.batch_norm(ones(2, 3), ones(2), ones(3))),
    ("batch_norm", lambda: k.batch_norm(ones(0, 3), ones(3), ones(3))),
    ("layer_norm_gradient", lambda: k.layer_norm_gradient(ones(2, 3), ones(2, 3), ones(3), ones(3, 1), ones(2, 1))),
    ("group_norm", lambda: k.group_norm(ones(2, 5, 6), ones(6), ones(6), 4)),
    ("rms_norm", lambda: k.rms_norm(ones(2, 3), ones(2))),
    ("lstm", lambda: k.lstm(ones(3, 2, 8), ones(2, 2), ones(2, 3), ones(2, 8))),
    ("gru_gradient", lambda: k.gru_gradient(ones(3, 2, 2), ones(3, 2, 2), ones(3, 2, 6), ones(2, 2), ones(2, 6))),
    ("attention", lambda: k.attention(ones(1, 2, 3, 4), ones(1, 2, 3, 5), ones(1, 2, 3, 5), 1.0)),
    ("take_gradient", lambda: k.take_gradient(ones(2, 3), ones(2), 1, 4)),
    ("gather", lambda: k.gather(ones(2, 3), ones(3, 1), 1)),
    ("embedding", lambda: k.embedding(ones(2), ones(3))),
    ("max_pool", lambda: k.max_pool(ones(1, 4, 5, 2), ones(1, 4, 5, 2), *[bands.sliding(4, 2, 2, 0)] * 2)),
    ("sgd_step", lambda: k.sgd_step([ones(2)], [ones(3)], [], 0.1)),
    ("conv", lambda: k.conv(ones(5, 5, 3), ones(3, 3, 3, 4))),
    ("grouped_conv", lambda: k.grouped_conv(ones(1, 5, 5, 4), ones(3, 3, 3, 4), 1, (1, 1), 2, 1)),
    ("max", lambda: k.max(ones(2, 0), (1,))),
    ("reduce", lambda: k.sum(ones(2, 3), (1, -1))),
    ("reduce", lambda: k.sum(ones(2, 3), ())),
])  # fmt: skip
def test_shapes_that_do_not_fit_are_named(where, call):
    with pytest.raises(ShapeError, match=rf"^\[{where}\] .* got "):
        call()


def test_one_number_out_of_range_names_its_place():
    with pytest.raises(IndexRangeError, match=r"^\[embedding\] ids must be .* in 0..2, got 1e\+30 at position 1$"):
        k.embedding(array([0, 1e30], device=cpu()), ones(3, 2))
    with pytest.raises(IndexRangeError, match=r"^\[gather\] indices must be whole numbers in -3..2, got -4 at 0$"):
        k.gather(ones(3), array([-4], dtype="int64", device=cpu()), 0)
