"""The part of airnet's epoch is of one computation in both libraries: the same losses, weights and kinds of images."""

from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import pytest

import zoo
from bench.cases import feeding
from needle import Tensor
from needle.data.transforms.functional import padded_crop
from needle.optim import muon
from zoo.datasets import bars
from zoo.recipes.base import Data

torch = pytest.importorskip("torch")

from bench import pytorch  # noqa: E402, F401  it sets the number of threads
from bench.torch_airnet import AXES, FORMAT, airnet_step, augmented, held, orthogonalized, torch_airnet  # noqa: E402

RECIPE = zoo.entry("airnet").recipe_for(tiny=True)


@pytest.mark.parametrize(("dtype", "loss", "weight"), [("float32", 5e-5, 1e-2), ("float64", 1e-12, 1e-10)])
def test_steps_on_the_same_batches_have_the_same_losses_and_make_the_same_weights(
    dtype: str, loss: float, weight: float
) -> None:
    """In float64 but for the last bits; in float32 rounding grows, for it may make another pixel a window's maximum."""
    np.random.seed(0)
    model, data = zoo.entry("airnet").make(widths=(4, 8, 8), dtype=dtype), Data(bars("cifar-10", 128, seed=0), None)
    RECIPE.prepare(model, data)
    twin = torch_airnet(list(model.state_dict().values()))
    ours, theirs = RECIPE.step(model, 8), airnet_step(twin, RECIPE, 8)
    for images, labels in islice(RECIPE.loader(data, model, seed=0), 2):
        x, y = images.astype(dtype), torch.from_numpy(labels.numpy())
        expected = ours(x, labels)["loss"]
        found = theirs(torch.from_numpy(x.numpy()).contiguous(memory_format=FORMAT), y)
        assert found == pytest.approx(expected, rel=loss)
    for (name, array), tensor in zip(model.state_dict().items(), held(twin), strict=True):
        if not name.endswith("running_var"):  # PyTorch keeps the unbiased one, which training does not use
            expected = array.transpose(AXES[array.ndim])
            np.testing.assert_allclose(tensor.numpy(), expected, atol=weight * abs(array).max(), err_msg=name)


@pytest.mark.parametrize("shape", [(6, 10), (10, 6)])
def test_an_orthogonalized_matrix_is_that_of_needle(shape: tuple[int, int]) -> None:
    g = np.random.default_rng(0).standard_normal(shape).astype("float32")
    expected = muon.orthogonalized(Tensor(g).realize_cached_data()).numpy()
    np.testing.assert_allclose(orthogonalized(torch.from_numpy(g)).numpy(), expected, atol=1e-5)


def test_a_batch_holds_moved_images_whose_side_alternates() -> None:
    """In either epoch each image is one of those that RandomCrop can make, from the one side and from the other."""
    torch.manual_seed(0)
    images, labels = np.random.default_rng(0).random((100, 3, 6, 6), dtype="float32"), np.arange(100)
    batches = augmented(images, labels, replace(RECIPE, batch=40, crop=1))
    sides, shifts = [dict[int, bool](), dict[int, bool]()], set()
    for seen in sides:
        for x, y in islice(batches, 2):  # 20 images are left out
            assert x.shape == (40, 3, 6, 6) and x.is_contiguous(memory_format=FORMAT)
            for image, label in zip(x.numpy(), y.tolist(), strict=True):
                mirror, *shift = found(image, images[label])
                seen[label] = bool(mirror)
                shifts.add(tuple(shift))
        assert len(seen) == 80
    both = sides[0].keys() & sides[1].keys()
    assert all(sides[0][label] != sides[1][label] for label in both) and len(set(sides[0].values())) == 2
    assert len(shifts) == 9


def found(image: np.ndarray, original: np.ndarray) -> tuple[int, int, int]:
    """(mirrored, top, left): how the image was made."""
    for mirror, source in enumerate((original, original[:, :, ::-1])):
        for top, left in np.ndindex(3, 3):
            if np.array_equal(image, padded_crop(source[None], np.array([top]), np.array([left]), 1, "reflect")[0]):
                return mirror, top, left
    raise AssertionError("no move of the image gives this")


def test_the_case_runs_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = zoo.entry("airnet")
    small = replace(whole, build=partial(whole.build, widths=(4, 8, 8)), recipe=RECIPE)
    monkeypatch.setattr(feeding, "entry", lambda name: small)
    monkeypatch.setattr(feeding, "cifar10", lambda: bars("cifar-10", 64, seed=0))
    sides = feeding.airnet(3)  # one and a half epochs
    for run in (sides.ours, sides.peers["PyTorch"]()):
        run()
        run()
