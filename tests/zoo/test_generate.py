"""Drawing tokens and stopping, on models that are a table of logits."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

import zoo
from needle.data.text import BPETokenizer, CharTokenizer, WordTokenizer
from needle.errors import DataError
from zoo.generate import GenerationError, Sampling, until
from zoo.language_model import LanguageModel

pytestmark = pytest.mark.both_modes
LOGITS = np.log(np.array([0.5, 0.2, 0.2, 0.06, 0.04]))


class Table(LanguageModel):
    """After token i, the logits of row i. Its reader notes all it read in `seen`."""

    def __init__(self, logits: np.ndarray, tokenizer: object = None) -> None:
        super().__init__(tokenizer or CharTokenizer("abcde"), {}, None, None)
        self.logits = logits
        self.eval()

    def reader(self) -> "Rows":
        self.rows = Rows(self)
        return self.rows


class Rows:
    def __init__(self, table: Table) -> None:
        self.table, self.seen = table, []

    def read(self, ids: Sequence[int]) -> np.ndarray:
        assert not self.table.training
        self.seen += ids
        return self.table.logits[ids[-1]]


def independent() -> Table:
    return Table(np.tile(LOGITS, (5, 1)))


def frequencies(text: str) -> np.ndarray:
    return np.array([text.count(letter) for letter in "abcde"]) / len(text)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.5, 0.2, 0.2, 0.06, 0.04]),
        ({"temperature": 0.5}, [0.7458, 0.1193, 0.1193, 0.0107, 0.0048]),
        ({"temperature": 1e-3}, [1, 0, 0, 0, 0]),
        ({"temperature": 1e6}, [0.2] * 5),
        ({"top_k": 2}, [5 / 7, 2 / 7, 0, 0, 0]),
        ({"top_k": 99}, [0.5, 0.2, 0.2, 0.06, 0.04]),
        ({"top_p": 0.6}, [5 / 7, 2 / 7, 0, 0, 0]),
        ({"top_p": 0.49}, [1, 0, 0, 0, 0]),
        ({"top_p": 1e-9}, [1, 0, 0, 0, 0]),
        ({"top_p": 1.0}, [0.5, 0.2, 0.2, 0.06, 0.04]),
        ({"top_k": 3, "top_p": 0.6}, [5 / 7, 2 / 7, 0, 0, 0]),
        ({"temperature": 0.5, "top_k": 3, "top_p": 0.8}, [0.8621, 0.1379, 0, 0, 0]),
    ],
)
def test_the_sampler_draws_from_the_distribution_it_names(options: dict, expected: list[float]) -> None:
    np.testing.assert_allclose(Sampling(**options).probabilities(LOGITS.astype("float32")), expected, atol=1e-4)
    drawn = frequencies(independent().generate("a", 4_000, seed=5, **options))
    deviation = np.sqrt(np.array(expected) * (1 - np.array(expected)) / 4_000)
    assert (np.abs(drawn - expected) <= 4 * deviation + 1e-4).all()
    assert (drawn[np.array(expected) == 0] == 0).all()


def test_probabilities_survive_extreme_logits() -> None:
    logits = np.array([1e30, -np.inf, 1e30, -1e30], dtype="float32")
    np.testing.assert_array_equal(Sampling().probabilities(logits), [0.5, 0, 0.5, 0])
    np.testing.assert_array_equal(Sampling(0).probabilities(logits), [1, 0, 0, 0])


def test_rows_drawn_together_are_those_drawn_alone() -> None:
    logits = np.random.default_rng(0).standard_normal((7, 65)).astype("float32")
    for options in ({"temperature": 0}, {"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.8}, {"top_k": 9, "top_p": 0.5}):
        sampling = Sampling(**options)
        together = sampling.draw_each(logits, [np.random.default_rng(i) for i in range(7)])
        assert together == [sampling.draw(row, np.random.default_rng(i)) for i, row in enumerate(logits)]
        assert np.array_equal(sampling.probabilities(logits)[3], sampling.probabilities(logits[3]))


def test_a_token_depends_on_those_before_it() -> None:
    circle = Table(np.where(np.roll(np.eye(5), 1, axis=1) > 0, 0.0, -1e9))
    assert circle.generate("ca", 7) == "bcdeabc"
    assert circle.rows.seen == [2, 0, 1, 2, 3, 4, 0, 1]  # every token once


def test_greedy_is_temperature_zero_is_top_k_one() -> None:
    model = Table(np.random.default_rng(1).standard_normal((5, 5)))
    texts = [model.generate("b", 30, **options) for options in ({"temperature": 0}, {"top_k": 1}, {"top_p": 1e-6})]
    assert texts[0] == texts[1] == texts[2]
    step = {i: row.argmax() for i, row in enumerate(model.logits)}
    expected, at = "", 1
    for _ in range(30):
        at = step[at]
        expected += "abcde"[at]
    assert texts[0] == expected


def test_the_seed_decides_and_the_global_generator_is_left_alone() -> None:
    model = independent()
    before = np.random.get_state()[1].tolist()
    first, again, other = (model.generate("a", 50, seed=seed) for seed in (3, 3, 4))
    assert first == again != other and np.random.get_state()[1].tolist() == before
    assert model.generate("a", 20, seed=3) == first[:20]
    assert "".join(model.stream("a", 50, seed=3)) == first and model.generate("a", 0) == ""


def test_streaming_gives_each_piece_at_once() -> None:
    model = independent()
    stream = model.stream("a", 1_000_000_000)
    assert isinstance(stream, Iterator) and len(next(stream)) == 1
    assert len(model.rows.seen) == 1
    assert next(stream) and len(model.rows.seen) == 2


@pytest.mark.parametrize(
    ("pieces", "stop", "expected"),
    [
        (["ab", "cd"], [], ["ab", "cd"]),
        (["ab", "cd", "ef"], ["de"], ["ab", "c"]),
        (["ab", "cd", "xf"], ["de"], ["ab", "c", "dxf"]),
        (["abc"], ["b"], ["a"]),
        (["a", "b", "c"], ["abc"], []),
        (["a", "b", "d"], ["abc"], ["abd"]),
        (["xa", "a", "b"], ["aab", "x!"], ["x"]),
        (["hello world"], ["world", "lo"], ["hel"]),
    ],
)
def test_text_ends_before_the_first_stop(pieces: list[str], stop: list[str], expected: list[str]) -> None:
    assert list(until(pieces, stop)) == expected


def test_stopping() -> None:
    circle = Table(np.where(np.roll(np.eye(5), 1, axis=1) > 0, 0.0, -1e9))
    assert circle.generate("a", 9, stop="de") == "bc"
    assert circle.generate("a", 9, stop=["ea", "c"]) == "b"
    assert circle.generate("a", 4, stop="zz") == "bcde"


def test_tokens_that_are_no_character_on_their_own() -> None:
    tokenizer = BPETokenizer()
    bytes_of = tokenizer.encode("🙂")
    logits = np.full((256, 256), -1e9)
    for one, following in zip(bytes_of, bytes_of[1:] + bytes_of[:1], strict=True):
        logits[one, following] = 0
    model = Table(logits, tokenizer)
    assert list(model.stream("🙂", 8)) == ["🙂", "🙂"]
    assert model.generate("🙂", 6) == "🙂\ufffd"


def test_words() -> None:
    model = Table(np.where(np.roll(np.eye(3), 1, axis=1) > 0, 0.0, -1e9), WordTokenizer(["a", "cat", "<eos>"]))
    assert model.generate("cat", 5) == "\n a cat\n a"


def test_prediction() -> None:
    found = independent().predict("a", top=3)
    assert [token for token, _ in found] == ["a", "b", "c"]
    assert [p for _, p in found] == pytest.approx([0.5, 0.2, 0.2])
    assert len(independent().predict("a")) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be 0 or a positive number, got -1.0"),
        ({"temperature": float("nan")}, "temperature must be 0 or a positive number, got nan"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_k": 0}, "top_k must be at least 1, or None for all tokens, got 0"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\], or None, got 0.0"),
        ({"top_p": 1.1}, "top_p"),
        ({"max_tokens": -1}, "max_tokens=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"stop": ["x", ""]}, "no empty stop"),
        ({"prompt": ""}, "needs a prompt of at least one token"),
    ],
)
def test_impossible_arguments(options: dict, message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        independent().stream(**{"prompt": "a", **options})
    if "prompt" in options:
        with pytest.raises(GenerationError, match="at least one token"):
            independent().predict("")


def test_prompts_outside_the_vocabulary() -> None:
    says = "character 1 of the text is 'z', which Table has never read; it knows 5 characters: 'abcde'"
    with pytest.raises(DataError, match=says):
        independent().generate("az")


def test_generation_puts_the_mode_back() -> None:
    model = independent()
    model.train()
    model.generate("a", 3)
    assert model.training
    model.eval()
    model.generate("a", 3)
    assert not model.training


def test_language_models_are_in_the_zoo() -> None:
    assert {"gpt-char", "gpt-novels", "lstm-char", "lstm-ptb"} <= set(zoo.names())
