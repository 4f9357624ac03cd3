"""A residual network of linear layers, trained on MNIST."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import needle as ndl
from needle import nn
from zoo.course.simple_ml import Tally, learn, set_mode


def ResidualBlock(dim: int, hidden_dim: int, norm: Any = nn.BatchNorm1d, drop_prob: float = 0.1) -> nn.Module:
    """relu(x + norm(W_2 dropout(relu(norm(W_1 x))))), hidden_dim features inside."""
    inner = nn.Sequential(
        nn.Linear(dim, hidden_dim),
        norm(hidden_dim),
        nn.ReLU(),
        nn.Dropout(drop_prob),
        nn.Linear(hidden_dim, dim),
        norm(dim),
    )
    return nn.Sequential(nn.Residual(inner), nn.ReLU())


def MLPResNet(
    dim: int, hidden_dim: int = 100, num_blocks: int = 3, num_classes: int = 10, norm: Any = nn.BatchNorm1d,
    drop_prob: float = 0.1,
) -> nn.Module:  # fmt: skip
    """Linear, ReLU, `num_blocks` residual blocks of half the width inside, Linear to the classes."""
    return nn.Sequential(
        nn.Linear(dim, hidden_dim),
        nn.ReLU(),
        *[ResidualBlock(hidden_dim, hidden_dim // 2, norm, drop_prob) for _ in range(num_blocks)],
        nn.Linear(hidden_dim, num_classes),
    )


def epoch(dataloader: Iterable[Any], model: nn.Module, opt: Any = None) -> tuple[float, float]:
    """(share of wrong answers, mean loss) over one pass, with one step of `opt` for each batch if it is given.

    Images are flattened. Puts the model into training mode if there is an optimizer, else into eval mode. Seeds numpy's
    generator with 4 first.
    """
    np.random.seed(4)
    loss_fn = nn.SoftmaxLoss()
    set_mode(model, training=opt is not None)
    tally = Tally()
    for X, y in dataloader:
        if opt is not None:
            opt.reset_grad()
        learn(model(X.reshape((X.shape[0], -1))), y, loss_fn, opt, tally)
    accuracy, mean_loss = tally.result()
    return 1 - accuracy, mean_loss


def train_mnist(
    batch_size: int = 100, epochs: int = 10, optimizer: Any = ndl.optim.Adam, lr: float = 0.001,
    weight_decay: float = 0.001, hidden_dim: int = 100, data_dir: str | Path = "data",
) -> tuple[float, float, float, float]:  # fmt: skip
    """(train error, train loss, test error, test loss) after training an MLPResNet; `optimizer` is a class.

    `data_dir` holds the four gzipped idx files of MNIST.
    """
    np.random.seed(4)
    folder = Path(data_dir)
    train, test = (
        ndl.data.MNISTDataset(folder / f"{split}-images-idx3-ubyte.gz", folder / f"{split}-labels-idx1-ubyte.gz")
        for split in ("train", "t10k")
    )
    train_loader = ndl.data.DataLoader(train, batch_size=batch_size, shuffle=True)
    test_loader = ndl.data.DataLoader(test, batch_size=batch_size)
    model = MLPResNet(28 * 28, hidden_dim)
    opt = optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)
    train_result = (1.0, 0.0)
    for _ in range(epochs):
        train_result = epoch(train_loader, model, opt)
    return *train_result, *epoch(test_loader, model)
