"""docs/coming-from-pytorch.md: every expression in its tables runs, and gives what PyTorch's beside it gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import nn, optim

PAGE = Path(__file__).resolve().parent.parent / "docs" / "coming-from-pytorch.md"
ROWS = [line.split("|")[1:3] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
CELLS = [[re.findall(r"`(.+?)`", cell) for cell in row] for row in ROWS]
PAIRS = [pair for row in CELLS for pair in zip(*row, strict=True)]
A = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.5]], dtype="float32")
B = np.array([[2.0, 1.0, 0.5], [-1.0, 3.0, 2.0]], dtype="float32")


def ours() -> dict[str, Any]:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    names = {"ndl": ndl, "optim": optim, "numpy": np, "model": model}
    return names | {"t": ndl.Tensor(A), "v": ndl.Tensor(B[0]), "a": B}


def theirs() -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    layers = torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    t, v = torch.tensor(A, requires_grad=True), torch.tensor(B[0], requires_grad=True)
    return {"torch": torch, "numpy": np, "model": torch.nn.Sequential(*layers), "t": t, "v": v, "a": B}


def plain(value: Any) -> Any:
    """An array of numbers, or None for what is none."""
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    return np.asarray(value) if isinstance(value, np.ndarray | int | float | list | str) else None


def test_the_page_has_its_tables() -> None:
    assert len(PAIRS) > 40 and not any("`" in cell for pair in PAIRS for cell in pair)


@pytest.mark.parametrize(("other", "own"), PAIRS, ids=[own for _, own in PAIRS])
def test_both_columns_give_the_same(other: str, own: str) -> None:
    found = plain(eval(own, ours()))
    expected = plain(eval(other, theirs()))
    if found is None or expected is None or found.dtype.kind == "U":
        assert found is expected is None or found.tolist() == expected.tolist()
    else:
        assert found.shape == expected.shape and np.allclose(found, expected, rtol=1e-5)
