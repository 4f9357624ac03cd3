"""Dtypes as numpy has them: its own, and those of ml_dtypes."""

from __future__ import annotations

from typing import Any

import numpy


def numpy_dtype(name: str) -> Any:
    """The numpy dtype of a name; ml_dtypes is loaded for those that numpy lacks."""
    try:
        return numpy.dtype(name)
    except TypeError:
        import ml_dtypes

        return numpy.dtype(getattr(ml_dtypes, name))
