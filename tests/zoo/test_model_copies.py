"""What trains each model of the zoo, step and loader, is copied by deepcopy and pickle whole."""

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import zoo


@pytest.mark.parametrize("name", zoo.names())
def test_steps_and_loaders(name: str) -> None:
    entry = zoo.entry(name)
    recipe = replace(entry.recipe, **entry.tiny.recipe)
    sets = recipe.generated()
    model: Any = entry.make(**{**entry.tiny.model, **sets.config})
    step, loader = recipe.step(model, 10), recipe.loader(sets, model, 0)
    state = step.state_dict()
    copies = copy.deepcopy((step, loader)), pickle.loads(pickle.dumps((step, loader)))
    batch = next(iter(loader))
    for other, batches in copies:
        found = other.state_dict()
        assert list(found) == list(state) and all(np.array_equal(found[key], state[key]) for key in state)
        for a, b in zip(next(iter(batches)), batch, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
            assert not np.shares_memory(np.asarray(a), np.asarray(b))
