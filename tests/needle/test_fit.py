"""The training loop: what it calls, logs and draws; and that a run goes on from its checkpoint to the same bytes."""

import sys
from pathlib import Path

import numpy as np
import pytest

import needle as ndl
from needle import nn, optim
from needle.data import DataLoader, Dataset
from needle.errors import NeedleError, SettingError
from needle.training.progress import times

pytestmark = pytest.mark.both_modes
FILES = ("checkpoint.safetensors", "log.csv")


@pytest.fixture(autouse=True)
def no_pictures(request, monkeypatch):
    """Drawing takes longer than training here; one test does it."""
    if "picture" not in request.node.name:
        monkeypatch.setattr("needle.training.history.History.plot", lambda self, path, title: None)


class Points(Dataset):
    """Noisy points of two classes; the noise is drawn anew each time, from numpy's global generator."""

    def __init__(self, n: int = 35) -> None:
        super().__init__()
        self.x = np.random.RandomState(1).randn(n, 6).astype("float32")
        self.y = (self.x[:, 0] > 0).astype("float32")

    def __getitem__(self, index):
        x = self.x[index]
        return x + 0.1 * np.random.randn(*x.shape).astype("float32"), self.y[index]

    def __len__(self):
        return len(self.x)


class Stop(Exception):
    """Raised in place of a step, as if the process had ended there."""


class Interrupted(ndl.TrainStep):
    stop_at = 0
    calls = 0

    def __call__(self, *batch):
        self.calls += 1
        if self.calls == self.stop_at:
            raise Stop
        return super().__call__(*batch)


def pieces(stop_at=0):
    np.random.seed(7)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))
    step = Interrupted(model, nn.SoftmaxLoss(), optim.Adam(model.parameters()))
    step.stop_at = stop_at
    return step, DataLoader(Points(), batch_size=10, shuffle=True)


def run(folder=None, stop_at=0, epochs=3, **options):
    return ndl.fit(*pieces(stop_at), epochs, folder=folder, config={"lr": 0.01, "layers": [6, 8, 2]}, **options)


def contents(folder: Path):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("options", [{}, {"save_every": 1}, {"save_every": 3, "log_every": 2}, {"save_every": 5}])
def test_an_interrupted_run_ends_with_the_bytes_of_one_that_was_not(tmp_path, options):
    whole = run(tmp_path / "whole", **options)
    for stop_at in (3, 4, 1, 5):  # of the steps that are made after each start
        with pytest.raises(Stop):
            run(tmp_path / "broken", stop_at, **options)
    broken = run(tmp_path / "broken", **options)
    assert broken.rows == whole.rows
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_what_was_set_by_hand_comes_back_when_a_run_goes_on(tmp_path):
    def by_hand(step):
        def on_epoch(epoch):
            if epoch == 1:
                step.optimizers[0].lr, step.clip_norm = 5e-5, 0.5

        return on_epoch

    for folder, stop_at in (("whole", 0), ("broken", 7), ("broken", 0)):
        step, loader = pieces(stop_at)
        try:
            ndl.fit(step, loader, 3, folder=tmp_path / folder, on_epoch=by_hand(step))
        except Stop:
            assert folder == "broken"
        assert step.optimizers[0].lr == 5e-5 and step.clip_norm == 0.5
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


class KeyedByEpoch:
    """Batches in an order that `set_epoch` alone decides, as a user may write them."""

    def __init__(self, dataset):
        self.dataset, self.epoch = dataset, 0

    def __len__(self):
        return 4

    def __iter__(self):
        order = np.random.default_rng(self.epoch).permutation(len(self.dataset))
        self.epoch += 1
        for chosen in np.array_split(order, 4):
            yield tuple(ndl.Tensor(field) for field in self.dataset[chosen])

    def set_epoch(self, epoch):
        self.epoch = epoch


class Looking(Interrupted):
    """A step that looks at other batches of the loader that feeds it."""

    loader = None

    def __call__(self, *batch):
        assert len(list(self.loader)) == 4
        next(iter(self.loader))
        return super().__call__(*batch)


@pytest.mark.parametrize("kind", ["keyed by epoch", "looking"])
def test_a_run_resumes_within_an_epoch_with_loaders_of_every_kind(tmp_path, kind):
    def go(folder, stop_at=0):
        step, loader = pieces(stop_at)
        if kind == "keyed by epoch":
            loader = KeyedByEpoch(Points())
        else:
            loader = DataLoader(Points(), batch_size=10, shuffle=True, seed=5)
            step.__class__, step.loader = Looking, loader
        return ndl.fit(step, loader, 3, folder=folder, config={}, save_every=1)

    whole = go(tmp_path / "whole")
    assert len(whole) == 3 and whole.last["step"] == 12
    for stop_at in (3, 4):
        with pytest.raises(Stop):
            go(tmp_path / "broken", stop_at)
    assert go(tmp_path / "broken").rows == whole.rows
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


@pytest.mark.parametrize("place", [0, 3, 5, 7])
def test_a_run_that_is_told_to_stop_is_saved_and_goes_on(tmp_path, place, capsys):
    step, loader = pieces()
    ndl.fit(step, loader, 3, folder=tmp_path / "whole")
    step, loader = pieces()
    capsys.readouterr()
    told = []

    class Listening(ndl.training.Watcher):
        def batch(self, epoch, position, metrics):
            told.append((epoch, position))

        def saved(self, path, steps):
            told.append((path.name, steps))

    history = ndl.fit(step, loader, 3, folder=tmp_path / "stopped", watch=Listening(), stop=lambda: len(told) >= place)
    assert told[-1] == ("checkpoint.safetensors", len([each for each in told if type(each[0]) is int]))
    assert len(history) <= 1 and capsys.readouterr().out == ""
    step, loader = pieces()
    ndl.fit(step, loader, 3, folder=tmp_path / "stopped", watch=Listening())
    for name in FILES:
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_run_returns_its_log_and_trains_no_more(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path, stop_at=1)
    assert again.rows == first.rows and len(again) == 3


def test_more_epochs_go_on_from_where_a_run_ended(tmp_path):
    run(tmp_path / "a", epochs=2)
    run(tmp_path / "a", epochs=4)
    run(tmp_path / "b", epochs=4)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_evaluation_and_samples_do_not_disturb_the_run(tmp_path):
    def seeding():
        np.random.seed(4)
        return {"loss": 1.5, "accuracy": 0.5}

    seen = []
    disturbed = run(evaluate=seeding, on_epoch=lambda epoch: seen.append((epoch, np.random.rand())))
    plain = run()
    assert disturbed["loss"] == plain["loss"] and disturbed["val_loss"] == [1.5] * 3
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert disturbed.columns == ["epoch", "step", "loss", "val_loss", "accuracy"]


def test_modes_follow_the_part_of_the_epoch():
    step, loader = pieces()
    modes = []
    ndl.fit(step, loader, 2, on_epoch=lambda epoch: modes.append(step.model.training))
    assert modes == [False, False]


def test_the_log_holds_means_since_the_row_before(tmp_path):
    class Counting:
        def __init__(self):
            self.n = 0

        def __call__(self, x):
            self.n += 1
            return {"loss": float(self.n), "hundredth": self.n / 100}

        def state_dict(self):
            return {"n": np.array(self.n)}

        def load_state_dict(self, state):
            self.n = int(state["n"])

    history = ndl.fit(Counting(), [1, 2, 3], 2, folder=tmp_path, log_every=2, evaluate=lambda: {"accuracy": 1})
    assert (tmp_path / "log.csv").read_text() == (
        "epoch,step,loss,hundredth,accuracy\n1,2,1.5,0.015,\n1,3,3,0.03,1\n2,4,4,0.04,\n2,6,5.5,0.055,1\n"
    )
    assert history["loss"] == [1.5, 3, 4, 5.5] and history.last["accuracy"] == 1.0
    with pytest.raises(NeedleError, match="no column 'acc'; it has epoch, step, loss, hundredth, accuracy"):
        history["acc"]


def test_another_config_is_refused_by_what_differs(tmp_path):
    run(tmp_path, epochs=1)
    before = contents(tmp_path)
    with pytest.raises(NeedleError, match=r"another config: config.lr: 0.01 there, 0.1 now; config.wd: None there"):
        ndl.fit(*pieces(), 2, folder=tmp_path, config={"lr": 0.1, "layers": [6, 8, 2], "wd": 1})
    assert contents(tmp_path) == before


def test_a_loss_that_is_not_finite_stops_the_run():
    step, loader = pieces()
    loader.dataset.x[20] = np.nan
    with pytest.raises(NeedleError, match=r"\[fit\] the loss is nan at step \d \(epoch 1, batch \d\): are the inputs"):
        ndl.fit(step, loader, 2)


@pytest.mark.parametrize("answer", [None, 0.5, {"loss": "low"}, {"loss": ndl.Tensor([1.0])}])
def test_a_step_that_returns_no_numbers_is_refused(answer):
    step, loader = pieces()
    step.__class__ = type("Odd", (Interrupted,), {"__call__": lambda self, *batch: answer})
    with pytest.raises(NeedleError, match=r"\[fit\] a step must return numbers by name, as {'loss': 0.5}, got"):
        ndl.fit(step, loader, 1)


def test_an_error_begins_a_line_of_its_own(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("time.monotonic", iter(range(10**6)).__next__)
    with pytest.raises(Stop):
        run(stop_at=2)
    assert capsys.readouterr().out.endswith(" \n")


@pytest.mark.parametrize("name", ["save_every", "log_every"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(SettingError, match=rf"\[fit\] {name} counts steps, from 1 on, got 0"):
        run(**{name: 0})


@pytest.mark.parametrize("epochs", [2.5, -1, "3", True])
def test_epochs_are_a_whole_number(epochs):
    with pytest.raises(SettingError, match=rf"\[fit\] epochs must be a whole number from 0 on, got {epochs}"):
        run(epochs=epochs)


def test_a_loader_that_is_used_up_is_refused():
    step, loader = pieces()
    with pytest.raises(NeedleError, match="no batches in epoch 2: can the loader be iterated again"):
        ndl.fit(step, iter(list(loader)), 2)


def test_plain_lines_when_not_on_a_terminal(capsys):
    run(title="points")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "points  begins: 3 epochs of 4 batches"  # before there is anything to report
    assert len(lines) == 4 and lines[1].startswith("points  epoch 1/3  loss 0.") and "\r" not in lines[1]


def test_a_line_each_minute_of_a_long_epoch(capsys, monkeypatch):
    monkeypatch.setattr("time.monotonic", iter(range(0, 10**6, 25)).__next__)
    run(title="points")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3 and any(line.startswith("points  epoch 1/3  [") and " steps/s" in line for line in lines)


def test_a_resumed_run_says_so(tmp_path, capsys):
    with pytest.raises(Stop):
        run(tmp_path, stop_at=7, save_every=2)
    capsys.readouterr()
    run(tmp_path, title="points")
    assert capsys.readouterr().out.startswith("points  epoch 2/3  goes on after batch 2\npoints  epoch 2/3  loss ")
    run(tmp_path)
    assert capsys.readouterr().out == "all 3 epochs are done\n"


def test_the_seconds_of_an_epoch_last_over_an_interruption(tmp_path, monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    class Timed(Interrupted):
        def __call__(self, *batch):
            clock[0] += 100
            return super().__call__(*batch)

    def go(stop_at=0):
        step, loader = pieces(stop_at)
        step.__class__ = Timed
        return ndl.fit(step, loader, 2, folder=tmp_path, save_every=1)

    for stop_at in (3, 4):  # what came after the checkpoint is made again, and counts once
        with pytest.raises(Stop):
            go(stop_at)
        clock[0] += 100_000
    (tmp_path / "times.csv").write_text((tmp_path / "times.csv").read_text() + "2,12")  # torn by a kill
    go()
    assert "epoch 2/2  loss" in (said := capsys.readouterr().out) and "6:40" in said.splitlines()[-1]
    rows = times(tmp_path)
    assert {epoch: (seconds, batches) for epoch, seconds, batches in rows} == {1: (400, 4), 2: (400, 4)}
    (tmp_path / "times.csv").write_text("1,2.500\n2,0.250\n3,\n\n4,nan,4\n5,1.000,4,9\n")
    assert times(tmp_path) == [(1, 2.5, None), (2, 0.25, None)] and times(tmp_path / "none") == []


def test_a_loader_of_another_length_is_refused(tmp_path):
    run(tmp_path, epochs=1)
    step, _ = pieces()
    with pytest.raises(NeedleError, match=r"was made with a loader of 4 batches, this one has 7"):
        ndl.fit(step, DataLoader(Points(), batch_size=5), 3, folder=tmp_path, config={"lr": 0.01, "layers": [6, 8, 2]})


def test_a_step_without_metrics_has_rows_too(tmp_path):
    class Silent:
        def __call__(self, x):
            return {}

        def state_dict(self):
            return {}

        def load_state_dict(self, state): ...

    history = ndl.fit(Silent(), [1, 2], 2, folder=tmp_path, evaluate=lambda: {"accuracy": 1})
    assert history.rows == [{"epoch": 1, "step": 2, "accuracy": 1.0}, {"epoch": 2, "step": 4, "accuracy": 1.0}]


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("time.monotonic", iter(range(10**6)).__next__)
    run(title="points")
    assert "\rpoints  epoch 1/3  [=====               ] 1/4  0:" in capsys.readouterr().out


def test_the_picture_is_the_same_for_the_same_numbers(tmp_path):
    pytest.importorskip("matplotlib")
    run(tmp_path, evaluate=lambda: {"loss": 1.0}, title="points")
    text = (tmp_path / "loss.svg").read_bytes()
    assert text.startswith(b"<?xml") and b"val loss" in text and b"points" in text
    (tmp_path / "loss.svg").unlink()
    run(tmp_path, title="points")
    assert (tmp_path / "loss.svg").read_bytes() == text


def test_without_matplotlib_a_line_says_how_to_get_the_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run(tmp_path)
    assert "needs matplotlib: pip install 'needle-dl[plots]'" in capsys.readouterr().out


def test_a_loss_of_many_numbers_is_refused():
    model = nn.Linear(3, 2)
    step = ndl.TrainStep(model, lambda y, target: y - target, optim.SGD(model.parameters()))
    with pytest.raises(NeedleError, match=r"the loss must be one number, got shape \(4, 2\): take its mean"):
        step(ndl.Tensor(np.ones((4, 3))), ndl.Tensor(np.ones((4, 2))))
