"""Losses beside PyTorch's and at their edges: everything ignored, targets of other shapes, extreme logits."""

import numpy as np
import pytest

from needle import Tensor, nn
from needle.errors import IndexRangeError, NeedleError, ShapeError

pytestmark = pytest.mark.both_modes
draw = np.random.default_rng(0)
REDUCTIONS = ["mean", "sum", "none"]


def normal(*shape: int) -> np.ndarray:
    return draw.standard_normal(shape).astype("float32")


def soft(*shape: int) -> np.ndarray:
    e = np.exp(normal(*shape))
    return e / e.sum(1, keepdims=True)


LABELS = draw.integers(0, 5, (4, 2, 3))
PAIRS = {  # our loss, torch's name for it, its options there, prediction, target
    "mse": (nn.MSELoss, "MSELoss", {}, normal(4, 3), normal(4, 3)),
    "l1": (nn.L1Loss, "L1Loss", {}, normal(4, 3), normal(4, 3)),
    "huber": (lambda **r: nn.HuberLoss(0.7, **r), "HuberLoss", {"delta": 0.7}, normal(4, 3), normal(4, 3)),
    "bce": (nn.BCEWithLogitsLoss, "BCEWithLogitsLoss", {}, normal(4, 3) * 30, draw.integers(0, 2, (4, 3))),
    "weighted bce": (lambda **r: nn.BCEWithLogitsLoss(3.0, **r), "BCEWithLogitsLoss", {"pos_weight": 3.0},
                     normal(4, 3), draw.random((4, 3))),
    "nll": (nn.NLLLoss, "NLLLoss", {}, normal(6, 5), draw.integers(0, 5, 6)),
    "nll of images": (lambda **r: nn.NLLLoss(2, **r), "NLLLoss", {"ignore_index": 2}, normal(4, 5, 2, 3), LABELS),
    "cross entropy": (nn.CrossEntropyLoss, "CrossEntropyLoss", {}, normal(6, 5), draw.integers(0, 5, 6)),
    "cross entropy of images": (lambda **r: nn.CrossEntropyLoss(0.1, 2, **r), "CrossEntropyLoss",
                                {"label_smoothing": 0.1, "ignore_index": 2}, normal(4, 5, 2, 3), LABELS),
    "soft cross entropy": (lambda **r: nn.CrossEntropyLoss(0.2, **r), "CrossEntropyLoss", {"label_smoothing": 0.2},
                           normal(4, 5, 2), soft(4, 5, 2)),
    "kl": (nn.KLDivLoss, "KLDivLoss", {}, np.log(soft(4, 5)), soft(4, 5) * (soft(4, 5) > 0.1)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction")  # torch means to rename its divergences
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", PAIRS)
def test_losses_and_their_gradients_are_torch_s(name: str, reduction: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs, options, prediction, target = PAIRS[name]
    x = Tensor(prediction)
    loss = ours(reduction=reduction)(x, Tensor(target, requires_grad=False))
    loss.sum().backward()
    tx = torch.tensor(prediction, requires_grad=True)
    options = {key: torch.tensor(v) if key == "pos_weight" else v for key, v in options.items()}
    indices = "nll" in name or name.startswith("cross")
    meant = getattr(torch.nn, theirs)(reduction=reduction, **options)(
        tx, torch.tensor(target, dtype=torch.int64 if indices else torch.float32)
    )
    meant.sum().backward()
    np.testing.assert_allclose(loss.numpy().reshape(meant.shape), meant.detach().numpy(), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_the_divergence_is_averaged_over_rows() -> None:
    p, q = soft(4, 5), soft(4, 5)
    loss = nn.KLDivLoss()(Tensor(np.log(q)), Tensor(p))
    np.testing.assert_allclose(loss.numpy().reshape(()), (p * np.log(p / q)).sum() / 4, rtol=1e-5)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(0.1, ignore_index=-1), nn.NLLLoss(ignore_index=-1)])
def test_nothing_but_ignored_labels_is_no_loss(loss: nn.Module) -> None:
    x = Tensor(normal(3, 4))
    y = loss(x, Tensor(np.full(3, -1)))
    y.sum().backward()
    assert float(y.numpy().reshape(())) == 0 and not x.grad.numpy().any()


def test_ignored_rows_may_hold_anything() -> None:
    logits = normal(3, 4)
    logits[1] = np.nan
    x = Tensor(logits)
    loss = nn.CrossEntropyLoss(ignore_index=9)(x, Tensor(np.array([1, 9, 2])))
    loss.backward()
    alone = nn.SoftmaxLoss()(Tensor(logits[[0, 2]]), Tensor(np.array([1, 2])))
    np.testing.assert_allclose(loss.numpy(), alone.numpy(), rtol=1e-6)
    assert np.isfinite(x.grad.numpy()).all() and not x.grad.numpy()[1].any()


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
@pytest.mark.parametrize("ignored", [-100, 300])
def test_a_label_to_ignore_may_be_none_of_the_labels_dtype(dtype: str, ignored: int) -> None:
    """-100 is 156 in uint8, 300 is 44."""
    x, labels = Tensor(normal(3, 200)), Tensor(np.array([156, 44, 199]), dtype=dtype)
    for loss in (nn.NLLLoss, nn.CrossEntropyLoss):
        every = loss(reduction="none")(x, labels).numpy()
        np.testing.assert_array_equal(loss(ignore_index=ignored, reduction="none")(x, labels).numpy(), every)


@pytest.mark.parametrize("dtype", ["bool", "uint8"])
def test_the_gradient_of_cross_entropy_is_differentiated_for_narrow_labels(dtype: str) -> None:
    """Classes are counted in a dtype of their own: bool does not count, uint8 not to 300."""
    logits, labels, found = normal(2, 300), np.array([1, 0]), []
    for each in ("int64", dtype):
        x = Tensor(logits)
        nn.CrossEntropyLoss(ignore_index=-100)(x, Tensor(labels, dtype=each)).backward()
        (x.grad * x.grad).sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_array_equal(*found)


ELEMENTWISE = [nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(), nn.BCEWithLogitsLoss(), nn.KLDivLoss()]


@pytest.mark.parametrize("loss", ELEMENTWISE, ids=lambda loss: type(loss).__name__)
def test_a_target_of_another_shape_is_refused_and_not_broadcast(loss: nn.Module) -> None:
    name = type(loss).__name__
    message = rf"\[{name}\] prediction and target must have one shape, got \(4, 1\) and \(4,\)"
    with pytest.raises(ShapeError, match=message + r"; if they mean the same, target.reshape\(\(4, 1\)\)"):
        loss(Tensor(normal(4, 1)), Tensor(normal(4)))
    with pytest.raises(ShapeError, match=r"got \(4, 3\) and \(3,\)$"):
        loss(Tensor(normal(4, 3)), Tensor(normal(3)))


def test_what_classes_cannot_be_is_refused() -> None:
    x, loss = Tensor(normal(4, 5)), nn.CrossEntropyLoss()
    with pytest.raises(ShapeError, match=r"needs labels \(4,\) or probabilities \(4, 5\), got .* target \(4, 1\)"):
        loss(x, Tensor(np.zeros((4, 1))))
    with pytest.raises(ShapeError, match=r"needs logits \(N, C, ...\)"):
        loss(Tensor(normal(4)), Tensor(np.zeros(4)))
    with pytest.raises(IndexRangeError, match=r"labels must be whole numbers in 0\.\.4, got 5 at row 3"):
        loss(x, Tensor(np.array([0, 1, 2, 5])))
    with pytest.raises(NeedleError, match="ignore_index is for labels"):
        nn.CrossEntropyLoss(ignore_index=0)(x, Tensor(soft(4, 5)))
    with pytest.raises(NeedleError, match="reduction must be 'mean', 'sum' or 'none', got 'avg'"):
        nn.MSELoss(reduction="avg")
    with pytest.raises(NeedleError, match=r"smoothing must lie in \[0, 1\], got 2"):
        nn.CrossEntropyLoss(smoothing=2)


def test_extreme_logits_stay_finite() -> None:
    x = Tensor(np.array([[1e4, -1e4], [-1e4, 1e4]]))
    loss = nn.BCEWithLogitsLoss(reduction="none")(x, Tensor(np.array([[1.0, 0.0], [1.0, 0.0]])))
    np.testing.assert_allclose(loss.numpy(), [[0, 0], [1e4, 1e4]])
    loss = nn.CrossEntropyLoss(reduction="none")(x, Tensor(np.array([0, 0])))
    np.testing.assert_allclose(loss.numpy(), [0, 2e4])
