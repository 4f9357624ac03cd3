"""Random numbers that are functions of (seed, epoch, sample): no generator, no order of draws.

Sample i of an epoch owns one stream of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014), whose state is a hash of seed, epoch and i. What is drawn for it therefore depends neither on the
batch it is in nor on which thread, in which order, prepares it.
"""

from __future__ import annotations

import numpy

GAMMA = 0x9E3779B97F4A7C15  # the odd number next to 2**64 / golden ratio
WORD = 0xFFFFFFFFFFFFFFFF
ORDER, AUGMENTATION = 1, 2  # what numbers are for: each purpose has streams of its own


def keyed_uniform(seed: int, epoch: int, samples: numpy.ndarray, count: int) -> numpy.ndarray:
    """`count` numbers in [0, 1) for each sample: float64 (n, count), number j of sample i's stream in row i.

    `samples` (n,) are the places of the samples in their data set; seed and epoch are taken modulo 2**64.
    """
    u: numpy.ndarray = (_bits(seed, epoch, samples, count, AUGMENTATION) >> numpy.uint64(11)) * 2.0**-53
    return u


def keyed_order(seed: int, epoch: int, count: int) -> numpy.ndarray:
    """A permutation of 0 .. count - 1, int64 (count,): the samples sorted by the first number of their streams."""
    bits = _bits(seed, epoch, numpy.arange(count), 1, ORDER)[:, 0]
    return numpy.argsort(bits, kind="stable").astype("int64", copy=False)


def _bits(seed: int, epoch: int, samples: numpy.ndarray, count: int, purpose: int) -> numpy.ndarray:
    """uint64 (n, count): number j of the stream that starts from the hash of (purpose, seed, epoch, sample)."""
    start = 0
    for word in (purpose, seed, epoch):
        start = _mixed_word((start + word * GAMMA) & WORD)
    states = _mixed(numpy.uint64(start) + numpy.asarray(samples).astype("uint64") * numpy.uint64(GAMMA))
    steps = numpy.arange(1, count + 1, dtype="uint64") * numpy.uint64(GAMMA)
    return _mixed(states[:, None] + steps)


def _mixed(z: numpy.ndarray) -> numpy.ndarray:
    """SplitMix64's output function: a bijection of 64 bits in which every bit of z reaches every bit."""
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    mixed: numpy.ndarray = z ^ (z >> numpy.uint64(31))
    return mixed


def _mixed_word(z: int) -> int:
    """The same of one number."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & WORD
    return z ^ (z >> 31)
