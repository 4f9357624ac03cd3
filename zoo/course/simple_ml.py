"""Training by hand: a two-layer network on MNIST, a convolutional network on CIFAR-10, a language model on text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import needle as ndl
from needle import nn
from zoo.course.simple_ml_numpy import parse_mnist

__all__ = [
    "epoch_general_cifar10",
    "epoch_general_ptb",
    "evaluate_cifar10",
    "evaluate_ptb",
    "loss_err",
    "nn_epoch",
    "parse_mnist",
    "softmax_loss",
    "train_cifar10",
    "train_ptb",
]


def softmax_loss(Z: ndl.Tensor, y_one_hot: ndl.Tensor) -> ndl.Tensor:
    """mean over rows of log sum exp(Z) - Z[y]; Z (n, classes) logits, y_one_hot of the same shape."""
    return (ndl.logsumexp(Z, axes=(1,)) - ndl.summation(Z * y_one_hot, axes=(1,))).sum() / Z.shape[0]


def nn_epoch(
    X: np.ndarray, y: np.ndarray, W1: ndl.Tensor, W2: ndl.Tensor, lr: float = 0.1, batch: int = 100
) -> tuple[ndl.Tensor, ndl.Tensor]:
    """One epoch of stochastic gradient descent on the softmax loss of relu(X W1) W2: the new (W1, W2).

    Batches are taken in order; W1 and W2 themselves are not changed.
    """
    W1, W2 = (ndl.Tensor(W.data, requires_grad=True) for W in (W1, W2))
    for start in range(0, len(X), batch):
        x = ndl.Tensor(X[start : start + batch], requires_grad=False)
        one_hot = np.eye(W2.shape[1], dtype="float32")[y[start : start + batch]]
        loss = softmax_loss(ndl.relu(x @ W1) @ W2, ndl.Tensor(one_hot, requires_grad=False))
        loss.backward()
        for W in (W1, W2):
            W.data = ndl.Tensor(W.data - lr * W.grad.data, dtype=W.dtype)
    return W1, W2


def loss_err(h: ndl.Tensor, y: np.ndarray) -> tuple[Any, Any]:
    """(softmax loss, share of rows whose largest logit is not the label); y (n,) labels."""
    y_one_hot = np.zeros((y.shape[0], h.shape[-1]))
    y_one_hot[np.arange(y.size), y] = 1
    return softmax_loss(h, ndl.Tensor(y_one_hot)).numpy(), np.mean(h.numpy().argmax(axis=1) != y)


def epoch_general_cifar10(
    dataloader: Iterable[Any], model: nn.Module, loss_fn: Any = nn.SoftmaxLoss, opt: Any = None
) -> tuple[float, float]:
    """(accuracy, mean loss) over one pass through the data, with one step of `opt` for each batch if it is given.

    `loss_fn` is a loss module or its class. Seeds numpy's generator with 4 first.
    """
    np.random.seed(4)
    loss_fn = made(loss_fn)
    device = model.parameters()[0].device
    set_mode(model, training=opt is not None)
    tally = Tally()
    for X, y in dataloader:
        X, y = ndl.Tensor(X, device=device, requires_grad=False), ndl.Tensor(y, device=device, requires_grad=False)
        if opt is not None:
            opt.reset_grad()
        learn(model(X), y, loss_fn, opt, tally)
    return tally.result()


def train_cifar10(
    model: nn.Module, dataloader: Iterable[Any], n_epochs: int = 1, optimizer: Any = ndl.optim.Adam,
    lr: float = 0.001, weight_decay: float = 0.001, loss_fn: Any = nn.SoftmaxLoss,
) -> tuple[float, float]:  # fmt: skip
    """(accuracy, mean loss) of the last of `n_epochs` epochs of training; `optimizer` is a class."""
    np.random.seed(4)
    opt = optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)
    result = (0.0, 0.0)
    for _ in range(n_epochs):
        result = epoch_general_cifar10(dataloader, model, loss_fn=loss_fn, opt=opt)
    return result


def evaluate_cifar10(model: nn.Module, dataloader: Iterable[Any], loss_fn: Any = nn.SoftmaxLoss) -> tuple[float, float]:
    """(accuracy, mean loss) of the model in eval mode."""
    np.random.seed(4)
    return epoch_general_cifar10(dataloader, model, loss_fn=loss_fn)


def epoch_general_ptb(
    data: np.ndarray, model: nn.Module, seq_len: int = 40, loss_fn: Any = nn.SoftmaxLoss, opt: Any = None,
    clip: float | None = None, device: Any = None, dtype: Any = "float32",
) -> tuple[float, float]:  # fmt: skip
    """(accuracy, mean loss per target) over one pass through the text, with one step of `opt` per `seq_len` rows.

    `data` comes from `batchify`. The hidden state is carried from piece to piece, cut off from the graph. `clip` bounds
    the norm of the gradients. Seeds numpy's generator with 4 first.
    """
    np.random.seed(4)
    loss_fn = made(loss_fn)
    set_mode(model, training=opt is not None)
    tally, h = Tally(), None
    for i in range(0, data.shape[0] - 1, seq_len):
        X, y = ndl.data.get_batch(data, i, seq_len, device=device, dtype=dtype)
        if opt is not None:
            opt.reset_grad()
        logits, h = model(X, h)
        h = tuple(state.detach() for state in h) if isinstance(h, tuple) else h.detach()
        learn(logits, y, loss_fn, opt, tally, clip)
    return tally.result()


def train_ptb(
    model: nn.Module, data: np.ndarray, seq_len: int = 40, n_epochs: int = 1, optimizer: Any = ndl.optim.SGD,
    lr: float = 4.0, weight_decay: float = 0.0, loss_fn: Any = nn.SoftmaxLoss, clip: float | None = None,
    device: Any = None, dtype: Any = "float32",
) -> tuple[float, float]:  # fmt: skip
    """(accuracy, mean loss per target) of the last of `n_epochs` epochs; `optimizer` is a class."""
    np.random.seed(4)
    opt = optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)
    result = (0.0, 0.0)
    for _ in range(n_epochs):
        result = epoch_general_ptb(data, model, seq_len, loss_fn, opt, clip, device, dtype)
    return result


def evaluate_ptb(
    model: nn.Module, data: np.ndarray, seq_len: int = 40, loss_fn: Any = nn.SoftmaxLoss, device: Any = None,
    dtype: Any = "float32",
) -> tuple[float, float]:  # fmt: skip
    """(accuracy, mean loss per target) of the model in eval mode."""
    np.random.seed(4)
    return epoch_general_ptb(data, model, seq_len, loss_fn, device=device, dtype=dtype)


def made(loss_fn: Any) -> Any:
    """The loss module, given itself or its class."""
    return loss_fn() if isinstance(loss_fn, type) else loss_fn


def learn(logits: ndl.Tensor, y: ndl.Tensor, loss_fn: Any, opt: Any, tally: Tally, clip: float | None = None) -> None:
    """Count one batch in `tally`, and take one step of `opt` if there is one."""
    loss = loss_fn(logits, y)
    tally.add(logits, y, loss)
    if opt is not None:
        loss.backward()
        if clip is not None:
            opt.clip_grad_norm(clip)
        opt.step()


def set_mode(model: nn.Module, training: bool) -> None:
    """Put the model into training or eval mode."""
    if training:
        model.train()
    else:
        model.eval()


class Tally:
    """Counts right answers and sums losses over batches, weighted by their sizes."""

    def __init__(self) -> None:
        self.correct = 0
        self.loss = 0.0
        self.count = 0

    def add(self, logits: ndl.Tensor, y: ndl.Tensor, loss: ndl.Tensor) -> None:
        """Take in one batch: logits (n, classes), labels (n,), the mean loss."""
        n = y.shape[0]
        self.correct += int((logits.numpy().argmax(axis=1) == y.numpy()).sum())
        self.loss += float(loss.numpy().item()) * n
        self.count += n

    def result(self) -> tuple[float, float]:
        """(share of right answers, mean loss); zeros before the first batch."""
        return self.correct / max(1, self.count), self.loss / max(1, self.count)
