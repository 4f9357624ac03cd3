"""What is measured of generated images, on numbers whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.datasets import bars
from zoo.likeness import class_entropy, frechet, judge, judged, nearest
from zoo.recipes.adversarial import AdversarialRecipe

RNG = np.random.default_rng(0)


def normal(covariance: np.ndarray, mean: float, count: int = 400) -> np.ndarray:
    """Features whose mean and covariance are exactly these."""
    x = RNG.standard_normal((count, len(covariance)))
    x = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_the_distance_of_normal_distributions() -> None:
    a, b = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    # of diagonal covariances: the squared distance of the means, and of the standard deviations
    assert frechet(normal(a, 1.0), normal(b, 3.0)) == pytest.approx(3 * 2**2 + 1 + 0 + 4)
    turned = np.linalg.qr(RNG.standard_normal((3, 3)))[0]
    x, y = normal(turned @ a @ turned.T, 0.0), normal(turned @ b @ turned.T, 0.0, 700)
    assert frechet(x, y) == pytest.approx(5) == frechet(y, x)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    other = normal(np.cov(RNG.standard_normal((9, 3)), rowvar=False), 0.5)
    product = np.linalg.eigvals(np.cov(x, rowvar=False) @ np.cov(other, rowvar=False))
    expected = 3 * 0.5**2 + np.trace(a) + np.trace(np.cov(other, rowvar=False)) - 2 * np.sqrt(product.real).sum()
    assert frechet(x, other) == pytest.approx(expected)


def test_features_that_do_not_vary() -> None:
    """More features than images, and some that are always 0, as after a relu."""
    x = RNG.standard_normal((6, 10)) * (np.arange(10) < 7)
    assert frechet(x, x) == pytest.approx(0, abs=1e-6) and frechet(x, x + 1) == pytest.approx(10, rel=1e-6)


def test_the_entropy_of_classes() -> None:
    assert class_entropy(np.arange(10).repeat(7), 10) == pytest.approx(1)
    assert str(class_entropy(np.zeros(5, "int64"), 10)) == "0.0"
    assert class_entropy(np.array([0, 0, 3, 3]), 4) == pytest.approx(0.5)


@pytest.mark.parametrize("block", [1, 7, 100])
def test_the_nearest_image(block: int) -> None:
    among = RNG.integers(0, 256, (30, 2, 4, 5), dtype="uint8")
    images = among[[4, 29, 0]].copy()
    images[1, 0, 0, 0] ^= 255
    index, distance = nearest(images, among, block)
    assert index.tolist() == [4, 29, 0]
    changed = abs(int(images[1, 0, 0, 0]) - int(among[29, 0, 0, 0])) / 255
    np.testing.assert_allclose(distance, [0, changed / np.sqrt(40), 0], atol=1e-6)
    far = RNG.integers(0, 256, (5, 2, 4, 5), dtype="uint8")
    apart = np.sqrt(((far[:, None] / 255.0 - among[None] / 255.0) ** 2).mean(axis=(2, 3, 4)))
    index, distance = nearest(far, among, block)
    np.testing.assert_allclose(distance, apart.min(axis=1), atol=1e-6)
    assert index.tolist() == apart.argmin(axis=1).tolist()


def test_the_judge_names_classes_of_its_own_features() -> None:
    model, pixels = judge("resnet8-fashion"), bars("fashion-mnist", 23, seed=2).pixels
    whole, parts = judged(model, pixels), judged(model, pixels, batch=5)
    assert whole.features.shape == (23, 64) and whole.features.dtype == np.float64
    np.testing.assert_allclose(whole.features, parts.features, rtol=1e-4, atol=1e-5)
    weight, bias = model.net.classifier.weight.numpy(), model.net.classifier.bias.numpy()
    assert whole.classes.tolist() == (whole.features @ weight + bias).argmax(axis=1).tolist()


def test_a_model_that_cannot_judge_is_refused() -> None:
    with pytest.raises(zoo.ZooError, match="airnet has no `pooled` and `classifier`"):
        judge("airnet")


class Copies:
    """A generator that knows what it was trained on."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def sample(self, count: int, seed: int) -> np.ndarray:
        return self.pixels[:count].transpose(0, 2, 3, 1)


def test_copies_have_the_spread_of_real_images_and_are_found_out() -> None:
    recipe = AdversarialRecipe()
    data = recipe.generated()
    found = recipe.evaluate(Copies(data.train.pixels), data)
    assert set(found) == set(recipe.meanings)
    assert found["nearest"] == 0 < found["nearest_real"]
    assert found["frechet"] < 3 * found["frechet_real"] and 0 <= found["class_entropy"] < 1
    worse = recipe.evaluate(Copies(255 - data.train.pixels), data)
    assert worse["frechet"] > 2 * found["frechet"] and worse["frechet_real"] == found["frechet_real"]
    assert AdversarialRecipe(judge="").evaluate(None, data) == {}
