"""What objects say of themselves: complete, short, without addresses, and never by computing. In both array modes."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import BACKEND, Tensor, autograd, data, nn, optim
from needle.data import transforms

pytestmark = pytest.mark.both_modes


def lines(thing: Any) -> list[str]:
    text = repr(thing)
    assert not re.search(r"0x[0-9a-f]{6}", text), text
    return text.splitlines()


# tensors


def test_rows_stand_below_one_another() -> None:
    x = Tensor([[1.0, 2.5], [3.0, 4.0]])
    assert lines(x) == ["needle.Tensor([[1.  2.5]", "               [3.  4. ]])"]
    assert str(x) == str(x.numpy()) and lines(Tensor(2.5)) == ["needle.Tensor(2.5)"]
    assert lines(nn.Parameter([1.0])) == ["needle.nn.Parameter([1.])"]


def test_what_is_not_as_by_default_is_said() -> None:
    assert lines(Tensor([1.0], requires_grad=False)) == ["needle.Tensor([1.], requires_grad=False)"]
    assert lines(Tensor([1, 2], dtype="int32")) == ["needle.Tensor([1 2], dtype=int32)"]
    for dtype, default in (("float32", "nd"), ("float64", "np"), ("int64", "np"), ("bool", "np")):
        assert ("dtype" in repr(Tensor([1], dtype=dtype))) == (default != BACKEND)
    if BACKEND == "nd":
        assert lines(Tensor([1.0], device=ndl.cpu_numpy())) == ["needle.Tensor([1.], device=cpu_numpy())"]
        assert lines(ndl.NDArray([[1], [2]])) == ["NDArray([[1.]", "         [2.]], device=cpu())"]
        assert lines(ndl.NDArray([1], dtype="int64")) == ["NDArray([1], dtype=int64, device=cpu())"]


def test_large_and_empty_tensors() -> None:
    large = lines(Tensor(np.zeros((500, 400)), requires_grad=False))
    assert len(large) == 8 and large[3].strip() == "..." and large[6].endswith("[0. 0. 0. ... 0. 0. 0.]],")
    assert large[7] == " " * 14 + "shape=(500, 400), requires_grad=False)"
    assert lines(Tensor(np.zeros((2, 0)))) == ["needle.Tensor([], shape=(2, 0))"]
    assert lines(Tensor(np.zeros(0))) == ["needle.Tensor([])"]
    wide = lines(Tensor(np.full(6, 0.123456), requires_grad=False))
    assert wide[-1] == "              requires_grad=False)" and wide[-2].endswith("],")
    assert lines(Tensor(np.arange(12.0).reshape(3, 4)).T[::-1, ::2])[1] == "               [ 2. 10.]"
    with np.printoptions(threshold=4):
        assert "..." in repr(Tensor(np.arange(8.0)))


def test_nothing_is_computed() -> None:
    x = Tensor([[1.0, 2.0]])
    autograd.LAZY_MODE = True
    try:
        y, parts = x + 1, ndl.split(x, 0)
        dtype = "float32" if BACKEND == "nd" else "float64"
        assert lines(y) == [f"needle.Tensor(<no data yet>, shape=(1, 2), dtype={dtype})"] == [str(y)]
        assert lines(parts) == ["needle.TensorTuple(<no data yet>)"]
        assert y.cached_data is None and parts.cached_data is None
    finally:
        autograd.LAZY_MODE = False
    assert lines(y + 0) == ["needle.Tensor([[2. 3.]])"]


def test_tuples() -> None:
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    parts, many = ndl.split(x, 0), ndl.split(Tensor(np.zeros(1000)), 0)
    gc.collect()  # tensors of other tests
    before = autograd.TENSOR_COUNTER
    assert lines(parts) == [
        "needle.TensorTuple(", "  needle.Tensor([1. 2.]),", "  needle.Tensor([3. 4.]),", ")"
    ]  # fmt: skip
    assert lines(ndl.make_tuple(x, x[0]))[1:3] == ["  needle.Tensor([[1. 2.]", "                 [3. 4.]]),"]
    assert len(lines(many)) == 13 and lines(many)[6] == "  ..." and before == autograd.TENSOR_COUNTER


# modules


def test_a_module_is_a_tree() -> None:
    block = nn.Residual(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), ndl.relu, nn.Dropout(0.2), block)
    assert lines(model) == [
        "Sequential(  # 60 parameters",
        "  (0): Linear(in_features=3, out_features=4, bias=False)  # 12 parameters",
        "  (1): BatchNorm1d(dim=4, eps=1e-05, momentum=0.1)  # 8 parameters",
        "  (2): relu",
        "  (3): Dropout(p=0.2)",
        "  (4): Residual(  # 40 parameters",
        "    (fn): Sequential(  # 40 parameters",
        "      (0-1): 2 x Linear(in_features=4, out_features=4)  # 20 parameters",
        "    )",
        "  )",
        ")",
    ]
    assert sum(p.size for p in model.parameters()) == 60
    assert lines(nn.Conv(3, 4, 3, stride=2)) == [
        "Conv(in_channels=3, out_channels=4, kernel_size=3, stride=2)  # 112 parameters"
    ]
    assert lines(nn.LSTM(3, 4, num_layers=3)) == [
        "LSTM(  # 464 parameters",
        "  input_size=3, hidden_size=4, num_layers=3",
        "  (lstm_cells.0): LSTMCell(input_size=3, hidden_size=4)  # 144 parameters",
        "  (lstm_cells.1-2): 2 x LSTMCell(input_size=4, hidden_size=4)  # 160 parameters",
        ")",
    ]


def test_modules_of_users() -> None:
    class Own(nn.Module):
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.width, self.scale = width, nn.Parameter(np.ones((width, 2)))
            self.table = {"a": nn.ReLU(), "b": [nn.Tanh(), self.scale]}
            self.me = self

    class Saying(Own):
        def extra_repr(self) -> str:
            return f"{self.width} wide"

    assert lines(Own(4)) == [
        "Own(  # 8 parameters", "  width=4", "  (table.a): ReLU()", "  (table.b.0): Tanh()", "  (me): Own(...)", ")"
    ]  # fmt: skip
    assert lines(Saying())[:2] == ["Saying(  # 6 parameters", "  3 wide"]
    assert lines(Saying.__new__(Saying)) == ["Saying()"]
    shared = nn.Linear(2, 2)
    assert lines(nn.Sequential(shared, nn.ReLU(), shared))[0] == "Sequential(  # 6 parameters"


# training


def test_optimizers_and_schedules() -> None:
    params = nn.Linear(3, 2).parameters()
    adam = optim.Adam(params, lr=0.1)
    assert lines(adam) == [
        "Adam(lr=0.1, beta1=0.9, beta2=0.999, eps=1e-08, weight_decay=0.0)  # 2 tensors, 8 parameters"
    ]
    nn.Linear(3, 2)(Tensor([[1.0, 2, 3]])).sum().backward()
    adam.step()
    assert lines(adam)[0].endswith("8 parameters, step 1")
    assert lines(optim.SGD(params, momentum=0.9)) == [
        "SGD(lr=0.01, momentum=0.9, weight_decay=0.0)  # 2 tensors, 8 parameters"
    ]
    assert lines(optim.CosineSchedule(adam, 10, warmup=2)) == [
        "CosineSchedule(Adam, steps=10, warmup=2, final=0.0, peak=0.1)  # step 0"
    ]
    assert lines(optim.StepDecay(adam, 10, [5, 8])) == [
        "StepDecay(Adam, steps=10, at=[5, 8], factor=0.1, peak=0.05)  # step 0"
    ]
    assert "rise=0.3" in repr(optim.OneCycle(adam, 10))
    assert lines(optim.WeightAverage(params)) == ["WeightAverage(decay=0.999)  # 2 tensors, 8 elements"]
    assert lines(ndl.GradientAccumulator(params)) == ["GradientAccumulator(weight=0)  # 2 tensors, 8 parameters"]
    step = ndl.TrainStep(nn.Linear(3, 2), nn.SoftmaxLoss(), optim.SGD(params), clip_norm=1.0)
    assert lines(step) == [
        "TrainStep(Linear, SoftmaxLoss, SGD(lr=0.01, momentum=0.0, weight_decay=0.0), clip_norm=1.0)"
    ]


def test_a_history_is_a_table() -> None:
    rows = [{"epoch": n, "step": 100 * n, "loss": 1 / n} for n in range(1, 4)]
    assert lines(ndl.training.History([*rows[:2], rows[2] | {"val_loss": 0.25}])) == [
        "History of 3 rows",
        "epoch  step      loss  val_loss",
        "    1   100         1",
        "    2   200       0.5",
        "    3   300  0.333333      0.25",
    ]
    assert lines(ndl.training.History()) == ["History of 0 rows"]
    long = lines(ndl.training.History([{"epoch": n, "step": 1_234_567} for n in range(1000)]))
    assert len(long) == 23 and long[12].split() == ["...", "..."] and long[-1].split() == ["999", "1234567"]


def test_a_summary_is_its_table() -> None:
    found = ndl.summary(nn.Linear(3, 2), (1, 3))
    assert repr(found) == str(found) and "multiply-adds" in lines(found)[0]


# data


def test_data_sets_and_loaders(tmp_path: Path) -> None:
    images = data.NDArrayDataset(np.zeros((1200, 3, 8, 8), "float32"), np.arange(1200, dtype="int64"))
    told = "NDArrayDataset(1,200 samples, arrays[0]: float32 (3, 8, 8), arrays[1]: int64 ())"
    assert lines(images) == [told]
    assert lines(data.DataLoader(images, 500)) == [f"DataLoader({told}, batch_size=500)  # 3 batches"]
    augment = [transforms.RandomCrop(1), transforms.ToFloat()]
    assert lines(data.DataLoader(images, 1200, True, seed=3, workers=2, augment=augment)) == [
        f"DataLoader({told}, batch_size=1200, shuffle=True, seed=3, workers=2, "
        "augment=Compose(RandomCrop(padding=1, mode='zero'), ToFloat()))  # 1 batch"
    ]
    assert lines(data.DataLoader([1, 2, 3], 2)) == ["DataLoader(list of 3 samples, batch_size=2)  # 2 batches"]
    assert lines(data.TextDataset(np.arange(101), 10)) == ["TextDataset(10 samples, 101 ids, context=10, stride=10)"]
    assert lines(data.TextColumns(np.arange(100), 5, 3)) == ["TextColumns(7 batches, 5 columns of 20 ids, steps=3)"]
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text("a b\nc\n")
    corpus = data.Corpus(tmp_path)
    assert lines(corpus) == ["Corpus(train: 5 ids, test: 5 ids, 4 words)"]
    assert lines(corpus.dictionary) == ["Dictionary(4 words)"]
    assert lines(data.CharTokenizer("abc")) == ["CharTokenizer(3 tokens)"]
    pair = [data.RandomFlipHorizontal(0.25), data.RandomCrop()]
    assert lines(pair) == ["[RandomFlipHorizontal(p=0.25), RandomCrop(padding=3)]"]


def test_data_sets_and_transforms_of_users() -> None:
    class Squares(data.Dataset):
        def __init__(self, transforms: Any = None) -> None:
            super().__init__(transforms)
            self.ids = np.arange(3)

        def __len__(self) -> int:
            return len(self.ids)

    class Unfinished(data.Dataset):
        pass

    class Darken(transforms.Transform):
        def __init__(self, by: float) -> None:
            self.by = by

    assert lines(Squares()) == ["Squares(3 samples, ids: int64 ())"]
    assert lines(Squares([data.RandomCrop()]))[0].startswith("Squares(3 samples, transforms=[RandomCrop(padding=3)]")
    assert lines(Unfinished()) == ["Unfinished()"] and lines(Darken(0.5)) == ["Darken(by=0.5)"]
    assert lines(transforms.Compose(Darken(1))) == ["Compose(Darken(by=1))"]


UNFINISHED = [
    Tensor, nn.Parameter, autograd.TensorTuple, nn.Linear, nn.Sequential, nn.LSTM, nn.Dropout, nn.Transformer,
    nn.KVCache, optim.SGD, optim.Adam, optim.Muon, optim.CosineSchedule, optim.OneCycle, optim.WeightAverage,
    ndl.GradientAccumulator, ndl.TrainStep, ndl.training.History, data.DataLoader, data.NDArrayDataset,
    data.CIFAR10Dataset, data.MNISTDataset, data.ImageFolder, data.TextDataset, data.TextColumns, data.Corpus,
    data.Dictionary, data.CharTokenizer, data.WordTokenizer, data.RandomCrop,
]  # fmt: skip


@pytest.mark.parametrize("kind", UNFINISHED, ids=lambda kind: kind.__name__)
def test_an_object_whose_init_has_not_ended_has_a_text_too(kind: type) -> None:
    before = autograd.TENSOR_COUNTER
    thing: Any = kind.__new__(kind)
    assert kind.__name__ in lines(thing)[0] and len(lines(thing)) == 1
    del thing
    autograd.TENSOR_COUNTER = before  # which counts those that are complete
