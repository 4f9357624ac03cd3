"""Signals, strings, and steps of optimizers."""

from __future__ import annotations

from typing import Any

import numpy

from ...ir import Node
from .. import make
from ..at import At
from ..dtypes import NAMES
from ..make import apply, axis_of, const
from ..ops import (
    DFT,
    STFT,
    RegexFullMatch,
    Step,
    StringConcat,
    StringNormalizer,
    StringSplit,
    TfIdfVectorizer,
    mel_weights,
)  # fmt: skip
from ..row import Refused, Row


def _dft(at: At, x: Node, length: Node | None = None, axis: Node | None = None) -> Node:
    place = int(at.number(axis, "axis", -2)) if at.opset >= 20 else at.get("axis", 1)
    place = axis_of(place, len(x.shape))
    inverse, onesided = bool(at.get("inverse", 0)), bool(at.get("onesided", 0))
    n = x.shape[place] if not (onesided and inverse) else 2 * (x.shape[place] - 1)
    return apply(DFT(place, int(at.number(length, "dft_length", n)), inverse, onesided), x)


def _stft(at: At, x: Node, step: Node, window: Node | None = None, length: Node | None = None) -> Node:
    n = int(at.number(length, "frame_length", window.shape[0] if window is not None else x.shape[1]))
    op = STFT(int(at.number(step, "frame_step")), n, bool(at.get("onesided", 1)))
    return apply(op, x, *([] if window is None else [window]))


def _mel(at: At, *given: Node) -> Node:
    bins, length, rate, low, high = (at.number(v, name) for v, name in zip(given, (
        "num_mel_bins", "dft_length", "sample_rate", "lower_edge_hertz", "upper_edge_hertz"), strict=True))  # fmt: skip
    make.afford("a matrix", (int(length) // 2 + 1, int(bins)), "float64")
    return const(mel_weights(int(bins), int(length), int(rate), low, high), NAMES[at.get("output_datatype", 1)])


def _window(*terms: float) -> Any:
    """A window of cosines: sum of (-1)^k terms[k] cos(2 pi k i / n)."""

    def read(at: At, size: Node) -> Node:
        n = int(at.number(size, "size"))
        make.afford("a window", (n,), "float64")
        wide = n if at.get("periodic", 1) else n - 1
        i = numpy.arange(n)
        y = sum((-1) ** k * t * numpy.cos(2 * numpy.pi * k * i / wide) for k, t in enumerate(terms))
        return const(y, NAMES[at.get("output_datatype", 1)])

    return read


def _normalizer(at: At, x: Node) -> Node:
    op = StringNormalizer(at.get("case_change_action", "NONE"), bool(at.get("is_case_sensitive", 0)),
                          tuple(at.get("stopwords") or ()), at.fresh("words"))  # fmt: skip
    return apply(op, x)


def _split(at: At, x: Node) -> tuple[Node, ...]:
    return make.items(StringSplit(at.get("delimiter", ""), at.get("maxsplit"), at.fresh("pieces")), x)


def _tfidf(at: At, x: Node) -> Node:
    pool = at.get("pool_int64s") or at.get("pool_strings") or ()
    op = TfIdfVectorizer(at.get("min_gram_length"), at.get("max_gram_length"), at.get("max_skip_count"),
                         at.get("mode"), tuple(at.get("ngram_counts")), tuple(at.get("ngram_indexes")), tuple(pool),
                         tuple(at.get("weights") or ()))  # fmt: skip
    return apply(op, x)


def _step(kind: str, names: dict[str, tuple[str, Any]]) -> Any:
    def read(at: At, rate: Node, count: Node, *tensors: Node) -> tuple[Node, ...]:
        settings = {field: at.get(*name) for field, name in names.items()}
        if kind == "Momentum":
            settings["nesterov"] = at.get("mode") == "nesterov"
        return make.items(Step(kind, **settings), rate, count, *tensors)

    return read


ROWS: dict[str, Row | Refused] = {
    "DFT": Row(_dft), "STFT": Row(_stft), "MelWeightMatrix": Row(_mel),
    "HannWindow": Row(_window(0.5, 0.5)), "HammingWindow": Row(_window(25 / 46, 21 / 46)),
    "BlackmanWindow": Row(_window(0.42, 0.5, 0.08)),
    "StringConcat": Row(lambda at, a, b: apply(StringConcat(), a, b)),
    "StringNormalizer": Row(_normalizer),
    "StringSplit": Row(_split),
    "RegexFullMatch": Row(lambda at, x: apply(RegexFullMatch(at.get("pattern")), x)),
    "TfIdfVectorizer": Row(_tfidf),
    "ai.onnx.preview.training.Adagrad": Row(_step("Adagrad", {
        "decay": ("decay_factor", 0.0), "epsilon": ("epsilon", 1e-6), "norm": ("norm_coefficient", 0.0)})),
    "ai.onnx.preview.training.Adam": Row(_step("Adam", {
        "alpha": ("alpha", 0.9), "beta": ("beta", 0.999), "epsilon": ("epsilon", 1e-6),
        "norm": ("norm_coefficient", 0.0), "norm_after": ("norm_coefficient_post", 0.0)})),
    "ai.onnx.preview.training.Momentum": Row(_step("Momentum", {
        "alpha": ("alpha", 0.0), "beta": ("beta", 0.0), "norm": ("norm_coefficient", 0.0)})),
    "ai.onnx.preview.training.Gradient": Refused("gradients are taken of a module: deploy.onnx.module"),
    "MaxRoiPool": Refused("an older form of RoiAlign, not read"),
}  # fmt: skip
