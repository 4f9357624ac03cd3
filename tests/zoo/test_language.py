"""The language models: what they compute, that decoding with a memory changes nothing, and their training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import data, nn
from needle.data.text import CharTokenizer
from needle.errors import DataError, NeedleError, ShapeError
from needle.nn.module_state import named_tensors
from zoo.corpora import made_up, texts, tokenizer_of
from zoo.generate import GenerationError, Sampling
from zoo.language_model import ids_tensor
from zoo.models.gpt import GPT
from zoo.models.lstm import RecurrentLM
from zoo.models.shakespeare import CHARACTERS
from zoo.recipes.language import CarryingStep, ColumnRecipe, LanguageRecipe, WindowRecipe, next_token_loss

pytestmark = pytest.mark.both_modes
TOKENIZER = CharTokenizer("\n abcdefgh")
CONTEXT = 12


def gpt(**options: Any) -> GPT:
    model = GPT(TOKENIZER, **{"context": CONTEXT, "width": 24, "layers": 2, "heads": 3, **options})
    for parameter in model.parameters():  # so that the next token is not just the most frequent one
        parameter.data = parameter.data * 4
    model.eval()
    return model


def lstm(**options: Any) -> RecurrentLM:
    model = RecurrentLM(TOKENIZER, **{"width": 16, "hidden": 16, "layers": 2, **options})
    model.eval()
    return model


@pytest.fixture(autouse=True)
def seed() -> None:
    np.random.seed(1)


def logits_after(model: Any, ids: list[int]) -> np.ndarray:
    return model(ids_tensor([ids], None)).numpy()[0, -1]


@pytest.mark.parametrize("make", [gpt, lstm])
@pytest.mark.parametrize("chunks", [(1,) * 9, (9,), (4, 1, 1, 3)])
def test_reading_on_gives_the_logits_of_reading_all(make: Any, chunks: tuple[int, ...]) -> None:
    model, ids, at = make(), np.random.randint(0, 10, 9).tolist(), 0
    reader = model.reader()
    for size in chunks:
        found = reader.read(ids[at : at + size])
        at += size
        np.testing.assert_allclose(found, logits_after(model, ids[:at]), rtol=1e-4, atol=1e-5)


def uncached(model: Any, prompt: str, count: int, limit: int | None, sampling: Sampling) -> str:
    """Text drawn from whole new computations. When `limit` is passed, the last half of the window is kept."""
    ids, text, rng = TOKENIZER.encode(prompt), "", np.random.default_rng(0)
    for _ in range(count):
        if limit is not None and len(ids) > limit:
            ids = ids[-(limit // 2) :]
        token = sampling.draw(logits_after(model, ids), rng)
        ids.append(token)
        text += TOKENIZER.decode([token])
    return text


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1.0}, {"temperature": 0.7, "top_k": 4}])
@pytest.mark.parametrize("prompt", ["\n", "abc h", "a bad egg had fed a bad cab"])
def test_cached_text_is_uncached_text_beyond_the_context_too(options: dict[str, Any], prompt: str) -> None:
    sampling = Sampling(**options)
    for model, limit in ((gpt(), CONTEXT), (gpt(tied=False), CONTEXT), (lstm(), None), (lstm(tied=True), None)):
        assert model.generate(prompt, 40, **options) == uncached(model, prompt, 40, limit, sampling)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1.0, "seed": 3}])
def test_programs_write_the_same_text(options: dict[str, Any]) -> None:
    for model in (gpt(), lstm()):
        for prompt in ("\n", "a bad egg had fed a bad cab"):
            expected = model.generate(prompt, 40, **options)
            assert model.generate(prompt, 40, engine="instant", **options) == expected
            assert model.training is False
    with pytest.raises(GenerationError, match="engine must be one of eager, instant, compiled, got 'fast'"):
        gpt().generate("a", 1, engine="fast")


@pytest.mark.thorough
def test_compiled_programs_write_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path))
    for model in (gpt(), lstm()):
        prompt, options = "a bad egg had fed a bad cab", {"temperature": 1.0, "seed": 3}
        assert model.generate(prompt, 40, engine="compiled", **options) == model.generate(prompt, 40, **options)


def test_greedy_text_is_not_constant() -> None:
    assert len(set(gpt().generate("a", 30, temperature=0))) > 1  # else the tests above would prove little


def test_gpt_starts_as_gpt_2_does() -> None:
    model = GPT(TOKENIZER, context=64, width=96, layers=3, heads=2, tied=False)
    block = model.blocks[1]
    for weight, std in (
        (model.embedding.weight, 0.02), (model.positions.weight, 0.02), (model.head.weight, 0.02),
        (block.attention.qkv.weight, 0.02), (block.up.weight, 0.02),
        (block.attention.out.weight, 0.02 / 6**0.5), (block.down.weight, 0.02 / 6**0.5),
    ):  # fmt: skip
        assert weight.numpy().std() == pytest.approx(std, rel=0.1)
    for bias in (block.attention.qkv.bias, block.attention.out.bias, block.up.bias, block.down.bias):
        assert not bias.numpy().any()
    start = next_token_loss(model(ids_tensor(np.zeros((2, 5)), None)), ids_tensor(np.ones((2, 5)), None))
    assert float(start.numpy().item()) == pytest.approx(np.log(10), abs=0.2)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("make", [gpt, lstm])
def test_every_parameter_learns(make: Any, tied: bool) -> None:
    model = make(tied=tied, dropout=0.1)
    model.train()
    names = model.state_dict()
    assert len(model.parameters()) == len(names) and any("head" in name for name in names) != tied
    next_token_loss(model(ids_tensor([[1, 2, 3]], None)), ids_tensor([[2, 3, 4]], None)).backward()
    assert all(np.abs(p.grad.numpy()).max() > 0 for p in model.parameters())


def test_gpt_is_causal() -> None:
    model, ids = gpt(), np.random.randint(0, 10, (1, 9))
    other = ids.copy()
    other[0, 5:] = 9 - other[0, 5:]
    first, second = (model(ids_tensor(each, None)).numpy()[0] for each in (ids, other))
    np.testing.assert_allclose(first[:5], second[:5], atol=1e-6)
    assert not np.allclose(first[5:], second[5:], atol=1e-3)


def test_what_models_refuse() -> None:
    with pytest.raises(ShapeError, match="takes at most 12 tokens at once, got 13"):
        gpt()(ids_tensor(np.zeros((1, 13)), None))
    with pytest.raises(NeedleError, match="tied weights need width == hidden, got 8 and 16"):
        lstm(width=8, tied=True)


def test_the_state_is_carried_within_an_epoch() -> None:
    recipe = ColumnRecipe(batch=2, rows=3)
    sets = recipe.generated()
    model = RecurrentLM(sets.config["tokenizer"], width=8, hidden=8, layers=1)
    step, ids = recipe.step(model, 10), sets.train[:20]
    assert isinstance(step, CarryingStep)
    batches = list(data.TextColumns(ids, 2, 3))
    model.eval()
    whole, _ = model.run(ids_tensor(np.array(ids[:20]).reshape(2, 10).T, None), None)
    for number, (x, y) in enumerate(batches[:2]):
        loss = step.loss(x, y)
        part = ndl.Tensor(whole.numpy()[3 * number : 3 * number + 3])
        assert float(loss.numpy().item()) == pytest.approx(float(next_token_loss(part, y).numpy().item()), rel=1e-5)
    fresh = recipe.step(model, 10)
    fresh.load_state_dict(step.state_dict())
    losses = [float(each.loss(*batches[2]).numpy().item()) for each in (step, fresh)]
    assert losses[0] == losses[1]
    step.eval()  # the end of an epoch
    assert step.carried is None


@pytest.mark.parametrize("recipe", [WindowRecipe(batch=3), ColumnRecipe(batch=3, rows=5)])
def test_the_metric_is_the_mean_over_the_text(recipe: Any) -> None:
    sets = recipe.generated()
    if isinstance(recipe, WindowRecipe):
        model: Any = GPT(sets.config["tokenizer"], context=7, width=8, layers=1, heads=2)
    else:
        model = RecurrentLM(sets.config["tokenizer"], width=8, hidden=8, layers=1)
    model.eval()
    ids, losses = sets.test[: 3 * 7 * 2 + 1], []
    if isinstance(recipe, WindowRecipe):
        for first in range(0, 42, 7):
            logits = model(ids_tensor([ids[first : first + 7]], None)).numpy()[0]
            losses += [(row, target) for row, target in zip(logits, ids[first + 1 : first + 8], strict=True)]
    else:
        columns = ids[:42].reshape(3, 14)
        for column in columns:
            logits, _ = model.run(ids_tensor(column[:-1, None], None), None)
            losses += list(zip(logits.numpy()[:, 0], column[1:], strict=True))
    expected = np.mean([np.log(np.exp(row - row.max()).sum()) + row.max() - row[target] for row, target in losses])
    found = recipe.evaluate(model, sets._replace(test=ids))
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert found["perplexity"] == pytest.approx(np.exp(expected), rel=1e-5)


def test_biases_and_norms_do_not_decay() -> None:
    model = gpt()
    (decaying, others), schedules = WindowRecipe(weight_decay=0.3).optimizers(model, steps=7)
    assert decaying.weight_decay == 0.3 and others.weight_decay == 0 and len(schedules) == 2
    names = {id(parameter): name for name, parameter in named_tensors(model)}
    assert all("bias" not in names[id(p)] and "norm" not in names[id(p)] for p in decaying.params)
    assert len(decaying.params) + len(others.params) == len(model.parameters())


def test_samples_are_written_and_leave_the_generator_alone(tmp_path: Any) -> None:
    model, before = gpt(), np.random.get_state()[1].tolist()
    WindowRecipe().sample(model, tmp_path, epoch=3)
    text = (tmp_path / "samples" / "epoch-003.txt").read_text()
    assert text == model.generate("\n", LanguageRecipe.written, temperature=0.8, seed=3) and text
    assert np.random.get_state()[1].tolist() == before


def test_texts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").write_text("0123456789" * 10)
    (tmp_path / "ptb.train.txt").write_text(" a b \n")
    (tmp_path / "ptb.test.txt").write_text(" c \n")
    monkeypatch.setenv("NEEDLE_DATA", str(tmp_path))
    assert [len(part) for part in texts("tinyshakespeare")] == [90, 10]
    assert texts("ptb", tmp_path) == (" a b \n", " c \n")
    with pytest.raises(DataError, match="there is no text 'novels'"):
        texts("novels")
    with pytest.raises(DataError, match=r"input\.txt cannot be read: No such file"):
        texts("tinyshakespeare", tmp_path)
    with pytest.raises(DataError, match="tokens are characters, words or bpe with a vocabulary, got 'bpe' with None"):
        tokenizer_of("bpe", "", None)
    assert set(made_up().test) <= set(made_up().train)
    assert len(CHARACTERS) == 65


@pytest.mark.parametrize("chunks", [(1,) * 9, (9,), (4, 1, 1, 3)])
def test_steps_through_slots_give_the_logits_of_reading_all(chunks: tuple[int, ...]) -> None:
    model, texts = gpt(), np.random.randint(0, 10, (2, 9))
    step, example, options = model.decoding(slots=3)
    types = dict(zip(options["input_names"], example, strict=True))
    state: list[Any] = [ndl.Tensor(np.zeros(types[name].shape), dtype="float32") for name in options["state"]]
    slot = ndl.Tensor([2, 0], dtype="int32")
    whole, at = model(ids_tensor(texts, None)).numpy(), 0
    for size in chunks:
        ids, position = ids_tensor(texts[:, at : at + size], None), ndl.Tensor([at, at], dtype="int32")
        logits, *state = step(ids, slot, position, *state)
        np.testing.assert_allclose(logits.numpy(), whole[:, at : at + size], rtol=1e-4, atol=1e-5)
        at += size


def test_steps_are_for_generation() -> None:
    model = gpt()
    with pytest.raises(NeedleError, match=r"\[decoding\] slots"):
        model.decoding(slots=0)
    row, cache = ndl.Tensor([0.0]), ndl.Tensor(np.zeros((1, 4, 2, 4)), dtype="float32")
    for attention, training in (
        (nn.SelfAttention(8, 2), True), (nn.SelfAttention(8, 2, causal=False), False),
        (nn.SelfAttention(8, 2, rotary=True), False),
    ):  # fmt: skip
        attention.training = training
        with pytest.raises(NeedleError, match="step is for generation"):
            attention.step(ndl.Tensor(np.zeros((1, 1, 8))), cache, cache, row, row)
