"""The course's networks: ResNet9 for images of 32 x 32, and a language model."""

from __future__ import annotations

from typing import Any

import needle as ndl
from needle import nn
from needle.errors import NeedleError

SEQUENCE_MODELS = {"rnn": nn.RNN, "lstm": nn.LSTM}


def ConvBN(
    in_channels: int, out_channels: int, kernel_size: int, stride: int, device: Any = None, dtype: Any = "float32"
) -> nn.Module:
    """relu(batch_norm(conv(x)))."""
    return nn.Sequential(
        nn.Conv(in_channels, out_channels, kernel_size, stride=stride, device=device, dtype=dtype),
        nn.BatchNorm2d(out_channels, device=device, dtype=dtype),
        nn.ReLU(),
    )


class ResNet9(nn.Module):
    """Nine layers with two residual pairs: images (B, 3, 32, 32) to logits (B, 10); 431,946 parameters.

    Source: the network of https://github.com/davidcpage/cifar10-fast, as the course has it.
    """

    def __init__(self, device: Any = None, dtype: Any = "float32") -> None:
        super().__init__()
        options = {"device": device, "dtype": dtype}

        def pair(channels: int) -> nn.Module:
            layers = [ConvBN(channels, channels, 3, 1, **options) for _ in range(2)]
            return nn.Residual(nn.Sequential(*layers))

        self.model = nn.Sequential(
            ConvBN(3, 16, 7, 4, **options),
            ConvBN(16, 32, 3, 2, **options),
            pair(32),
            ConvBN(32, 64, 3, 2, **options),
            ConvBN(64, 128, 3, 2, **options),
            pair(128),
            nn.Flatten(),
            nn.Linear(128, 128, **options),
            nn.ReLU(),
            nn.Linear(128, 10, **options),
        )

    def forward(self, x: ndl.Tensor) -> ndl.Tensor:
        y: ndl.Tensor = self.model(x)
        return y


class LanguageModel(nn.Module):
    """Logits of the next word at every place: embedding, a sequence model, a linear layer.

    `output_size` is the number of words; `seq_model` one of "rnn", "lstm", "transformer" (of at most `seq_len` steps).
    """

    def __init__(
        self, embedding_size: int, output_size: int, hidden_size: int, num_layers: int = 1, seq_model: str = "rnn",
        seq_len: int = 40, device: Any = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        options = {"device": device, "dtype": dtype}
        self.embedding = nn.Embedding(output_size, embedding_size, **options)
        features = hidden_size
        if seq_model == "transformer":
            self.seq_model: nn.Module = nn.Transformer(
                embedding_size, hidden_size, num_layers, sequence_len=seq_len, **options
            )
            features = embedding_size
        elif seq_model in SEQUENCE_MODELS:
            self.seq_model = SEQUENCE_MODELS[seq_model](embedding_size, hidden_size, num_layers, **options)
        else:
            raise NeedleError(f"[LanguageModel] seq_model must be 'rnn', 'lstm' or 'transformer', got {seq_model!r}")
        self.linear = nn.Linear(features, output_size, **options)

    def forward(self, x: ndl.Tensor, h: Any = None) -> tuple[ndl.Tensor, Any]:
        """(logits (T B, output_size), new state) for word ids x (T, B) and the state h, None at the start."""
        steps, batch = x.shape
        out, h = self.seq_model(self.embedding(x), h)
        return self.linear(out.reshape((steps * batch, out.shape[2]))), h
