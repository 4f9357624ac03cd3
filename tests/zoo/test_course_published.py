"""The numbers that the course publishes for its applications, on the real data sets where NEEDLE_DATA has them."""

import os
from pathlib import Path

import numpy as np
import pytest

import needle as ndl
from needle import nn
from zoo.course import mlp_resnet, models, simple_ml

pytestmark = pytest.mark.both_modes


def folder(name):
    path = Path(os.environ.get("NEEDLE_DATA", "")) / name
    if not os.environ.get("NEEDLE_DATA") or not path.is_dir():
        pytest.skip(f"NEEDLE_DATA has no {name}")
    return path


def mnist(split, batch_size):
    files = [folder("mnist") / f"{split}-{kind}.gz" for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    return ndl.data.DataLoader(ndl.data.MNISTDataset(*files), batch_size=batch_size)


def test_one_epoch_of_the_mlp_resnet():
    np.random.seed(1)
    loader, model = mnist("train", 250), mlp_resnet.MLPResNet(784, 5)
    opt = ndl.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.1)
    np.testing.assert_allclose(mlp_resnet.epoch(loader, model, opt), [0.675267, 1.84043], rtol=1e-4)


def test_evaluation_of_a_fresh_mlp_resnet():
    np.random.seed(1)
    loader, model = mnist("t10k", 150), mlp_resnet.MLPResNet(784, 10)
    np.testing.assert_allclose(mlp_resnet.epoch(loader, model), [0.9164, 4.137814], rtol=1e-5)


def test_first_step_of_resnet9():
    loader = ndl.data.DataLoader(ndl.data.CIFAR10Dataset(folder("cifar-10"), train=True), batch_size=128)
    np.random.seed(0)
    model = models.ResNet9()
    X, y = next(iter(loader))
    logits = model(X)
    assert (logits.numpy().argmax(1) == y.numpy()).mean() == 0.09375
    np.testing.assert_allclose(nn.SoftmaxLoss()(logits, y).numpy().item(), 3.5892258, rtol=1e-5)


# (seed, lines, losses); the second pair was published by a Corpus that read one line more than its max_lines, 20
LINES = [(3, 20, [5.809671, 5.391172]), (0, 21, [5.711512, 5.388685])]


@pytest.mark.parametrize(("seed", "lines", "losses"), LINES)
def test_language_model_on_the_first_lines_of_ptb(seed, lines, losses):
    np.random.seed(seed)
    corpus = ndl.data.Corpus(folder("ptb"), max_lines=lines)
    data = ndl.data.batchify(corpus.train, batch_size=16, dtype="float32")
    model = models.LanguageModel(30, len(corpus.dictionary), hidden_size=10, num_layers=2, seq_model="rnn")
    _, train_loss = simple_ml.train_ptb(model, data, seq_len=10, n_epochs=2)
    _, test_loss = simple_ml.evaluate_ptb(model, data, seq_len=10)
    np.testing.assert_allclose([train_loss, test_loss], losses, rtol=1e-5)
