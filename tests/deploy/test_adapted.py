"""Adapted models become programs like others: of known ops, with one weight where an adapter is merged."""

import numpy as np

import deploy
import needle as ndl
from deploy import interpreter
from needle.nn import lora
from zoo.models.gpt import gpt_char


def test_an_adapted_model_is_frozen_with_and_without_merging() -> None:
    np.random.seed(0)
    model = gpt_char(context=8, width=16, layers=1, heads=2, dropout=0.0).eval()
    ids = ndl.Tensor(np.random.randint(0, 60, (2, 8)).astype("float32"), requires_grad=False)
    lora.add(model, rank=2, targets=["*.q", "*.up", "embedding"])
    lora.load_state_dict(model, {at: np.random.randn(*a.shape).astype("f") for at, a in lora.state_dict(model).items()})
    meant = model(ids).numpy()
    sizes = []
    for merge in (False, True):
        if merge:
            lora.merge(model)
        graph = deploy.freeze(model, ids, input_names=["ids"], output_names=["logits"])
        found = interpreter.run(graph, {"ids": ids.numpy()})["logits"]
        np.testing.assert_allclose(found, meant, rtol=1e-4, atol=1e-4)
        sizes.append(len(list(graph.order())))
    assert sizes[1] < sizes[0]
