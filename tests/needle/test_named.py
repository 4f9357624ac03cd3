"""What is done to modules by their names: replacing, freezing, and the state of what learns."""

import numpy as np
import pytest

import needle as ndl
from needle import nn, optim
from needle.autograd import find_topo_sort
from needle.errors import NeedleError, ShapeError

pytestmark = pytest.mark.both_modes


class Pair(nn.Module):
    """Modules wherever a module may keep them, one of them in two places."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.again = self.first
        self.many = [nn.Linear(2, 2), (nn.Linear(2, 2), {"deep": nn.ReLU(), "other": self.first})]
        self.chain = nn.Sequential(nn.Linear(2, 2), nn.Residual(nn.Linear(2, 2)), np.tanh)


PLACES = ["first", "many.0", "many.1.0", "many.1.1.deep", "chain.modules.0", "chain.modules.1.fn"]


@pytest.mark.parametrize("name", PLACES)
def test_a_module_is_replaced_wherever_it_is_held(name):
    model, new = Pair(), nn.Identity()
    before = dict(model.named_modules())
    assert nn.replace_modules(model, {name: new}) == {name: before[name]}
    after = dict(model.named_modules())
    assert after.pop(name) is new and before[name] not in after.values()
    assert all(before[other] is module for other, module in after.items())
    if name == "first":
        assert model.again is new and model.many[1][1]["other"] is new
    assert isinstance(model.many[1], tuple) and isinstance(model.chain.modules, tuple)


def test_several_are_replaced_at_once():
    model = Pair()
    new = {name: nn.Identity() for name in PLACES}
    nn.replace_modules(model, new)
    assert {name: dict(model.named_modules())[name] for name in PLACES} == new


def test_what_cannot_be_replaced_is_refused_before_anything_changes():
    model = Pair()
    before = dict(model.named_modules())
    for wrong, message in (
        ({"first": nn.ReLU(), "frist": nn.ReLU()}, r"no module inside is called 'frist': is it first\?"),
        ({"": nn.ReLU()}, "no module inside is called ''"),
        ({"first": 3}, "first needs a Module, got a int"),
    ):
        with pytest.raises(NeedleError, match=message):
            nn.replace_modules(model, wrong)
    assert dict(model.named_modules()) == before


def net():
    np.random.seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


X, Y = np.random.RandomState(1).randn(6, 3).astype("float32"), np.array([0, 1, 0, 1, 0, 1])


def loss(model):
    return nn.SoftmaxLoss()(model(ndl.Tensor(X, requires_grad=False)), ndl.Tensor(Y, requires_grad=False))


def test_only_the_named_modules_learn_and_the_rest_keeps_its_bits():
    model = net()
    count = nn.freeze(model, except_="modules.3")
    assert str(count) == "10 of 34 parameters learn (29.4 %)"
    assert nn.trainable_parameters(model) == model.modules[3].parameters()
    before = model.state_dict()
    step = ndl.TrainStep(model, nn.SoftmaxLoss(), optim.SGD(nn.trainable_parameters(model), lr=0.5))
    for _ in range(3):
        step(ndl.Tensor(X, requires_grad=False), ndl.Tensor(Y, requires_grad=False))
    changed = {name for name, array in model.state_dict().items() if (array != before[name]).any()}
    assert changed == {"modules.3.weight", "modules.3.bias"}
    assert nn.unfreeze(model) == nn.ParameterCount(34, 34)
    loss(model).backward()
    assert (model.state_dict()["modules.1.running_mean"] != before["modules.1.running_mean"]).any()


def test_nothing_is_recorded_of_what_is_frozen():
    model = net()
    nn.freeze(model, except_=["*.3"])
    nodes = find_topo_sort([loss(model)])
    leaves = {id(node) for node in nodes if node.op is None and node.requires_grad}
    assert leaves == set(map(id, model.modules[3].parameters()))
    assert not {id(node) for node in nodes} & set(map(id, model.modules[0].parameters()))


def test_an_unknown_name_is_refused_with_those_that_exist():
    model = net()
    with pytest.raises(NeedleError) as caught:
        nn.freeze(model, except_=["modules.3", "modules.33"])
    assert str(caught.value) == (
        "[freeze] no module is called 'modules.33': is it modules.3? "
        "There are modules.0, modules.1, modules.2, modules.3"
    )
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(NeedleError, match=r"strings, got a int"):
        nn.freeze(model, except_=[3])


def steps(model):
    return ndl.TrainStep(model, nn.SoftmaxLoss(), optim.Adam(nn.trainable_parameters(model), lr=0.1))


def test_the_state_of_a_step_holds_what_learns_and_fits_the_same_frozen_weights_alone():
    model, twin, other = net(), net(), net()
    for each in (model, twin, other):
        nn.freeze(each, except_="modules.3")
    other.modules[0].weight.data = other.modules[0].weight.data * 2
    step = steps(model)
    batch = ndl.Tensor(X, requires_grad=False), ndl.Tensor(Y, requires_grad=False)
    step(*batch)
    state = step.state_dict()
    assert {name for name in state if name.startswith("model.")} == {
        "model.modules.1.running_mean", "model.modules.1.running_var", "model.modules.3.weight",
        "model.modules.3.bias", "model.frozen_sha256",
    }  # fmt: skip
    following = steps(twin)
    following.load_state_dict(state)
    assert step(*batch) == following(*batch)
    assert all((a == b).all() for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True))
    before = other.state_dict()
    with pytest.raises(NeedleError, match=r"those had sha256 \w{64}, these of Sequential have \w{64}"):
        steps(other).load_state_dict(state)
    with pytest.raises(ShapeError, match=r"does not fit what learns of Sequential: missing modules\.3\.bias"):
        steps(twin).load_state_dict({name: x for name, x in state.items() if name != "model.modules.3.bias"})
    assert all((before[name] == array).all() for name, array in other.state_dict().items())


def test_a_state_of_the_whole_model_is_taken_by_a_frozen_one():
    model, twin = net(), net()
    state = {"model." + name: array + 1 for name, array in model.state_dict().items()}
    nn.freeze(twin, except_="modules.3")
    step = steps(twin)
    rest = {name: array for name, array in step.state_dict().items() if not name.startswith("model.")}
    step.load_state_dict(rest | state)
    assert (twin.state_dict()["modules.0.weight"] == model.state_dict()["modules.0.weight"] + 1).all()


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    batches = [(ndl.Tensor(X, requires_grad=False), ndl.Tensor(Y, requires_grad=False))] * 2

    def run(folder, *epochs):
        model = net()
        nn.freeze(model, except_="modules.3")
        for count in epochs:
            ndl.fit(steps(model), batches, count, folder=folder)
        return model.state_dict()

    whole, parts = run(tmp_path / "whole", 4), run(tmp_path / "parts", 2, 4)
    assert all((whole[name] == parts[name]).all() for name in whole)
