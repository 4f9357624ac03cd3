"""Tokenizers and data sets of text, on text made here."""

import json
import time

import numpy as np
import pytest

from needle import data
from needle.data import byte_pairs
from needle.data.text import LONG, BPETokenizer, CharTokenizer, Tokenizer, WordTokenizer, _byte_symbols
from needle.errors import DataError, IndexRangeError

pytestmark = pytest.mark.both_modes
TEXT = "the cat sat on the mat\nthe dog sat on the log\n" * 20
STRANGE = "naïve café, 深度学习 🙂🙂 e\u0301 \x00\t\r\n  \u2028 ½ 👩‍👩‍👧 " + TEXT[:30]


def bpe(vocabulary: int = 300) -> BPETokenizer:
    return BPETokenizer.train(TEXT, vocabulary)


def test_characters() -> None:
    tokenizer = CharTokenizer.train("hello world")
    assert tokenizer.vocabulary == " dehlorw" and len(tokenizer) == 8
    assert tokenizer.encode("hole") == [3, 5, 4, 2]
    assert tokenizer.decode(tokenizer.encode("hello world")) == "hello world"
    with pytest.raises(DataError, match=r"character 2 of the text is 'é' \(U\+00E9\), none of the 8 known"):
        tokenizer.encode("heé")
    with pytest.raises(DataError, match=r"each once; got 'aba', twice: \['a'\]"):
        CharTokenizer("aba")


def test_unknown_characters_share_an_id() -> None:
    tokenizer = CharTokenizer.train("abc", unknown="\ufffd")
    assert len(tokenizer) == 4 and tokenizer.encode("axcé") == [0, 3, 2, 3]
    assert tokenizer.decode([0, 3]) == "a\ufffd"
    silent = CharTokenizer("abc", unknown="")
    assert len(silent) == 4 and silent.encode("axc") == [0, 3, 2] and silent.decode([0, 3, 2]) == "ac"
    assert Tokenizer.from_spec(silent.spec()).encode("x") == [3]


def test_words() -> None:
    tokenizer = WordTokenizer.train("a b a <unk>\nb a c\n")
    assert tokenizer.words == ("<unk>", "<eos>", "a", "b", "c")
    ids = tokenizer.encode("a b\n z c")
    assert ids == [2, 3, 1, 0, 4]
    assert tokenizer.decode(ids) == " a b\n <unk> c"
    assert tokenizer.encode(tokenizer.decode(ids)) == ids
    assert WordTokenizer.train("a b a", 3).words == ("<unk>", "<eos>", "a")
    with pytest.raises(DataError, match="'z' is none of the 1 known words"):
        WordTokenizer(["a"]).encode("z")
    with pytest.raises(DataError, match="without white space, each once"):
        WordTokenizer(["a b"])


def test_byte_pairs_give_back_any_text() -> None:
    tokenizer = bpe()
    for text in (TEXT, STRANGE, "", " ", "\n", "🙂"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(TEXT)) < len(TEXT) / 2 and len(tokenizer) <= 300
    assert tokenizer.encode(STRANGE)[-1] < len(tokenizer)


NUMBERS = "It's 9 a.m., we'll pay ½ of 1,234² — IV or Ⅳ? ''twas\u3000far\x1c too \xa0 much; the'd've  \n\n x_y_z aaa"


@pytest.mark.parametrize("text", [TEXT, STRANGE, NUMBERS, "a" * 50 + " " + "ab" * 30, "\x85\x1f\x0b \t\t.", "'S 'S 's"])
def test_byte_pairs_are_those_of_the_library(text: str) -> None:
    """Learned merges, their ids, and the ids of other text, whatever its categories."""
    tokenizers = pytest.importorskip("tokenizers")
    library = tokenizers.ByteLevelBPETokenizer()
    library.train_from_iterator([text], vocab_size=330, min_frequency=0, show_progress=False)
    ours = BPETokenizer.train(text, 330)
    assert dict(library.get_vocab()) == {token: index for index, token in enumerate(symbols_of(ours))}
    for other in (text, TEXT, STRANGE, NUMBERS):
        found = library.encode(other)
        assert ours.encode(other) == found.ids and ours.decode(found.ids) == other


def symbols_of(tokenizer: BPETokenizer) -> list[str]:
    """What each id is written as."""
    return list(dict.fromkeys([*sorted(_byte_symbols().values()), *("".join(pair) for pair in tokenizer.merges)]))


def test_words_are_where_no_token_crosses() -> None:
    assert byte_pairs.words("It's 9 a.m.") == ["It", "'s", " 9", " a", ".", "m", "."]
    assert byte_pairs.words("a  b\n\n c½d²,\x1c") == ["a", " ", " b", "\n\n", " c", "½", "d", "²", ",\x1c"]
    for text in (STRANGE, NUMBERS, ""):
        assert "".join(byte_pairs.words(text)) == text


KINDS = [  # of characters: letters, numbers, signs and spaces, in and beyond ASCII and the basic plane
    "abcXYZ", "éßñΩжقहあ語", "\U0001d49c\U00010330\U00020000", "0123456789", "²½Ⅳ٣\U0001d7ce", " " * 8, "\t\n\r\v\f",
    "\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000", ".,'-_!", "«…€—\u0301\u200b\u200d\ufe0f", "🙂👩👍",
    "\x00\x1c\x1f\x7f", ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S"],
]  # fmt: skip
GPT2 = r"'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})"


def mixed(seed: int, length: int = 60) -> str:
    """Text of every kind of characters."""
    draw = np.random.default_rng(seed)
    return "".join(str(draw.choice(list(KINDS[draw.integers(len(KINDS))]))) for _ in range(length))


@pytest.mark.parametrize("seed", range(50))
def test_words_are_those_of_the_pattern_by_categories(seed: int) -> None:
    regex = pytest.importorskip("regex")
    for text in (mixed(seed), mixed(seed, 5)):
        assert byte_pairs.words(text) == regex.findall(GPT2 + r"|\p{White_Space}+", text)


@pytest.mark.parametrize("seed", range(50))
def test_no_text_has_fewer_ids_than_is_known_at_once(seed: int) -> None:
    texts = [mixed(seed), mixed(seed, 3), "the cat sat " * seed, "🙂" * seed, "\U0001d49c é" * seed]
    learned = BPETokenizer.train("".join(texts) + TEXT, 290 + seed)
    for tokenizer in (learned, bpe(), bpe(256), CharTokenizer("the cas", unknown="?"), WordTokenizer.train(TEXT)):
        for text in texts:
            assert 0 <= tokenizer.at_least(text) <= len(tokenizer.encode(text))
    assert "".join(byte_pairs.words(texts[0])) == texts[0] and learned.at_least("x" * 10_000) > 0


def test_words_take_time_in_proportion_to_the_text() -> None:
    """However many characters beyond ASCII there are."""
    started = time.process_time()
    text = "".join(map(chr, range(0x3400, 0x9FFF))) * 10
    assert len(byte_pairs.words(text + " é" * 100_000)) > 100_000 and time.process_time() - started < 10


def test_the_most_frequent_pair_is_joined_first_and_of_equal_ones_the_smallest() -> None:
    assert BPETokenizer.train("hug pug hugs bun pun", 260).merges == [("u", "g"), ("h", "ug"), ("u", "n"), ("Ġ", "p")]
    assert BPETokenizer.train("aaaa", 999).merges == [("a", "a"), ("aa", "aa")]
    assert BPETokenizer.train(iter(["ab", "ab"]), 257).merges == [("a", "b")]
    assert BPETokenizer.train([], 999).merges == []


def test_two_merges_may_give_the_same_token() -> None:
    tokenizer = BPETokenizer([("b", "c"), ("a", "b"), ("a", "bc"), ("ab", "c")])
    assert len(tokenizer) == 256 + 3
    assert tokenizer.encode("abc") == [258] and tokenizer.encode("ab") == [257] and tokenizer.decode([258]) == "abc"


def test_long_words_take_no_square_of_their_length() -> None:
    tokenizer, length = bpe(), 100_000
    started = time.process_time()
    ids = tokenizer.encode("the" * (length // 3) + " " * length + "_" * length)
    assert len(ids) > length and time.process_time() - started < 20
    assert not tokenizer._known, "long words are remembered"
    tokenizer.encode("a short one")
    assert max(map(len, tokenizer._known)) < LONG


def test_pieces_hold_back_half_characters() -> None:
    tokenizer = bpe(256)
    pieces = list(tokenizer.pieces(tokenizer.encode("a🙂b")))
    assert pieces == ["a", "", "", "", "🙂", "b"]
    assert list(tokenizer.pieces(tokenizer.encode("🙂")[:3])) == ["", "", "", "\ufffd"]


@pytest.mark.parametrize("kind", ["characters", "unknown", "words", "bpe"])
def test_specs_and_files_make_the_same_tokenizer(kind: str, tmp_path) -> None:
    made = {
        "characters": lambda: CharTokenizer.train(TEXT),
        "unknown": lambda: CharTokenizer.train(TEXT, "?!"),
        "words": lambda: WordTokenizer.train(TEXT),
        "bpe": bpe,
    }[kind]()
    made.save(tmp_path / "tokenizer.json")
    for again in (
        Tokenizer.from_spec(json.loads(json.dumps(made.spec()))),
        Tokenizer.load(tmp_path / "tokenizer.json"),
        type(made).load(tmp_path / "tokenizer.json"),
    ):
        assert type(again) is type(made) and again.spec() == made.spec()
        assert again.encode(TEXT) == made.encode(TEXT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no JSON object"),
        ("{", "is no tokenizer"),
        ('{"kind": "pickle"}', "needs a spec of kind characters, words, bpe, got 'pickle'"),
        ('{"kind": "characters", "letters": "ab"}', "malformed spec of kind characters"),
        ('{"kind": "characters", "vocabulary": 3}', "malformed spec of kind characters"),
        ('{"kind": "words", "words": [1]}', "malformed spec of kind words"),
    ],
)
def test_files_that_are_no_tokenizer(content: str, message: str, tmp_path) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(DataError, match=message):
        Tokenizer.load(tmp_path / "t.json")


def test_what_byte_pairs_refuse() -> None:
    with pytest.raises(DataError, match="starts with 256 bytes, got vocabulary=100"):
        BPETokenizer.train(TEXT, 100)
    with pytest.raises(DataError, match="a merge joins two tokens that are known, got"):
        BPETokenizer([("th", "e")])
    with pytest.raises(DataError, match="half of a surrogate pair at position 1"):
        bpe().encode("a\ud83d")
    with pytest.raises(DataError, match="half of a surrogate pair at position 0"):
        BPETokenizer.train("\ud83d", 300)
    with pytest.raises(IndexRangeError, match=r"ids are in 0\.\.255, got 256"):
        bpe(256).decode([256])


def test_windows_and_what_follows_them() -> None:
    windows = data.TextDataset(np.arange(10), context=3)
    assert len(windows) == 3
    x, y = windows[1]
    assert x.tolist() == [3, 4, 5] and y.tolist() == [4, 5, 6]
    x, y = windows[np.array([2, 0])]
    assert x.tolist() == [[6, 7, 8], [0, 1, 2]] and y[0].tolist() == [7, 8, 9]
    assert windows[:2][0].shape == (2, 3)
    every = data.TextDataset(np.arange(10), context=3, stride=1)
    assert len(every) == 7 and every[-1][1].tolist() == [7, 8, 9]
    for wrong in ({"ids": np.arange(3), "context": 3}, {"ids": np.arange(9), "context": 0}):
        with pytest.raises(DataError, match=r"\[TextDataset\] needs ids \(n,\) with n > context"):
            data.TextDataset(**wrong)


def test_windows_are_shuffled_by_the_loader() -> None:
    loader = data.DataLoader(data.TextDataset(np.arange(100), 4), 5, shuffle=True, seed=3)
    seen = np.concatenate([x.numpy() for x, _ in loader])
    assert seen.shape == (24, 4) and sorted(seen[:, 0]) == list(range(0, 96, 4)) and seen[0, 0] + 1 == seen[0, 1]


def test_columns_of_contiguous_text() -> None:
    columns = data.TextColumns(np.arange(23), batch=2, steps=4)
    batches = [(x.numpy(), y.numpy()) for x, y in columns]
    assert len(columns) == len(batches) == 3
    assert batches[0][0][:, 1].tolist() == [11, 12, 13, 14]
    assert batches[0][1].reshape(4, 2)[:, 0].tolist() == [1, 2, 3, 4]
    assert batches[-1][0].shape == (2, 2) and batches[-1][1].tolist() == [9, 20, 10, 21]
    with pytest.raises(DataError, match="at least two ids for each column"):
        data.TextColumns(np.arange(3), batch=2, steps=4)
