"""Softmax regression and a two-layer network in plain numpy, and softmax regression in C++."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from needle.backend_ndarray.ndarray_backend_cpu import softmax_regression_epoch as epoch_in_cpp
from needle.data.datasets.mnist_dataset import read_pair


def add(x: Any, y: Any) -> Any:
    """x + y, for numbers and arrays."""
    return x + y


def parse_mnist(image_filename: str | Path, label_filename: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """(X float32 (n, 784) in [0, 1], y uint8 (n,)) from a file of images and one of labels (gzipped idx)."""
    images, labels = read_pair(image_filename, label_filename)
    return images.reshape(len(images), -1).astype("float32") / np.float32(255), labels


def softmax_loss(Z: np.ndarray, y: np.ndarray) -> float:
    """mean over rows of log sum exp(Z) - Z[y]; Z (n, classes) logits, y (n,) labels."""
    top = Z.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(Z - top).sum(axis=1)) + top[:, 0]
    return float((log_sum - Z[np.arange(len(y)), y]).mean())


def softmax_regression_epoch(
    X: np.ndarray, y: np.ndarray, theta: np.ndarray, lr: float = 0.1, batch: int = 100
) -> None:
    """theta = theta - lr X_b^T (softmax(X_b theta) - onehot(y_b)) / b for each batch in order, in place."""
    for start in range(0, len(X), batch):
        x = X[start : start + batch]
        theta -= lr / len(x) * x.T @ _error(x @ theta, y[start : start + batch])


def nn_epoch(X: np.ndarray, y: np.ndarray, W1: np.ndarray, W2: np.ndarray, lr: float = 0.1, batch: int = 100) -> None:
    """One epoch of stochastic gradient descent on the softmax loss of relu(X W1) W2, in place, in order."""
    for start in range(0, len(X), batch):
        x = X[start : start + batch]
        hidden = np.maximum(x @ W1, 0)
        error = _error(hidden @ W2, y[start : start + batch]) / len(x)
        hidden_error = (hidden > 0) * (error @ W2.T)
        W1 -= lr * x.T @ hidden_error
        W2 -= lr * hidden.T @ error


def softmax_regression_epoch_cpp(
    X: np.ndarray, y: np.ndarray, theta: np.ndarray, lr: float = 0.1, batch: int = 100
) -> None:
    """softmax_regression_epoch, as loops in C++; X and theta float32, C-contiguous."""
    epoch_in_cpp(X, y, theta, lr, batch)


def loss_err(h: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(softmax loss, share of rows whose largest logit is not the label)."""
    return softmax_loss(h, y), np.mean(h.argmax(axis=1) != y)


def _error(Z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """softmax(Z) - onehot(y)."""
    e: np.ndarray = np.exp(Z - Z.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    e[np.arange(len(y)), y] -= 1
    return e
