"""Tensors of given values or random draws, and the usual initialisations of weights."""

from .basic import constant, manual_seed, one_hot, ones, ones_like, rand, randb, randn, zeros, zeros_like
from .initializers import (
    dirac,
    kaiming_normal,
    kaiming_uniform,
    orthogonal,
    truncated_normal,
    variance_scaling,
    xavier_normal,
    xavier_uniform,
)

__all__ = [
    "constant", "dirac", "kaiming_normal", "kaiming_uniform", "manual_seed", "one_hot", "ones", "ones_like",
    "orthogonal", "rand", "randb", "randn", "truncated_normal", "variance_scaling", "xavier_normal", "xavier_uniform",
    "zeros", "zeros_like",
]  # fmt: skip
