"""What becomes of the samples of a data set in a loader: how they are asked for, stacked, and their element types."""

import json

import numpy as np
import pytest

import needle as ndl
from needle import data, nn
from needle.data.transforms import Normalize, RandomCrop, RandomFlip
from needle.errors import DataError, SettingError

pytestmark = pytest.mark.both_modes

AUGMENT = (RandomCrop(2), RandomFlip(), Normalize(0.5, 0.25))


def images(n):
    rng = np.random.default_rng(0)
    return data.NDArrayDataset(rng.integers(0, 256, (n, 3, 8, 6), dtype="uint8"), np.arange(n))


def arrays(batches):
    return [tuple(x.numpy() for x in batch) for batch in batches]


def same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


class Singles:
    """A data set that knows single indices only, as many are written."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


def test_data_sets_of_single_samples_and_lists():
    samples = [(np.full((2, 3), i), i % 3) for i in range(10)]
    objects = np.empty(10, dtype=object)
    objects[:] = samples
    for dataset in (Singles(samples), samples, tuple(samples), dict(enumerate(samples)), objects):
        x, y = (np.concatenate(field) for field in zip(*arrays(data.DataLoader(dataset, 4)), strict=True))
        np.testing.assert_array_equal(x[:, 0, 0], np.arange(10))
        np.testing.assert_array_equal(y, np.arange(10) % 3)
    ((x,),) = data.DataLoader([1.0, 2.0], 2)
    np.testing.assert_array_equal(x.numpy(), [1, 2])


class Shares(Singles):
    """Written for one sample; an array of indices would be taken too, and give something else."""

    def __getitem__(self, index):
        row = self.samples[index]
        return row / row.sum(), index


class SharesOfNeedle(data.NDArrayDataset):
    """The same on top of a data set that is batched: what overrides `__getitem__` is not."""

    def __getitem__(self, index):
        row, label = super().__getitem__(index)
        return row / row.sum(), label


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_set_is_asked_for_batches_only_where_it_says_so(workers):
    table = np.arange(1.0, 25).reshape(8, 3)
    expected = table / table.sum(axis=1, keepdims=True)
    for dataset in (Shares(table), SharesOfNeedle(table, np.arange(8))):
        for settings in ({}, {"seed": 0, "shuffle": True}):
            for x, y in data.DataLoader(dataset, 4, workers=workers, **settings):
                np.testing.assert_allclose(x.numpy(), expected[y.numpy().astype(int)], rtol=1e-6)


def test_a_batched_data_set_is_asked_once_for_a_batch():
    asked = []

    class Squares(data.Dataset):
        def __len__(self):
            return 6

        @data.batched
        def __getitem__(self, index):
            asked.append(np.ndim(index))
            return index, index**2

    batches = arrays(data.DataLoader(Squares(), 4))
    assert asked == [1, 1] and [y.tolist() for _, y in batches] == [[0, 1, 4, 9], [16, 25]]
    same(arrays(data.DataLoader(np.arange(12.0).reshape(6, 2), 4)), [(np.arange(8.0).reshape(4, 2),),
                                                                     (np.arange(8, 12.0).reshape(2, 2),)])  # fmt: skip


def test_the_error_of_a_batch_that_no_single_sample_is_to_blame_for():
    class Sorted(data.NDArrayDataset):
        @data.batched
        def __getitem__(self, index):
            if np.ndim(index) and (np.diff(index) < 0).any():
                raise ValueError("indices must increase")
            return super().__getitem__(index)

    dataset = Sorted(np.arange(20))
    assert len(list(data.DataLoader(dataset, 5))) == 4
    with pytest.raises(ValueError, match="indices must increase"):
        list(data.DataLoader(dataset, 20, shuffle=True, seed=0))


def test_arrays_of_a_data_set_may_be_lists():
    pixels, labels = images(6).arrays
    lists = data.NDArrayDataset(pixels, labels.tolist())
    for augment in (None, AUGMENT[2:]):
        settings = {"augment": augment, "shuffle": True, "seed": 1}
        theirs = data.DataLoader(data.NDArrayDataset(pixels, labels), 4, **settings)
        same(arrays(data.DataLoader(lists, 4, **settings)), arrays(theirs))
    with pytest.raises(DataError, match=r"field 0 of sample 1 is \(2,\), of sample 0 \(1,\)"):
        list(data.DataLoader(data.NDArrayDataset([[1], [1, 2]]), 2))


# element types


FIELDS = {
    "bool": "bool", "int8": "int32", "uint8": "int32", "int16": "int32", "uint16": "int32", "int32": "int32",
    "uint32": "int64", "int64": "int64", "uint64": "int64", "float16": "float32", "float32": "float32",
    "float64": "float32",
}  # fmt: skip


@pytest.mark.parametrize("dtype", FIELDS)
def test_a_field_keeps_its_kind_of_numbers(dtype):
    values = np.array([1, 0, 1, 1, 0]).astype(dtype)
    datasets = values, data.NDArrayDataset(values), Singles(list(values))
    for dataset in datasets:
        ((x,),) = data.DataLoader(dataset, None)
        assert x.dtype == (dtype if ndl.BACKEND == "np" else FIELDS[dtype]) and not x.requires_grad
        np.testing.assert_array_equal(x.numpy(), values)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64"])
def test_large_ids_come_as_they_are(dtype):
    ids = np.array([2**24 + 1, 2**31 - 1, 0, np.iinfo(dtype).max // 2]).astype(dtype)
    for dataset in (data.NDArrayDataset(ids), Singles([int(i) for i in ids])):
        got = np.concatenate([x.numpy() for (x,) in data.DataLoader(dataset, 3)])
        assert got.tolist() == ids.tolist()


def test_ids_beyond_int64_are_refused():
    ids = np.array([1, 2**63], dtype="uint64")
    if ndl.BACKEND == "np":
        assert next(iter(data.DataLoader(ids, 2)))[0].numpy().tolist() == ids.tolist()
        return
    with pytest.raises(DataError, match=r"field 0 holds 9223372036854775808; a Tensor holds integers below 2\*\*63"):
        list(data.DataLoader(ids, 2))
    with pytest.raises(DataError, match=r"field 0 holds 9223372036854775808; a Tensor holds integers below"):
        list(data.DataLoader([1, 2**63], 2))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32"])
def test_labels_of_every_type_train_a_model(dtype):
    """The losses that take labels and those that take numbers are what they are with labels in float32."""
    labels, inputs = (np.arange(12) % 2).astype(dtype), np.linspace(-1, 1, 24, dtype="float32").reshape(12, 2)
    (x, y), (_, reference) = (
        next(iter(data.DataLoader(data.NDArrayDataset(inputs, each), 12)))
        for each in (labels, labels.astype("float32"))
    )
    classes = nn.SoftmaxLoss(0.1), nn.CrossEntropyLoss(ignore_index=1), nn.NLLLoss()
    numbers = nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(), nn.BCEWithLogitsLoss(2.0)
    for losses, scores in ((classes, x), (numbers, x[:, 0])):
        for loss_fn in losses:
            got, expected = (loss_fn(scores, target).numpy() for target in (y, reference))
            np.testing.assert_allclose(got, expected, rtol=0 if ndl.BACKEND == "nd" else 1e-6)  # (numpy: in float64)
    table = nn.Embedding(2, 3)
    np.testing.assert_array_equal(table(y).numpy(), table(reference).numpy())
    np.testing.assert_array_equal(ndl.init.one_hot(2, y).numpy(), np.eye(2)[labels.astype(int)])


@pytest.mark.parametrize(
    ("dataset", "settings", "message"),
    [
        (iter([1]), {}, "needs __len__ and __getitem__, got list_iterator"),
        ([1], {"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ([1], {"batch_size": 2.5}, r"batch_size must be a whole number or None, got 2\.5"),
        ([1], {"seed": "a"}, "seed must be a whole number or None, got 'a'"),
        ([1], {"seed": 1.5}, r"seed must be a whole number or None, got 1\.5"),
        ([1], {"augment": AUGMENT}, "needs a seed"),
        ([1], {"augment": [len]}, "needs transforms of needle.data.transforms, got <built-in function len>"),
    ],
)
def test_arguments_that_make_no_sense(dataset, settings, message):
    with pytest.raises((DataError, SettingError), match=message):
        data.DataLoader(dataset, **settings)


def test_settings_that_are_numpy_s_are_those_of_python():
    """So that the state can be written."""
    numpys = {"batch_size": np.int64(2), "shuffle": np.True_, "seed": np.int64(3), "drop_last": np.False_}
    loader = data.DataLoader(list(range(5)), **numpys)
    twin = data.DataLoader(list(range(5)), 2, shuffle=True, seed=3)
    assert json.dumps(loader.state_dict()) == json.dumps(twin.state_dict())
    twin.load_state_dict(json.loads(json.dumps(loader.state_dict())))
    assert [x.tolist() for (x,) in loader] == [x.tolist() for (x,) in twin]


class Broken(Singles):
    def __getitem__(self, index):
        return self.samples[index] if index != 2 else 1 / 0


class Short(data.NDArrayDataset):
    @data.batched
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x, y[:-1]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ([np.zeros(3), np.zeros(3), np.zeros(4)], r"field 0 of sample 2 is \(4,\), of sample 0 \(3,\)"),
        ([(1, 2), (1, 2), (1,)], "sample 2 has 1 fields, sample 0 has 2"),
        ([(1, "cat"), (2, "dog")], "field 1 has dtype <U3; a Tensor holds numbers"),
        (Short(np.zeros((3, 2)), np.zeros(3)), "asked for 3 samples; its field 1 came as 2 rows"),
    ],
)
def test_samples_that_make_no_batch(dataset, message):
    with pytest.raises(DataError, match=message):
        next(iter(data.DataLoader(dataset, 3)))


def test_the_sample_that_fails_is_named():
    with pytest.raises(ZeroDivisionError) as caught:
        next(iter(data.DataLoader(Broken([0, 1, 2, 3]), 4)))
    assert caught.value.__notes__ == ["[DataLoader] while reading sample 2", "[DataLoader] in batch 0 of epoch 0"]


def test_images_that_are_not_channels_first():
    with pytest.raises(DataError, match=r"must be \(n, channels, height, width\), got shape \(5, 7\)"):
        next(iter(data.DataLoader(data.NDArrayDataset(np.zeros((5, 7))), 5, seed=0, augment=RandomFlip())))
