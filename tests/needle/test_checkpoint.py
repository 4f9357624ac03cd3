"""The file of a whole run: what is in it, and that anything malformed is refused with words."""

import json

import numpy as np
import pytest

import needle as ndl
from needle import nn, optim
from needle.errors import DataError, NeedleError
from needle.training.checkpoint import load_run
from needle.weights import read_safetensors, save_safetensors

pytestmark = pytest.mark.both_modes
CONFIG = {"lr": 0.1}


def step():
    np.random.seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    opt = optim.Adam(model.parameters())
    return ndl.TrainStep(model, nn.SoftmaxLoss(), opt, optim.OneCycle(opt, 20), accumulate=2)


@pytest.fixture
def path(tmp_path):
    """The checkpoint of a run in the middle of its second epoch."""
    rng = np.random.default_rng(0)
    batches = [(ndl.Tensor(rng.normal(size=(4, 2))), ndl.Tensor(np.arange(4) % 3)) for _ in range(3)]

    def stop(epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ndl.fit(step(), batches, 2, folder=tmp_path, save_every=2, log_every=2, config=CONFIG, on_epoch=stop)
    return tmp_path / "checkpoint.safetensors"


def changed(path, arrays=None, **facts):
    """The checkpoint with some arrays (None: left out) and some entries of its JSON replaced."""
    old, metadata = read_safetensors(path)
    run = json.loads(metadata["run"]) | facts
    kept = {name: array for name, array in (old | (arrays or {})).items() if array is not None}
    save_safetensors(path, kept, metadata | {"run": json.dumps({k: v for k, v in run.items() if v != "gone"})})
    return path


def test_it_holds_data_only_and_no_time(path):
    arrays, metadata = read_safetensors(path)
    assert {"random", "epoch_random", "step.model.modules.0.weight", "step.optimizer0.m.0"} <= set(arrays)
    assert {"step.optimizer0.t", "step.schedule0.taken", "step.sums.weight"} <= set(arrays)
    run = json.loads(metadata["run"])
    assert run["config"] == CONFIG and (run["epoch"], run["position"], run["steps"]) == (0, 2, 2)
    assert set(metadata) == {"format", "run"} and not any("time" in key or "second" in key for key in run)
    at = load_run(path, step(), CONFIG)
    assert at.position == 2 and at.rows == run["rows"] and len(at.rows) == 1


def test_one_from_before_settings_belonged_to_it_is_loaded(path):
    settings = {f"step.optimizer0.{name}" for name in optim.Adam.settings} | {"step.schedule0.peak", "step.clip_norm"}
    assert settings <= set(read_safetensors(path)[0])
    ours = step()
    ours.clip_norm = 2.0
    load_run(changed(path, dict.fromkeys(settings)), ours, CONFIG)
    assert ours.schedules[0].taken == 1 and ours.optimizers[0].lr == ours.schedules[0].lr and ours.clip_norm == 2.0


REFUSED = [
    ({"random": None}, {}, "state of the random generator is malformed"),
    ({"random": np.zeros(3, "uint32")}, {}, "state of the random generator is malformed"),
    ({}, {"random": ["PCG64", 1, 2, 3]}, "state of the random generator is malformed"),
    ({}, {"random": 5}, "random of the entry 'run' is malformed: 5"),
    ({}, {"epoch": -1}, "epoch of the entry 'run' is malformed: -1"),
    ({}, {"position": "two"}, "position of the entry 'run' is malformed"),
    ({}, {"rows": [{"loss": "low"}]}, "rows of the entry 'run' is malformed"),
    ({}, {"sums": {"loss": [1]}}, "sums of the entry 'run' is malformed"),
    ({}, {"loader": 3}, "loader of the entry 'run' is malformed"),
    ({}, {"sums": "gone"}, "the entry 'run' needs exactly epoch, "),
    ({}, {"more": 1}, "the entry 'run' needs exactly epoch, "),
    ({"strange": np.zeros(2)}, {}, "has arrays that belong to no part of a run: strange"),
    ({"step.optimizer0.t": None}, {}, r"\[Adam\] the state lacks 't'"),
    ({"step.optimizer0.t": np.zeros(3)}, {}, r"\[Adam\] t of the state must be one number from 0 on"),
    ({"step.schedule0.taken": np.array(99)}, {}, r"\[OneCycle\] a schedule of 20 steps cannot go on after step 99"),
    ({"step.schedule0.taken": np.array([1, 2])}, {}, r"\[OneCycle\] taken of the state must be one number"),
    ({"step.sums.weight": np.array(np.nan)}, {}, r"\[GradientAccumulator\] weight of the state must be one number"),
    ({"step.optimizer0.lr": np.array(np.inf)}, {}, r"\[Adam\] lr of the state must be one finite number, got inf"),
    ({"step.clip_norm": np.zeros(2)}, {}, r"\[TrainStep\] clip_norm of the state must be one finite"),
    ({"step.sums.weight": None}, {}, r"\[GradientAccumulator\] the state lacks 'weight'"),
    ({"step.model.modules.0.weight": None}, {}, "missing modules.0.weight"),
    ({"step.model.modules.0.weight": np.zeros((2, 3))}, {}, "modules.0.weight needs dtype float32, got float64"),
    ({"step.nothing": np.zeros(1)}, {}, r"\[TrainStep\] the state has 'nothing', but this step consists of model, opt"),
]


@pytest.mark.parametrize(("arrays", "facts", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_malformed_checkpoints_are_refused(path, arrays, facts, message):
    with pytest.raises(NeedleError, match=message):
        load_run(changed(path, arrays, **facts), step(), CONFIG)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    for metadata in ({}, {"format": "needle run 99"}):
        save_safetensors(path, {"x": np.zeros(2)}, metadata)
        with pytest.raises(DataError, match=r"checkpoint.safetensors is no checkpoint of a run: format"):
            load_run(path, step(), None)
    for text in ("", "{", "[" * 10**5, "3"):
        save_safetensors(path, {}, {"format": "needle run 1", "run": text})
        with pytest.raises(DataError, match=r"the entry 'run' (is not JSON|needs exactly)"):
            load_run(path, step(), None)


def test_damage_anywhere_is_refused_or_harmless(path):
    rng, whole = np.random.default_rng(1), path.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    for trial in range(300):
        data = bytearray(whole)
        if trial % 10 == 0:
            del data[rng.integers(len(data)) :]
        for place in rng.integers(0, min(len(data), 8 + header) or 1, size=rng.integers(1, 4)):
            if data:
                data[place] = rng.integers(256) if trial % 2 else ord(rng.choice(list('0123456789"{}[],:tfn.-')))
        path.write_bytes(data)
        try:
            load_run(path, step(), CONFIG)
        except NeedleError as error:
            assert str(error).startswith("[")


class Untouched(ndl.TrainStep):
    """A step that must not be made."""

    def __call__(self, *batch):
        raise AssertionError("a run began that cannot be saved")


@pytest.mark.parametrize("value", [{1, 2}, np.float32(0.1)], ids=["set", "float32"])
def test_config_that_json_cannot_say_is_refused_before_anything_is_trained(tmp_path, value):
    model = nn.Linear(2, 3)
    one = Untouched(model, nn.SoftmaxLoss(), optim.SGD(model.parameters()))
    message = rf"\[fit\] config, loader state and metrics must be such as JSON has: .*{type(value).__name__}"
    with pytest.raises(NeedleError, match=message):
        ndl.fit(one, [(ndl.ones(4, 2), ndl.zeros(4))], 1, folder=tmp_path, config={"layers": value})


def test_a_config_with_nan_is_the_same_when_it_comes_again(tmp_path):
    config, batches = {"clip": float("nan"), "rates": [float("nan"), 1]}, [(ndl.ones(4, 2), ndl.zeros(4))] * 2
    ndl.fit(step(), batches, 1, folder=tmp_path, config=config)
    assert len(ndl.fit(step(), batches, 2, folder=tmp_path, config=config | {"rates": [float("nan"), 1.0]})) == 2
    with pytest.raises(NeedleError, match=r"another config: config.clip: nan there, 2 now"):
        ndl.fit(step(), batches, 3, folder=tmp_path, config=config | {"clip": 2})


class Tempered(nn.Module):
    """Cross entropy of logits times a factor that learns, with dropout as long as it does."""

    def __init__(self):
        super().__init__()
        self.factor, self.dropout = nn.Parameter(ndl.Tensor([1.0], dtype="float32")), nn.Dropout(0.5)

    def forward(self, logits, labels):
        factor = ndl.broadcast_to(self.factor.reshape((1, 1)), logits.shape)
        return nn.SoftmaxLoss()(self.dropout(logits * factor), labels)


def tempered():
    np.random.seed(0)
    model, loss = nn.Linear(2, 3), Tempered()
    return ndl.TrainStep(model, loss, optim.Adam([*model.parameters(), *loss.parameters()], lr=0.1))


def test_what_a_loss_has_learned_is_part_of_the_checkpoint(tmp_path):
    batches = [(ndl.Tensor(np.eye(2)[[0, 1, 0]]), ndl.Tensor([0, 1, 2]))] * 3
    whole = tempered()
    ndl.fit(whole, batches, 2, folder=tmp_path / "whole")
    ndl.fit(tempered(), batches, 1, folder=tmp_path / "parts")
    assert "step.loss.factor" in read_safetensors(tmp_path / "parts" / "checkpoint.safetensors")[0]
    second = tempered()
    ndl.fit(second, batches, 2, folder=tmp_path / "parts")
    assert second.loss_fn.factor.numpy().item() == whole.loss_fn.factor.numpy().item() != 1
    ends = [(tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("whole", "parts")]
    assert ends[0] == ends[1]


def test_a_loss_is_told_whether_it_is_trained():
    one = tempered()
    one.eval()
    assert not one.model.training and not one.loss_fn.dropout.training
    one.train()
    assert one.model.training and one.loss_fn.dropout.training


def test_a_parameter_that_no_state_would_hold_is_named_before_anything_is_trained(tmp_path):
    model, free = nn.Linear(2, 3), nn.Parameter(ndl.ones(5))
    one = Untouched(model, nn.SoftmaxLoss(), [optim.SGD(model.parameters()), optim.SGD([free])])
    message = r"\[TrainStep\] the parameter at index 2 .*, of shape \(5,\), is in neither the model nor the loss"
    with pytest.raises(NeedleError, match=message):
        ndl.fit(one, [(ndl.ones(4, 2), ndl.zeros(4))], 1, folder=tmp_path)
    both = nn.Sequential(model)
    both.model, both.free = model, free
    assert ndl.TrainStep(both, nn.SoftmaxLoss(), optim.SGD([*model.parameters(), free])).state_dict()
