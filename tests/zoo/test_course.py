"""The course's applications: the same numbers as formulas in numpy, and learning on small data."""

import gzip

import numpy as np
import pytest

import needle as ndl
from needle import nn
from zoo.course import mlp_resnet, models, simple_ml, simple_ml_numpy

pytestmark = pytest.mark.both_modes


def values(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def one_hot(y, classes):
    return np.eye(classes, dtype="float32")[y]


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes(), 1))


@pytest.fixture
def digits(tmp_path):
    """A folder with MNIST's four files, of images that are easy to tell apart."""
    rng = np.random.RandomState(0)
    prototypes = rng.randint(0, 200, (10, 28, 28))
    for split, count in (("train", 200), ("t10k", 60)):
        labels = (np.arange(count) % 10).astype("uint8")
        images = prototypes[labels] + rng.randint(0, 55, (count, 28, 28))
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", images.astype("uint8"))
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", labels)
    return tmp_path


def of_mnist(folder, split="train"):
    return folder / f"{split}-images-idx3-ubyte.gz", folder / f"{split}-labels-idx1-ubyte.gz"


# the first homework, in numpy and C++


def test_add_and_parse_mnist(digits):
    assert simple_ml_numpy.add(2, 3.5) == 5.5
    X, y = simple_ml_numpy.parse_mnist(*of_mnist(digits))
    assert X.shape == (200, 784) and X.dtype == "float32" and y.dtype == "uint8"
    assert X.min() >= 0 and X.max() <= 1 and y.tolist() == [i % 10 for i in range(200)]
    assert simple_ml.parse_mnist is simple_ml_numpy.parse_mnist


def test_softmax_loss_in_numpy():
    assert simple_ml_numpy.softmax_loss(np.zeros((7, 10)), np.arange(7)) == pytest.approx(np.log(10))
    Z, y = values(20, 5) * 3, np.arange(20) % 5
    loss, error = simple_ml_numpy.loss_err(Z, y)
    assert loss == pytest.approx(-np.log(softmax(Z)[np.arange(20), y]).mean(), rel=1e-5)
    assert error == np.mean(Z.argmax(1) != y)
    assert np.isfinite(simple_ml_numpy.softmax_loss(Z * 1e4, y))


@pytest.mark.parametrize(
    "epoch", [simple_ml_numpy.softmax_regression_epoch, simple_ml_numpy.softmax_regression_epoch_cpp]
)
@pytest.mark.parametrize("batch", [50, 8, 1, 1000])
def test_softmax_regression_epoch(epoch, batch):
    X, y, theta = values(50, 6), (np.arange(50) % 4).astype("uint8"), values(6, 4, seed=1)
    meant = theta.astype(float)
    for start in range(0, 50, batch):
        x, labels = X[start : start + batch], y[start : start + batch]
        meant = meant - 0.7 / len(x) * x.T @ (softmax(x @ meant) - one_hot(labels, 4))
    assert epoch(X, y, theta, lr=0.7, batch=batch) is None
    np.testing.assert_allclose(theta, meant, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"y": np.full(50, 4, "uint8")},
        {"y": np.full(50, -1)},
        {"y": np.zeros(49, "uint8")},
        {"theta": np.zeros((5, 4), "float32")},
        {"theta": np.zeros((6, 4))},
        {"X": np.zeros((50, 12), "float32")[:, ::2]},
        {"X": np.zeros(50, "float32")},
        {"batch": 0},
        {"theta": np.broadcast_to(np.float32(0), (6, 4))},
    ],
)
def test_softmax_regression_in_cpp_refuses_what_it_cannot_use(changes):
    arguments = {"X": values(50, 6), "y": np.zeros(50, "uint8"), "theta": values(6, 4), "lr": 0.1, "batch": 10}
    with pytest.raises((ValueError, TypeError)):
        simple_ml_numpy.softmax_regression_epoch_cpp(**(arguments | changes))


def network_epoch(X, y, W1, W2, lr, batch):
    W1, W2 = W1.astype(float), W2.astype(float)
    for start in range(0, len(X), batch):
        x, labels = X[start : start + batch], y[start : start + batch]
        hidden = np.maximum(x @ W1, 0)
        error = (softmax(hidden @ W2) - one_hot(labels, W2.shape[1])) / len(x)
        W1, W2 = W1 - lr * x.T @ ((hidden > 0) * (error @ W2.T)), W2 - lr * hidden.T @ error
    return W1, W2


@pytest.mark.parametrize("batch", [50, 16])
def test_nn_epoch(batch):
    X, y = values(50, 5), (np.arange(50) % 3).astype("uint8")
    start = values(5, 10, seed=1) / 3, values(10, 3, seed=2) / 2
    meant = network_epoch(X, y, *start, 0.5, batch)
    W1, W2 = (np.array(W) for W in start)
    simple_ml_numpy.nn_epoch(X, y, W1, W2, lr=0.5, batch=batch)
    tensors = [ndl.Tensor(W) for W in start]
    got = simple_ml.nn_epoch(X, y, *tensors, lr=0.5, batch=batch)
    for ours, theirs, expected, old, array in zip((W1, W2), got, meant, tensors, start, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(theirs.numpy(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(old.numpy(), array)
        assert theirs.is_leaf() and theirs.dtype == "float32"


def test_softmax_loss_of_tensors():
    Z, y = values(20, 5) * 3, np.arange(20) % 5
    logits = ndl.Tensor(Z)
    loss = simple_ml.softmax_loss(logits, ndl.Tensor(one_hot(y, 5)))
    loss.backward()
    np.testing.assert_allclose(loss.numpy().item(), simple_ml_numpy.softmax_loss(Z, y), rtol=1e-5)
    np.testing.assert_allclose(logits.grad.numpy(), (softmax(Z) - one_hot(y, 5)) / 20, rtol=1e-4, atol=1e-6)
    loss, error = simple_ml.loss_err(logits, y)
    assert (loss.item(), error) == pytest.approx(simple_ml_numpy.loss_err(Z, y), rel=1e-5)


# the residual network of linear layers


def test_mlp_resnet_draws_in_order_of_execution():
    np.random.seed(2)
    model = mlp_resnet.MLPResNet(6, hidden_dim=4, num_blocks=2, num_classes=3)
    np.random.seed(2)
    sizes = [(6, 4), (4, 2), (2, 4), (4, 2), (2, 4), (4, 3)]
    weights = [param for param in model.parameters() if len(param.shape) == 2 and param.shape[0] > 1]
    assert [tuple(w.shape) for w in weights] == sizes
    for weight, (i, o) in zip(weights, sizes, strict=True):
        np.testing.assert_allclose(
            weight.numpy(), (np.random.rand(i, o) * 2 - 1) * np.sqrt(6 / i), rtol=1e-4, atol=1e-6
        )
        np.random.rand(o, 1)
    assert len(model.parameters()) == 2 * (6 + 4)
    assert model(ndl.Tensor(values(5, 6))).shape == (5, 3)


def test_residual_block():
    block = mlp_resnet.ResidualBlock(6, 4, norm=nn.LayerNorm1d, drop_prob=0.0)
    linear1, norm1, _, dropout, linear2, norm2 = block.modules[0].fn.modules
    x = ndl.Tensor(values(5, 6))
    inner = norm2(linear2(nn.ReLU()(norm1(linear1(x)))))
    np.testing.assert_allclose(block(x).numpy(), np.maximum(x.numpy() + inner.numpy(), 0), rtol=1e-5, atol=1e-6)
    assert dropout.p == 0.0


def test_epoch_seeds_sets_the_mode_and_averages_over_samples(digits):
    dataset = ndl.data.MNISTDataset(*of_mnist(digits))
    loader = ndl.data.DataLoader(dataset, batch_size=60)  # the last batch is smaller
    model = mlp_resnet.MLPResNet(784, 16)
    model.train()
    error, loss = mlp_resnet.epoch(loader, model)
    assert not model.training
    np.testing.assert_array_equal(np.random.rand(2), np.random.RandomState(4).rand(2))  # seeded, and no draw since
    logits = model(ndl.Tensor(dataset.X.reshape(200, 784)))
    assert error == pytest.approx(np.mean(logits.numpy().argmax(1) != dataset.y))
    assert loss == pytest.approx(simple_ml_numpy.softmax_loss(logits.numpy(), dataset.y), rel=1e-4)
    before = [param.numpy().copy() for param in model.parameters()]
    opt = ndl.optim.Adam(model.parameters(), lr=0.01)
    mlp_resnet.epoch(loader, model, opt)
    assert model.training
    assert all((a != b.numpy()).any() for a, b in zip(before, model.parameters(), strict=True))


def test_train_mnist_learns_and_is_reproducible(digits):
    def run():
        np.random.seed(1)
        options = {"batch_size": 20, "epochs": 4, "optimizer": ndl.optim.Adam, "lr": 0.01, "weight_decay": 1e-4}
        return mlp_resnet.train_mnist(**options, hidden_dim=16, data_dir=digits)

    first = run()
    assert len(first) == 4 and first == run()
    assert first[0] < 0.4 and first[2] < 0.3 and first[1] < 1.5


# networks


def test_resnet9():
    np.random.seed(0)
    model = models.ResNet9()
    assert sum(np.prod(param.shape) for param in model.parameters()) == 431_946
    np.random.seed(0)
    first = (np.random.rand(7, 7, 3, 16) * 2 - 1) * np.sqrt(6 / 147)
    np.testing.assert_allclose(model.parameters()[0].numpy(), first, rtol=1e-4, atol=1e-6)
    y = model(ndl.Tensor(values(2, 3, 32, 32)))
    assert y.shape == (2, 10)
    (y * y).sum().backward()
    assert all(param.grad.shape == param.shape for param in model.parameters())


@pytest.mark.parametrize("kind", ["rnn", "lstm", "transformer"])
def test_language_model(kind):
    np.random.seed(3)
    model = models.LanguageModel(6, 11, 8, num_layers=2, seq_model=kind, seq_len=9)
    np.random.seed(3)
    np.testing.assert_allclose(model.embedding.weight.numpy(), np.random.randn(11, 6), rtol=1e-5)
    x = np.random.randint(0, 11, (5, 3)).astype("float32")
    logits, state = model(ndl.Tensor(x))
    assert logits.shape == (15, 11)
    detached = tuple(s.detach() for s in state) if kind == "lstm" else state.detach()
    logits, _ = model(ndl.Tensor(x), detached)
    (logits * logits).sum().backward()
    assert all(param.grad is not None for param in model.parameters())
    with pytest.raises(ndl.errors.NeedleError, match="seq_model"):
        models.LanguageModel(6, 11, 8, seq_model="gru")


# training loops


def images(count=48):
    y = np.arange(count) % 3
    X = values(count, 3, 8, 8) * 0.1
    X[np.arange(count), y] += 1
    return X, y


def small_network():
    layers = [nn.Conv(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3)]
    return nn.Sequential(*layers)


def test_train_cifar10_learns_and_evaluates():
    loader = ndl.data.DataLoader(ndl.data.NDArrayDataset(*images()), batch_size=16, shuffle=True)
    np.random.seed(0)
    model = small_network()
    _, before = simple_ml.evaluate_cifar10(model, loader)
    accuracy, loss = simple_ml.train_cifar10(model, loader, n_epochs=4, lr=0.01, loss_fn=nn.SoftmaxLoss())
    assert loss < before and model.training
    accuracy, loss = simple_ml.evaluate_cifar10(model, loader)
    assert accuracy > 0.9 and not model.training
    X, y = images()
    logits = model(ndl.Tensor(X)).numpy()
    assert accuracy == np.mean(logits.argmax(1) == y)
    assert loss == pytest.approx(simple_ml_numpy.softmax_loss(logits, y), rel=1e-4)


@pytest.mark.parametrize("run", ["epoch_general_cifar10", "train_cifar10", "evaluate_cifar10"])
def test_image_loops_seed_the_generator(run):
    loader = ndl.data.DataLoader(ndl.data.NDArrayDataset(*images()), batch_size=48)
    getattr(simple_ml, run)(model=small_network(), dataloader=loader)
    np.testing.assert_array_equal(np.random.rand(2), np.random.RandomState(4).rand(2))


class Recorder(nn.Module):
    """A language model that remembers which inputs and states it got."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.seen = []

    def forward(self, x, h=None):
        self.seen.append((x.numpy(), h, self.training))
        out, h = self.model(x, h)
        self.last = h
        return out, h


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_text_loop_carries_detached_state_over_pieces(kind):
    data = ndl.data.batchify(np.arange(23) % 7, 2, dtype="float32")  # 11 rows: pieces of 4, 4 and 2 inputs
    model = Recorder(models.LanguageModel(4, 7, 5, seq_model=kind))
    opt = ndl.optim.SGD(model.parameters(), lr=0.1)
    simple_ml.epoch_general_ptb(data, model, seq_len=4, opt=opt)
    assert [x.shape[0] for x, _, _ in model.seen] == [4, 4, 2] and all(training for _, _, training in model.seen)
    np.testing.assert_array_equal(np.concatenate([x for x, _, _ in model.seen]), data[:10])
    assert model.seen[0][1] is None
    for _, state, _ in model.seen[1:]:
        for part in state if kind == "lstm" else [state]:
            assert part.is_leaf() and not part.requires_grad and np.abs(part.numpy()).max() > 0


def test_text_loop_averages_over_targets_and_clips():
    data = ndl.data.batchify(np.arange(45) % 7, 4, dtype="float32")
    np.random.seed(0)
    model = models.LanguageModel(4, 7, 5, seq_model="lstm")
    accuracy, loss = simple_ml.evaluate_ptb(model, data, seq_len=4)
    assert not model.training
    logits, _ = model(ndl.Tensor(data[:-1]))
    targets = data[1:].reshape(-1).astype(int)
    assert loss == pytest.approx(simple_ml_numpy.softmax_loss(logits.numpy(), targets), rel=1e-4)
    assert accuracy == pytest.approx(np.mean(logits.numpy().argmax(1) == targets))
    before = [param.numpy().copy() for param in model.parameters()]
    simple_ml.train_ptb(model, data, seq_len=100, lr=1.0, clip=1e-3)
    moved = sum(((a - b.numpy()) ** 2).sum() for a, b in zip(before, model.parameters(), strict=True)) ** 0.5
    assert moved == pytest.approx(1e-3, rel=0.05)


@pytest.mark.parametrize(("kind", "lr"), [("rnn", 1.0), ("lstm", 4.0), ("transformer", 0.1)])
def test_train_ptb_learns_a_cycle(kind, lr):
    data = ndl.data.batchify(np.arange(400) % 7, 4, dtype="float32")
    np.random.seed(0)
    model = models.LanguageModel(8, 7, 12, seq_model=kind, seq_len=20)
    result = simple_ml.train_ptb(model, data, seq_len=20, n_epochs=8, lr=lr, device=ndl.cpu())
    np.testing.assert_array_equal(np.random.rand(2), np.random.RandomState(4).rand(2))
    assert result[0] > 0.2 and simple_ml.evaluate_ptb(model, data, seq_len=20)[0] > 0.9
