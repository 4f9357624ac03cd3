"""Random numbers that are functions of (seed, epoch, sample): no generator, no order of draws.

Sample i of an epoch owns one stream of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014), whose state is a hash of seed, epoch and i. What is drawn for it therefore depends neither on the
batch it is in nor on which thread, in which order, prepares it.
"""

from __future__ import annotations

import numpy

from .backend_ndarray import ndarray_backend_cpu

WORD = 0xFFFFFFFFFFFFFFFF
ORDER, AUGMENTATION, SIDE = 1, 2, 3  # what numbers are for: each purpose has streams of its own


def key_of(seed: int, epoch: int, purpose: int = AUGMENTATION) -> int:
    """The hash that the streams of an epoch start from; seed and epoch are taken modulo 2**64."""
    key = 0
    for word in (purpose, seed, epoch):
        key = ndarray_backend_cpu.keyed_by(key, word & WORD)
    return key


def uniform(key: int, samples: numpy.ndarray, count: int) -> numpy.ndarray:
    """`count` numbers in [0, 1) for each sample: float64 (n, count), number j of sample i's stream in row i.

    `samples` (n,) are the indices of the samples in their data set.
    """
    u = numpy.empty((len(samples), count))
    ndarray_backend_cpu.keyed_uniform(key, numpy.ascontiguousarray(samples, dtype="int64"), u)
    return u


def keyed_order(seed: int, epoch: int, count: int) -> numpy.ndarray:
    """A permutation of 0 .. count - 1, int64 (count,): the samples sorted by the first number of their streams."""
    u = uniform(key_of(seed, epoch, ORDER), numpy.arange(count), 1)[:, 0]
    return numpy.argsort(u, kind="stable").astype("int64", copy=False)
