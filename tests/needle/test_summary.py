"""summary: shapes, parameters, multiply-adds and bytes, from types alone."""

import numpy as np
import pytest

import needle as ndl
from needle import autograd, nn, ops
from needle.errors import NeedleError, ShapeError
from needle.types import Type
from zoo.course.models import LanguageModel, ResNet9

pytestmark = pytest.mark.both_modes


def conv_bn(size, k, cin, cout):
    """(parameters, multiply-adds) of a convolution with bias and batch norm on an output of size x size."""
    return k * k * cin * cout + 3 * cout, size * size * k * k * cin * cout


def test_the_course_s_resnet9():
    layers = [conv_bn(8, 7, 3, 16), conv_bn(4, 3, 16, 32), *[conv_bn(4, 3, 32, 32)] * 2, conv_bn(2, 3, 32, 64)]
    layers += [conv_bn(1, 3, 64, 128), *[conv_bn(1, 3, 128, 128)] * 2, (129 * 128, 128 * 128), (129 * 10, 1280)]
    found = ndl.summary(ResNet9(), (5, 3, 32, 32))
    assert found.parameters == sum(p for p, _ in layers) == 431_946
    assert found.multiply_adds == 5 * sum(m for _, m in layers) == 5 * 979_200
    assert found.parameter_bytes == 4 * 431_946
    assert sum(layer.parameters for layer in found.layers) == found.parameters
    text = str(found)
    assert text.splitlines()[-1].split() == ["total", "431,946", "4,896,000", "276.9", "kB"]
    assert "    0: Sequential" in text and "(5,16,8,8)" in text


def test_layers_say_what_they_do_themselves():
    model = nn.Sequential(nn.Linear(4, 6), nn.Residual(nn.Linear(6, 6, bias=False)), nn.ReLU())
    found = ndl.summary(model, (3, 4))
    rows = [tuple(vars(layer).values()) for layer in found.layers]
    assert rows == [
        ("", "Sequential", 0, [(3, 6)], 0, 0, 0),
        ("modules.0", "Linear", 1, [(3, 6)], 30, 72, 2 * 72),
        ("modules.1", "Residual", 1, [(3, 6)], 0, 0, 72),
        ("modules.1.fn", "Linear", 2, [(3, 6)], 36, 108, 72),
        ("modules.2", "ReLU", 1, [(3, 6)], 0, 0, 72),
    ]


def test_ops_before_inner_modules_belong_to_the_outer_one():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.unused, self.w = nn.Linear(2, 2), nn.Linear(7, 7), nn.Parameter(ndl.ones(2, 2))

        def forward(self, x, y=None):
            return self.inner(ops.relu(x @ self.w)), (x * 2,)

    found = ndl.summary(Outer(), (3, 2))
    outer, inner = found.layers
    assert (outer.multiply_adds, inner.multiply_adds) == (12, 12) and outer.shapes == [(3, 2), (3, 2)]
    assert (outer.parameters, inner.parameters, found.parameters) == (4 + 56, 6, 66)


def test_a_shared_layer_counts_its_parameters_once():
    layer = nn.Linear(4, 4)
    found = ndl.summary(nn.Sequential(layer, nn.ReLU(), layer), (2, 4))
    assert [x.parameters for x in found.layers if x.kind == "Linear"] == [20, 0]
    assert found.parameters == 20 and found.multiply_adds == 64


@pytest.mark.parametrize(("kind", "products"), [
    ("rnn", 2 * 28 * 16 * 16 - 28 * 6 * 16), ("lstm", 4 * (2 * 28 * 16 * 16 - 28 * 6 * 16)), ("transformer", None),
])
def test_language_models(kind, products):
    model = LanguageModel(10, 50, 16, seq_model=kind, seq_len=7)
    found = ndl.summary(model, (7, 4))
    assert found.parameters == sum(np.prod(p.shape) for p in model.parameters())
    sequence = next(x for x in found.layers if x.name == "seq_model")
    if products:
        assert sequence.multiply_adds == products
    else:
        assert [x.multiply_adds for x in found.layers if x.kind == "AttentionLayer"] == [2 * 4 * 8 * 7 * 7 * 32]


def test_transposed_and_grouped_convolutions():
    model = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, groups=2), nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1))
    found = ndl.summary(model, (2, 4, 5, 5))
    by_kind = {x.kind: x.multiply_adds for x in found.layers}
    assert by_kind["Conv2d"] == 2 * 25 * 8 * 9 * 2
    assert by_kind["ConvTranspose2d"] == 2 * 25 * 8 * 16 * 6


def test_inputs_of_any_kind_and_nothing_is_drawn_or_changed():
    np.random.seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
    state, random = model.state_dict(), np.random.get_state()[1].copy()
    texts = {str(ndl.summary(model, x)) for x in ((3, 4), ndl.ones(3, 4), np.ones((3, 4), "float32"), Type((3, 4)))}
    assert len(texts) == 1
    assert all((state[name] == array).all() for name, array in model.state_dict().items())
    assert (random == np.random.get_state()[1]).all() and not autograd.LAZY_MODE
    assert all(module.training for module in (model, *model._children()))
    assert model(ndl.ones(3, 4)).shape == (3, 6)


def test_what_is_wrong_is_said_and_nothing_stays_changed():
    with pytest.raises(NeedleError, match=r"\[summary\] needs a Module, got a function"):
        ndl.summary(lambda x: x, (1, 2))
    with pytest.raises(NeedleError, match=r"an input is a shape such as \(8, 3, 32, 32\), a Tensor or an array, got 7"):
        ndl.summary(nn.Linear(7, 2), 7)
    with pytest.raises(ShapeError, match=r"\[Linear\] needs 7 features"):
        ndl.summary(nn.Linear(7, 2), (3, 8))
    assert not autograd.LAZY_MODE and nn.Linear(7, 2)(ndl.ones(3, 7)).cached_data is not None


def test_every_product_is_counted():
    from needle.training.summary import PRODUCTS

    names = {name for name in ops.__all__ if isinstance(getattr(ops, name), type)}
    counted = {op.__name__ for op in PRODUCTS}
    products = {n for n in names if any(word in n for word in ("MatMul", "Conv", "LSTM", "GRU", "RNN", "Attention"))}
    assert {n for n in products - counted if not n.endswith("Gradient")} == set()
