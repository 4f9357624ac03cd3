"""ONNX Runtime's own static quantization of a model: int8 weights by channel, uint8 values."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from bench.onnx_twin import session


class Rows(CalibrationDataReader):
    """The rows to calibrate with, 32 at a time."""

    def __init__(self, images: np.ndarray) -> None:
        self.parts: Iterator[np.ndarray] = iter(np.array_split(images, max(1, len(images) // 32)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        part = next(self.parts, None)
        return None if part is None else {"image": part}


def int8_session(model: bytes, images: np.ndarray, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """The model quantized with these images, with all optimisations."""
    with tempfile.TemporaryDirectory() as folder:
        plain, quantized = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        plain.write_bytes(model)
        quantize_static(
            plain, quantized, Rows(images), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return session(quantized.read_bytes(), threads)
