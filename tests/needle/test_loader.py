"""The loader beyond the course's: keyed orders, augmentation by sample, resuming, and its errors."""

import json

import numpy as np
import pytest

import needle as ndl
from needle import data
from needle.data.transforms import Cutout, Normalize, RandomCrop, RandomFlip
from needle.errors import DataError
from needle.keyed_random import key_of, keyed_order, uniform

pytestmark = pytest.mark.both_modes

def keyed_uniform(seed, epoch, samples, count):
    return uniform(key_of(seed, epoch), samples, count)


AUGMENT = (RandomCrop(2), RandomFlip(), Normalize(0.5, 0.25))


def images(n=50, *shape):
    rng = np.random.default_rng(0)
    return data.NDArrayDataset(rng.integers(0, 256, (n, *(shape or (3, 8, 6))), dtype="uint8"), np.arange(n))


def loader(n=50, batch_size=8, **settings):
    return data.DataLoader(images(n), batch_size, **{"shuffle": True, "seed": 3, "augment": AUGMENT, **settings})


def arrays(batches):
    return [tuple(x.numpy() for x in batch) for batch in batches]


def rest(running):
    """What is left of an iteration that has begun."""
    while True:
        try:
            yield next(running)
        except StopIteration:
            return


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


# keyed numbers


def test_numbers_belong_to_the_sample_alone():
    whole = keyed_uniform(7, 2, np.arange(100), 5)
    some = np.array([40, 3, 99])
    np.testing.assert_array_equal(keyed_uniform(7, 2, some, 5), whole[some])
    np.testing.assert_array_equal(keyed_uniform(7, 2, some, 3), whole[some, :3])
    for other in (keyed_uniform(8, 2, np.arange(100), 5), keyed_uniform(7, 3, np.arange(100), 5)):
        assert not np.isin(other, whole).any()


def test_numbers_are_those_of_splitmix64():
    """Against the generator as its authors write it, in Python's integers."""
    mask, gamma = 2**64 - 1, 0x9E3779B97F4A7C15

    def mixed(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    for seed, epoch, sample in ((0, 0, 0), (-1, 5, 12), (2**63, 2**40, 49_999)):
        state = 0
        for word in (2, seed, epoch, sample):
            state = mixed((state + word * gamma) & mask)
        expected = [(mixed((state + (j + 1) * gamma) & mask) >> 11) / 2**53 for j in range(4)]
        np.testing.assert_array_equal(keyed_uniform(seed, epoch, np.array([sample]), 4)[0], expected)


def test_numbers_are_uniform_and_independent():
    u = keyed_uniform(0, 0, np.arange(20_000), 4)
    assert (u >= 0).all() and (u < 1).all()
    counts = np.stack([np.bincount((column * 20).astype(int), minlength=20) for column in u.T])
    chi2 = ((counts - 1000) ** 2 / 1000).sum(axis=1)
    assert (chi2 < 43.8).all()  # 19 degrees of freedom, p = 0.001
    epochs = np.stack([keyed_uniform(0, epoch, np.arange(20_000), 1)[:, 0] for epoch in range(3)])
    seeds = np.stack([keyed_uniform(seed, 0, np.arange(20_000), 1)[:, 0] for seed in range(1, 4)])
    streams = np.concatenate([u.T, np.roll(u.T, 1, axis=1), epochs[1:], seeds])
    correlation = np.corrcoef(streams) - np.eye(len(streams))
    assert abs(correlation).max() < 0.03  # 4 standard deviations
    bits = ((u * 2**53).astype("uint64")[:, :, None] >> np.arange(53, dtype="uint64")) & np.uint64(1)
    assert abs(bits.mean(axis=0) - 0.5).max() < 0.018  # 5 standard deviations, every bit of every number


def test_orders_are_permutations_without_a_pattern():
    orders = np.stack([keyed_order(0, epoch, 200) for epoch in range(400)])
    assert (np.sort(orders, axis=1) == np.arange(200)).all()
    first = np.bincount(orders[:, 0], minlength=200)
    assert first.max() <= 11 and (orders[:, 0] != orders[:, 1]).all()
    assert abs(orders.mean(axis=0) - 99.5).max() < 4.5 * 57.7 / 20
    assert len(keyed_order(0, 0, 0)) == 0


# order and augmentation


def test_a_loader_with_a_seed_is_a_function_of_it():
    one, other = loader(), loader()
    first, second = arrays(one), arrays(one)
    state = np.random.get_state()[1].copy()
    same(first, arrays(other))
    same(second, arrays(other))
    assert (np.random.get_state()[1] == state).all()  # numpy's generator is left alone
    assert any((a[1] != b[1]).any() for a, b in zip(first, second, strict=True))
    other.set_epoch(0)
    same(first, arrays(other))
    assert sorted(np.concatenate([y for _, y in first])) == list(range(50))


@pytest.mark.parametrize(
    "augment", [AUGMENT, (*AUGMENT, Cutout(3)), (Cutout(3), *AUGMENT), (RandomFlip(), RandomCrop(2, "reflect"))]
)
def test_a_sample_is_changed_the_same_way_in_any_batch(augment):
    def by_label(batches):
        x, y = (np.concatenate(field) for field in zip(*arrays(batches), strict=True))
        return x[np.argsort(y)]

    expected = by_label(loader(augment=augment))
    for settings in ({"batch_size": 50}, {"batch_size": 1}, {"batch_size": 7}, {"shuffle": False}):
        np.testing.assert_array_equal(by_label(loader(augment=augment, **settings)), expected)
    later = loader(augment=augment)
    later.set_epoch(1)
    assert (by_label(later) != expected).any()


def test_drop_last_and_lengths():
    assert [len(y) for _, y in arrays(loader())] == [8] * 6 + [2] and len(loader()) == 7
    assert [len(y) for _, y in arrays(loader(drop_last=True))] == [8] * 6 and len(loader(drop_last=True)) == 6
    assert len(loader(batch_size=None)) == 1 and len(loader(n=0)) == 0 == len(list(loader(n=0)))


def test_a_fixed_pipeline_needs_no_seed():
    ((x, _),) = data.DataLoader(images(5), None, augment=Normalize(0.5, 0.25))
    np.testing.assert_allclose(x.numpy(), (images(5).arrays[0] / 255 - 0.5) / 0.25, atol=1e-6)
    assert x.dtype == "float32" and x.device == ndl.default_device()


# resuming


@pytest.mark.parametrize("stop", [0, 1, 4, 6, 7])
def test_a_resumed_loader_gives_the_remaining_batches(stop):
    one, other = loader(), loader()
    list(one)
    running = iter(one)
    for _ in range(stop):
        next(running)
    state = json.loads(json.dumps(one.state_dict()))
    assert (state["epoch"], state["position"]) == (1, stop)
    other.load_state_dict(state)
    assert (other.epoch, other.position) == (1, stop)
    other.set_epoch(1)  # what a training loop may say too
    same(arrays(rest(running)), arrays(other))
    same(arrays(one), arrays(other))


def test_asking_twice_for_an_iterator_skips_nothing():
    one, other = loader(), loader()
    same(arrays(iter(iter(one))), arrays(other))


def test_abandoning_an_epoch_goes_on_to_the_next():
    one, other = loader(), loader()
    for _ in one:
        break
    other.set_epoch(1)
    same(arrays(one), arrays(other))
    assert one.state_dict()["epoch"] == 2 and one.state_dict()["position"] == 0


def test_the_state_of_another_loader_is_refused():
    state = loader().state_dict()
    others = [({"batch_size": 9}, "size 8, this loader's is 9"), ({"seed": 4}, "of seed 3"), ({"n": 51}, "of samples")]
    for change, message in [*others, ({"augment": None}, "augment"), ({"drop_last": True}, "drop_last False")]:
        with pytest.raises(DataError, match=message):
            loader(**change).load_state_dict(state)
    with pytest.raises(DataError, match="lacks epoch"):
        loader().load_state_dict({k: v for k, v in state.items() if k != "epoch"})
    with pytest.raises(DataError, match="batch 8 of 7"):
        loader().load_state_dict(state | {"position": 8})


def test_an_order_of_numpys_generator_can_be_resumed_between_epochs_only():
    one = data.DataLoader(images(), 8, shuffle=True)
    list(one)
    assert one.state_dict()["epoch"] == 1
    next(iter(one))
    with pytest.raises(DataError, match="needs a seed"):
        one.state_dict()


# passes

SETTINGS = [{"shuffle": False}, {}, {"workers": 2}]


@pytest.mark.parametrize("settings", SETTINGS)
def test_passes_at_the_same_time_do_not_disturb_each_other(settings):
    one, epochs = loader(24, **settings), [arrays(epoch) for epoch in [loader(24, **settings)] for _ in range(5)]
    first, second = zip(*zip(one, one, strict=True), strict=True)
    same(arrays(first), epochs[0])
    same(arrays(second), epochs[1])
    outer, inner = zip(*((a, b) for a in one for b in one), strict=True)
    assert len(outer) == 9
    same(arrays(outer[::3]), epochs[2])
    same(arrays(inner[:3]), epochs[3])
    same(arrays(inner[3:6]), epochs[4])


@pytest.mark.parametrize("settings", [*SETTINGS, {"seed": None, "augment": None}])
def test_what_comes_after_a_pass_has_begun_does_not_change_it(settings):
    one = loader(**settings)
    np.random.seed(0)
    expected = arrays(one)
    one.set_epoch(0)
    np.random.seed(0)
    running = iter(one)  # the order is drawn here
    np.random.seed(1)
    got = [next(running) for _ in range(2)]
    state = one.state_dict() if one.seed is not None else None
    next(iter(one))
    one.set_epoch(7)
    got.append(next(running))
    if state:
        one.load_state_dict(state)
    same(arrays([*got, *running]), expected)
    assert next(running, None) is None is next(running, None)


def test_the_loader_tells_and_goes_on_with_the_newest_pass():
    one, epochs = loader(24), [arrays(epoch) for epoch in [loader(24)] for _ in range(3)]
    same([arrays([next(one)])[0]], epochs[0][:1])  # without an iter, this begins a pass
    assert (one.epoch, one.position) == (0, 1)
    older, newer = iter(one), iter(one)
    next(older)
    assert one.state_dict()["epoch"] == 2 and one.state_dict()["position"] == 0
    same(arrays([next(one), next(newer), next(one)]), epochs[2])
    assert (newer.position, older.position) == (3, 1)
    for exhausted in (one, newer, one):
        with pytest.raises(StopIteration):
            next(exhausted)
    assert (one.epoch, one.position) == (3, 0)
    same(arrays(older), epochs[1][1:])
