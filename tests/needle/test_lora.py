"""Low-rank adaptation: what adapters compute and learn, what of the base they leave alone, several on one base."""

import copy
import gc
import tracemalloc

import numpy as np
import pytest

import needle as ndl
from needle import nn, optim
from needle.autograd import find_topo_sort
from needle.data.text import CharTokenizer
from needle.errors import NeedleError, SettingError, ShapeError
from needle.nn import lora
from needle.nn.lora.product import ChangedProduct, LowRankProduct
from zoo.models.airnet import AirNet
from zoo.models.gpt import gpt_char
from zoo.models.lstm import RecurrentLM
from zoo.models.resnet import resnet9

pytestmark = pytest.mark.both_modes


def fixed(array):
    return ndl.Tensor(np.asarray(array, dtype="float32"), requires_grad=False)


def gpt(tied=True):
    return gpt_char(context=8, width=16, layers=2, heads=2, dropout=0.0, tied=tied)


def airnet():
    model = AirNet((4, 4, 4))
    model.whitening.fit(IMAGES.astype("float32"))
    return model


def lstm():
    return RecurrentLM(CharTokenizer("abcdefg"), width=6, hidden=5, layers=1)


IDS, IMAGES = np.random.RandomState(3).randint(0, 7, (3, 7)), np.random.RandomState(3).randn(3, 3, 32, 32)
MODELS = {
    "gpt": (gpt, IDS, ["*.q", "*.v", "*.up", "embedding"]),
    "gpt fused": (gpt, IDS, "*"),
    "lstm": (lstm, IDS, ["embedding", "head"]),
    "resnet9": (resnet9, IMAGES, "model.modules.*"),
    "airnet": (airnet, IMAGES, ["features.*", "classifier"]),
    "conv2d": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, (1, 0)), nn.Flatten()), IMAGES, "modules.0"),
}


def built(key):
    make, x, targets = MODELS[key]
    np.random.seed(0)
    return make().eval(), fixed(x), targets


def set_b(model, name="default", seed=5):
    """As after training: neither A nor B is zero."""
    draw = np.random.RandomState(seed)
    state = {at: draw.randn(*array.shape).astype("float32") / 4 for at, array in lora.state_dict(model, name).items()}
    lora.load_state_dict(model, state, name)


@pytest.mark.parametrize("key", MODELS)
def test_a_fresh_adapter_changes_nothing_and_a_removed_one_leaves_nothing(key):
    model, x, targets = built(key)
    before, state, text, learned = model(x).numpy(), model.state_dict(), repr(model), model.parameters()
    np.random.seed(1)
    count = lora.add(model, rank=2, targets=targets)
    assert np.random.rand() == np.random.RandomState(1).rand()  # numpy's generator is left alone
    assert (model(x).numpy() == before).all()
    assert 0 < count.trainable < count.total and count == nn.ParameterCount.of(model)
    assert sum(a.size for a in lora.state_dict(model).values()) == count.trainable
    base = lora.base_state(model)
    assert list(base) == list(state) and all((base[at] == state[at]).all() for at in state)
    set_b(model)
    assert abs(model(x).numpy() - before).max() > 1e-3
    lora.remove(model)
    assert repr(model) == text and model.parameters() == learned and all(p.requires_grad for p in learned)
    assert (model(x).numpy() == before).all()


@pytest.mark.parametrize("key", MODELS)
def test_merged_weights_give_the_same_results_and_the_base_s_come_back(key):
    model, x, targets = built(key)
    plain = model(x).numpy()
    lora.add(model, rank=3, alpha=5, targets=targets, rslora=True)
    set_b(model)
    before, state = model(x).numpy(), model.state_dict()
    lora.merge(model)
    np.testing.assert_allclose(model(x).numpy(), before, rtol=2e-4, atol=2e-4)
    assert lora.merged(model) and not ops_of(model(x)) & {ChangedProduct, LowRankProduct}
    others = (lambda m: lora.activate(m, None), lambda m: lora.add(m, targets=targets, name="b"))
    for refused in (lora.merge, lora.remove, *others):
        with pytest.raises(NeedleError, match="the model is merged: unmerge it first"):
            refused(model)
    lora.unmerge(model)
    assert (model(x).numpy() == before).all()
    assert all((array == state[at]).all() for at, array in model.state_dict().items())
    with pytest.raises(NeedleError, match="the model is not merged"):
        lora.unmerge(model)
    lora.activate(model, None)
    assert (model(x).numpy() == plain).all()


def ops_of(value):
    return {type(node.op) for node in find_topo_sort([value]) if node.op is not None}


@pytest.mark.parametrize("key", MODELS)
def test_one_node_has_the_bits_of_the_ops_that_it_stands_for(key):
    model, x, targets = built(key)
    lora.add(model, rank=2, targets=targets)
    set_b(model)
    recorded = model(x)
    assert ops_of(recorded) & {ChangedProduct, LowRankProduct}
    with ndl.no_grad():
        assert (model(x).numpy() == recorded.numpy()).all()


def test_the_change_is_what_the_mathematics_says():
    np.random.seed(0)
    layers = nn.Sequential(nn.Linear(3, 4))
    x, w, b = np.random.randn(5, 3), layers.modules[0].weight.numpy(), layers.modules[0].bias.numpy()
    for rslora, scale in ((False, 6 / 4), (True, 6 / 2)):
        lora.add(layers, rank=4, alpha=6, targets="modules.0", rslora=rslora)
        set_b(layers)
        state = lora.state_dict(layers)
        assert {at: a.shape for at, a in state.items()} == {"modules.0.A": (3, 4), "modules.0.B": (4, 4)}
        meant = x @ w + b + scale * (x @ state["modules.0.A"]) @ state["modules.0.B"]
        np.testing.assert_allclose(layers(fixed(x)).numpy(), meant, rtol=1e-5, atol=1e-5)
        lora.remove(layers)


def test_parts_of_a_fused_projection_change_their_columns_alone():
    attention = nn.SelfAttention(4, 2)
    x = np.random.RandomState(0).randn(1, 3, 4)
    before = attention.qkv(fixed(x)).numpy()
    lora.add(attention, rank=2, targets=["k"])
    set_b(attention)
    after = attention.qkv(fixed(x)).numpy()
    assert ((after != before).any(axis=(0, 1)) == np.repeat([False, True, False], 4)).all()
    assert {at: a.shape for at, a in lora.state_dict(attention).items()} == {"k.A": (4, 2), "k.B": (2, 4)}


@pytest.mark.parametrize("targets", [["*.q", "*.v"], "*.qkv"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_are_those_of_the_ops(targets, dropout):
    """Against the same model whose product is made of simple ops, with the same masks."""
    found = []
    for fused in (True, False):
        np.random.seed(0)
        model = gpt().train()
        lora.add(model, rank=2, targets=targets, dropout=dropout)
        set_b(model)
        np.random.seed(4)
        with pytest.MonkeyPatch.context() as patch:
            if not fused:
                patch.setattr("needle.nn.lora.layers.adapted", in_ops)
            loss = (model(fixed(IDS)) ** 2).sum()
            loss.backward()
        found.append([p.grad.numpy() for p in nn.trainable_parameters(model)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
        assert abs(one).max() > 0


def in_ops(product, x, d, weight, bias, low):
    y = x @ weight + bias.broadcast_to((*x.shape[:-1], weight.shape[1]))
    return y + (d @ low.a * low.scale) @ low.b


@pytest.mark.parametrize("make", [
    lambda: (nn.Sequential(nn.Linear(3, 4)), (2, 3)), lambda: (nn.Sequential(nn.Conv(2, 3, 3, 2)), (1, 2, 4, 4)),
], ids=["linear", "conv"])  # fmt: skip
@pytest.mark.parametrize("op, more", [(LowRankProduct, 1), (ChangedProduct, 3)])  # rows decide between the two
def test_gradients_and_their_gradients_are_slopes(make, op, more):
    np.random.seed(0)
    model, shape = make()
    model = nn.Sequential(*(type(m)(*[m.in_features, m.out_features], dtype="float64") if isinstance(m, nn.Linear)
                            else nn.Conv(2, 3, 3, 2, dtype="float64") for m in model.modules))  # fmt: skip
    lora.add(model, rank=2, targets="modules.0")
    lora.load_state_dict(model, {at: np.random.randn(*a.shape) for at, a in lora.state_dict(model).items()})
    x = np.random.randn(more * shape[0], *shape[1:])
    assert op in ops_of(model(ndl.Tensor(x, dtype="float64")))
    ndl.check_gradients(model, x, second=True)


@pytest.mark.parametrize("key", MODELS)
def test_backward_makes_no_gradient_of_the_base(key):
    model, x, targets = built(key)
    model.train()
    lora.add(model, rank=2, targets=targets)
    set_b(model)
    base, running = set(model.parameters()) - set(nn.trainable_parameters(model)), lora.base_state(model)
    loss = (model(x) ** 2).sum()
    loss.backward()
    assert all(p.grad is None for p in base)
    assert all(p.grad is not None for p in nn.trainable_parameters(model))
    given = {tuple(p.shape) for p in base if p.ndim > 1} - {tuple(p.shape) for p in nn.trainable_parameters(model)}
    made = find_topo_sort([p.grad for p in nn.trainable_parameters(model)])
    products = ("MatMul", "EmbedGradient", "ConvWeightGradient")
    found = [node for node in made if type(node.op).__name__ in products and x in set(find_topo_sort([node]))]
    shapes = {node.type.shape for node in found}  # A B, which is added to weights, does not depend on data
    assert not shapes & given, "the gradient of a weight was computed"
    assert all((array == running[at]).all() for at, array in lora.base_state(model).items())  # statistics too


def peak(adapt):
    """The most bytes that two steps of Adam needed at one time beyond the model's: 1 MB of weights, few activations."""
    model = nn.Sequential(*[nn.Linear(256, 256) for _ in range(4)])
    if adapt:
        lora.add(model, rank=2, targets="*")
    step = ndl.TrainStep(model, lambda y, _: (y**2).mean(), optim.Adam(nn.trainable_parameters(model)))
    x = fixed(np.ones((4, 256)))
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(2):
            step(x, x)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(ndl.BACKEND != "np", reason="tracemalloc sees the memory of numpy's arrays alone")
def test_the_peak_of_memory_has_no_gradients_of_the_base():
    assert peak(adapt=False) > 3 * 2**20  # gradients and two moments
    assert peak(adapt=True) < 2**19


def test_of_what_has_the_size_of_the_results_one_array_is_kept_for_each_layer():
    model = nn.Sequential(nn.Linear(4, 32))
    x = fixed(np.ones((8, 4)))
    plain = sum(node.type.shape == (8, 32) for node in find_topo_sort([model(x)]))
    lora.add(model, rank=2, targets="*")
    assert sum(node.type.shape == (8, 32) for node in find_topo_sort([model(x)])) == 1 == plain


def test_recomputed_layers_have_the_same_gradients():
    np.random.seed(0)
    block = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    lora.add(block, rank=2, targets="*", dropout=0.2)
    set_b(block)
    grads = []
    for module in (block, nn.Recompute(block)):
        np.random.seed(1)
        (module(fixed(np.ones((5, 3)))) ** 2).sum().backward()
        grads.append([p.grad.numpy() for p in nn.trainable_parameters(block)])
    assert all((a == b).all() for a, b in zip(*grads, strict=True))


def test_training_changes_the_adapter_alone_and_brings_the_loss_down():
    np.random.seed(0)
    model = gpt(tied=False)
    x, y = fixed(IDS), fixed(np.roll(IDS, -1, axis=1))

    def loss(logits, targets):
        return ndl.ops.cross_entropy(logits.reshape((21, logits.shape[-1])), targets.reshape((21,)))

    lora.add(model, rank=4, targets=["*.qkv", "*.up", "*.down", "embedding", "head"], dropout=0.1)
    base = lora.base_state(model)
    optimizer = optim.AdamW(nn.trainable_parameters(model), lr=0.03)
    step = ndl.TrainStep(model, loss, optimizer, clip_norm=1.0)
    losses = [step(x, y)["loss"] for _ in range(40)]
    assert losses[-1] < losses[0] - 0.5
    assert all((array == base[at]).all() for at, array in lora.base_state(model).items())
    held = sum(a.size for at, a in step.state_dict().items() if at.startswith("model.") and a.dtype == "float32")
    assert held == nn.ParameterCount.of(model).trainable


def test_a_run_is_interrupted_and_goes_on_to_the_same_bits(tmp_path):
    batches = [(fixed(IDS), fixed(IDS))] * 3

    def run(folder, *epochs):
        for count in epochs:
            np.random.seed(0)
            model = gpt()
            lora.add(model, rank=2, targets="*.qkv", dropout=0.2)
            step = ndl.TrainStep(
                model, lambda a, b: (a**2).mean(), optim.Adam(nn.trainable_parameters(model), lr=0.01)
            )
            ndl.fit(step, batches, count, folder=folder)
        return model

    whole, parts = run(tmp_path / "whole", 2), run(tmp_path / "parts", 1, 2)
    assert all((a == b).all() for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True))
    assert (tmp_path / "whole" / "checkpoint.safetensors").stat().st_size < 40_000


def test_several_adapters_on_one_base():
    model, x, _ = built("gpt")
    plain = model(x).numpy()
    lora.add(model, rank=2, targets="*.qkv", name="a")
    set_b(model, "a", 1)
    with_a = model(x).numpy()
    lora.add(model, rank=4, targets=["*.q", "*.up"], name="b")
    assert lora.names(model) == ["a", "b"] and lora.active(model) == "b"
    assert (model(x).numpy() == plain).all()
    set_b(model, "b", 2)
    with_b = model(x).numpy()
    assert not (with_b == with_a).all()
    for name, meant in (("a", with_a), (None, plain), ("b", with_b)):
        count = lora.activate(model, name)
        assert (model(x).numpy() == meant).all() and lora.active(model) == name
        assert count.trainable == (sum(v.size for v in lora.state_dict(model, name).values()) if name else 0)
    lora.remove(model, "a")
    assert lora.names(model) == ["b"] and (model(x).numpy() == with_b).all()
    lora.remove(model, "b")
    assert (model(x).numpy() == plain).all() and all(p.requires_grad for p in model.parameters())
    lora.remove(model)


def test_what_did_not_learn_before_does_not_learn_after():
    model, _, _ = built("resnet9")
    nn.freeze(model, except_="model.modules.9")
    learning = nn.trainable_parameters(model)
    lora.add(model, targets="model.modules.7")
    lora.remove(model)
    assert nn.trainable_parameters(model) == learning
    assert all(m.frozen for _, m in model.named_modules() if isinstance(m, nn.BatchNorm2d))


def test_copies_stand_alone():
    model, x, targets = built("gpt")
    lora.add(model, targets=targets)
    set_b(model)
    twin = copy.deepcopy(model)
    before = model(x).numpy()
    set_b(twin, seed=9)
    assert (model(x).numpy() == before).all() and not (twin(x).numpy() == before).all()
    lora.remove(twin)
    assert all(p.requires_grad for p in twin.parameters()) and nn.trainable_parameters(model)


def test_the_seed_decides_what_is_drawn():
    states = []
    for seed in (0, 0, 1):
        model, _, _ = built("lstm")
        lora.add(model, rank=2, targets="*", seed=seed)
        states.append(lora.state_dict(model))
    one, same, other = states
    assert all((one[at] == same[at]).all() for at in one)
    assert (one["head.A"] != other["head.A"]).all() and (one["head.B"] == 0).all()
    assert abs(one["head.A"]).max() <= 1 / np.sqrt(5) and (one["embedding.A"] == 0).all()


@pytest.mark.parametrize(("targets", "message"), [
    ([], r"needs targets, got none. There are embedding, positions, blocks.0.attention.q"),
    ("*.qvk", r"no module is called '\*.qvk'\. There are"),
    ("blocks.0.atention.q", r"'blocks.0.atention.q': is it blocks.0.attention.q\? There are embedding"),
    (["*.q", "norm"], r"'norm' is a LayerNorm1d, which cannot be adapted; those can that are a Linear, Embedding"),
    ([3], "strings, got a int"),
])  # fmt: skip
def test_targets_that_cannot_be_are_refused_with_those_that_can(targets, message):
    model = gpt()
    text = repr(model)
    with pytest.raises(NeedleError, match=message):
        lora.add(model, targets=targets)
    assert repr(model) == text and all(p.requires_grad for p in model.parameters())


def test_grouped_and_dilated_convolutions_are_refused():
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, dilation=2), nn.Conv2d(4, 4, 3))
    for i in (0, 1):
        with pytest.raises(NeedleError, match=r"is a Conv2d, which cannot be adapted.*There are modules\.2"):
            lora.add(model, targets=f"modules.{i}")


@pytest.mark.parametrize(("settings", "message"), [
    ({"rank": 0}, "rank must be a whole number from 1 on, got 0"), ({"rank": 2.5}, "rank .* got 2.5"),
    ({"rank": True}, "rank .* got True"), ({"alpha": 0}, "alpha .* greater than 0, got 0"),
    ({"alpha": float("inf")}, "alpha .* got inf"), ({"alpha": float("nan")}, "got nan"),
    ({"alpha": "x"}, "alpha must be a number, got str"), ({"dropout": 1.0}, "dropout must lie in"),
    ({"dropout": -0.1}, "got -0.1"), ({"seed": -1}, "seed .* got -1"), ({"name": "a.b"}, "without a dot, got 'a.b'"),
    ({"name": ""}, "got ''"),
])  # fmt: skip
def test_bad_settings_are_refused_with_their_value(settings, message):
    with pytest.raises(SettingError, match=message):
        lora.add(gpt(), targets="*.q", **settings)


def test_names_of_adapters_are_checked():
    model = gpt()
    lora.add(model, targets="*.q", name="first")
    with pytest.raises(NeedleError, match="has an adapter 'first'"):
        lora.add(model, targets="*.v", name="first")
    for call in (lora.activate, lora.remove, lora.state_dict):
        with pytest.raises(NeedleError, match=r"there is no adapter 'frist': is it first\?"):
            call(model, "frist")
    with pytest.raises(ShapeError, match=r"does not fit adapter 'first': missing blocks.0.attention.q.B; unexpected"):
        state = lora.state_dict(model, "first")
        state["blocks.0.attention.q.b"] = state.pop("blocks.0.attention.q.B")
        lora.load_state_dict(model, state, "first")
    lora.activate(model, None)
    with pytest.raises(NeedleError, match="no adapter is active"):
        lora.merge(model)
