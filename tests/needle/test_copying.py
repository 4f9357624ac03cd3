"""copy, deepcopy and pickle: of arrays, tensors, modules, optimizers, steps, loaders and data sets."""

import copy
import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import needle as ndl
from needle import autograd, data, nn, optim
from needle.data import transforms
from needle.types import DTYPES

pytestmark = pytest.mark.both_modes


def pickled(x):
    return pickle.loads(pickle.dumps(x))


DEEP = pytest.mark.parametrize("deep", [copy.deepcopy, pickled])
ALL = pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
SHAPES = [(), (1,), (0,), (2, 0, 3), (3, 4)]


def array(x):
    return np.array(x.numpy())


def memory(x: ndl.Tensor) -> np.ndarray:
    return np.asarray(x)


@ALL
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tensors_of_every_kind(copied, shape, dtype):
    x = ndl.Tensor(np.asarray(np.random.RandomState(0).randn(*shape) * 5).astype(dtype), dtype=dtype)
    y = copied(x)
    assert type(y) is ndl.Tensor and (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
    assert y.requires_grad == x.requires_grad and y.op is None
    np.testing.assert_array_equal(y.numpy(), x.numpy())


@DEEP
def test_a_deep_copy_has_memory_of_its_own(deep):
    x = ndl.Tensor(np.arange(12.0, dtype="float32").reshape(3, 4))
    views = [x, x.transpose(), x[1:, ::2], x[:1].broadcast_to((3, 4)), ndl.Tensor(np.ones((3, 4)))[:, 1]]
    for view in views:
        before = array(view)
        y = deep(view)
        assert not np.shares_memory(memory(y), memory(view))
        memory(y)[...] = 7
        np.testing.assert_array_equal(view.numpy(), before)
        assert (y.numpy() == 7).all()


def test_a_shallow_copy_is_another_node_of_the_same_graph():
    x = ndl.Tensor([2.0])
    y = x * x
    z = copy.copy(y)
    assert z is not y and z.op is y.op and np.shares_memory(memory(z), memory(y))
    z.backward()
    assert x.grad.numpy().item() == 4


@DEEP
def test_shared_tensors_stay_shared_inside_one_copy(deep):
    a, b = ndl.Tensor([1.0]), ndl.Tensor([2.0])
    first, second, third = deep([a, b, a])
    assert first is third and first is not second and first is not a
    kept = {a: "a", b: "b"}
    assert sorted((k.numpy().item(), v) for k, v in deep(kept).items()) == [(1.0, "a"), (2.0, "b")]


@DEEP
def test_a_copy_keeps_value_and_gradient_and_not_the_graph(deep):
    x = ndl.Tensor(np.random.RandomState(0).randn(80, 80))
    y = x
    for _ in range(2000):  # a graph deeper than Python's stack
        y = y + 0.0
    (y * y).sum().backward()
    copied, inner = deep(x), deep(y)
    assert copied.grad is not x.grad and copied.grad.op is None and copied.graded_with == ()
    assert not np.shares_memory(memory(copied.grad), memory(x.grad))
    np.testing.assert_array_equal(copied.grad.numpy(), x.grad.numpy())
    assert inner.op is None and not inner.inputs and inner.requires_grad
    np.testing.assert_array_equal(inner.numpy(), y.numpy())


@ALL
def test_copies_are_counted_and_forgotten(copied):
    gc.collect()
    before = autograd.TENSOR_COUNTER
    y = copied(ndl.Tensor([1.0]))
    assert before + 1 == autograd.TENSOR_COUNTER
    del y
    assert before == autograd.TENSOR_COUNTER


@ALL
def test_attributes_tuples_and_placeholders(copied):
    x = nn.Parameter(ndl.Tensor([1.0]))
    x.name = "w"
    y = copied(x)
    assert type(y) is nn.Parameter and y.name == "w"
    pair = ndl.ops.make_tuple(x, ndl.Tensor([3.0]))
    assert [float(each.numpy().item()) for each in copied(pair).tuple()] == [1.0, 3.0]
    shape = autograd.Tensor.make_placeholder(ndl.types.Type((2, 3)))
    assert copied(shape).type == shape.type


@ALL
def test_devices(copied):
    for device in ndl.backend_selection.all_devices():
        assert copied(device) == device and copied(device).enabled() == device.enabled()
    assert copied(ndl.cpu()) == ndl.Tensor([1.0]).device


@pytest.mark.skipif(ndl.BACKEND == "np", reason="arrays are numpy's")
@ALL
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays(copied, dtype):
    from needle import backend_ndarray as nd

    for device in (nd.cpu(), nd.cpu_numpy()):
        for x in (nd.array(np.arange(6).reshape(2, 3), dtype, device), nd.array(np.ones(()), dtype, device)):
            for view in (x, x.permute(tuple(reversed(range(x.ndim))))):
                y = copied(view)
                assert (y.shape, y.dtype) == (view.shape, view.dtype) and y.device is device and y.is_compact()
                before = view.numpy()
                y.fill(0)
                np.testing.assert_array_equal(view.numpy(), before)
    with pytest.raises(ndl.errors.DeviceError, match=r"\[named\] no device 'moon'; there are \[cpu\(\), cuda\(\)"):
        pickled(nd.BackendDevice("moon", None))


MODULES = {
    "Linear": lambda: nn.Linear(3, 4),
    "images": lambda: nn.Sequential(nn.Conv(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.1), nn.Flatten()),
    "Residual": lambda: nn.Residual(nn.Sequential(nn.Linear(3, 3), nn.LayerNorm1d(3))),
    "RNN": lambda: nn.RNN(3, 4, num_layers=2, nonlinearity="relu"),
    "LSTM": lambda: nn.LSTM(3, 4),
    "GRU": lambda: nn.GRU(3, 4),
    "Embedding": lambda: nn.Embedding(5, 3),
    "Transformer": lambda: nn.Transformer(8, 16, 1, num_head=2, dim_head=4),
    "Recompute": lambda: nn.Recompute(nn.Linear(3, 4)),
}


@DEEP
@pytest.mark.parametrize("name", list(MODULES))
def test_modules(deep, name):
    model = MODULES[name]()
    other = deep(model)
    before = model.state_dict()
    assert list(other.state_dict()) == list(before) and type(other) is type(model)
    assert not set(other.parameters()) & set(model.parameters())
    for param in other.parameters():
        memory(param)[...] = 9
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    other.eval()
    assert model.training and not other.training


OPTIMIZERS = [optim.SGD, optim.Adam, optim.AdamW, optim.NesterovSGD, optim.Muon]


def made(optimizer=optim.Adam):
    np.random.seed(0)
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))
    opt = optimizer(model.parameters(), lr=0.1)
    average = optim.WeightAverage(model.parameters(), 0.5)
    schedule = optim.CosineSchedule(opt, 50)
    return ndl.TrainStep(model, nn.SoftmaxLoss(), opt, schedule, clip_norm=1.0, accumulate=2, average=average)


BATCH = np.random.RandomState(1).randn(6, 4).astype("float32"), np.array([0, 1, 2, 0, 1, 2], "float32")


@DEEP
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_copied_step_trains_its_copy_of_the_model_and_nothing_else(deep, optimizer):
    batch = [ndl.Tensor(each) for each in BATCH]
    step = made(optimizer)
    for _ in range(3):  # a gradient is half accumulated
        step(*batch)
    frozen = {name: np.array(value) for name, value in step.state_dict().items()}
    other = deep(step)
    inside = {id(p) for p in other.model.parameters()}
    assert {id(p) for p in other.optimizers[0].params} == inside == {id(p) for p in other.average.tensors}
    assert other.schedules[0].optimizer is other.optimizers[0]
    after = [other(*batch)["loss"] for _ in range(4)]
    for name, value in step.state_dict().items():
        np.testing.assert_array_equal(value, frozen[name])
    assert [step(*batch)["loss"] for _ in range(4)] == after
    for name, value in step.state_dict().items():
        np.testing.assert_array_equal(value, other.state_dict()[name])


def test_a_pickle_of_another_process():
    program = """
import pickle, sys
step, batch = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(([step(*batch)["loss"] for _ in range(4)], step)))
"""
    step, batch = made(), [ndl.Tensor(each) for each in BATCH]
    command, sent = [sys.executable, "-c", program], pickle.dumps((step, batch))
    done = subprocess.run(command, input=sent, capture_output=True, check=True)
    losses, other = pickle.loads(done.stdout)
    assert losses == [step(*batch)["loss"] for _ in range(4)]
    for name, value in step.state_dict().items():
        np.testing.assert_array_equal(value, other.state_dict()[name])


def same(ours, theirs):
    ours, theirs = list(ours), list(theirs)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


@ALL
@pytest.mark.parametrize("workers", [0, 2])
def test_a_copied_loader_goes_on_from_the_same_batch_on_its_own(copied, workers):
    images = data.NDArrayDataset(np.random.RandomState(0).randn(40, 3, 6, 6).astype("float32"), np.arange(40))
    augment = [transforms.RandomCrop(1), transforms.RandomFlip(), transforms.Normalize(0.5, 0.25)]
    loader = data.DataLoader(images, 4, shuffle=True, seed=3, workers=workers, augment=augment)
    iterator = iter(loader)
    for _ in range(3):
        next(iterator)
    other = copied(loader)
    rest = [next(other) for _ in range(7)]
    same(rest, [next(iterator) for _ in range(7)])
    same(other, loader)


def datasets(folder):
    for label in ("cat", "dog"):
        (folder / label).mkdir()
        Image.new("RGB", (8, 6), "red" if label == "cat" else "blue").save(folder / label / "a.png")
    yield data.NDArrayDataset(np.arange(12.0).reshape(6, 2), np.arange(6))
    yield data.ImageFolder(folder, size=4)
    yield data.TextDataset(np.arange(40), 8)


@DEEP
def test_data_sets_and_tokenizers(deep, tmp_path):
    for dataset in datasets(tmp_path):
        other = deep(dataset)
        assert len(other) == len(dataset) and type(other) is type(dataset)
        for a, b in zip(other[1], dataset[1], strict=True):
            np.testing.assert_array_equal(a, b)
            assert not isinstance(a, np.ndarray) or not a.ndim or not np.shares_memory(a, b)
    for tokenizer in (data.CharTokenizer.train("hello"), data.BPETokenizer.train("low lower lowest", 260)):
        assert deep(tokenizer).encode("hello") == tokenizer.encode("hello")
