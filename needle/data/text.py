"""Tokenisation: text as ids of characters, words or byte pairs, and back.

A tokenizer is made from text (`train`) or from its `spec`, plain JSON data that also is its file format.
"""

from __future__ import annotations

import codecs
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from .. import reprs
from ..errors import DataError, IndexRangeError
from ..weights import atomic_write

__all__ = ["BPETokenizer", "CharTokenizer", "Tokenizer", "WordTokenizer"]
KEPT, LONG = 1 << 17, 64  # how many words a byte pair tokenizer remembers, and from which length on none


class Tokenizer:
    """encode: text to ids in 0 .. len(tokenizer) - 1; decode: back. Each id stands for the same bytes everywhere."""

    kind = ""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = list(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def __repr__(self) -> str:
        return reprs.call(self, [reprs.count(reprs.length(self) or 0, "token")])

    def encode(self, text: str) -> list[int]:
        """The ids of a text. Raises DataError for text that the vocabulary cannot express."""
        raise NotImplementedError

    def at_least(self, text: str) -> int:
        """A number of ids that `encode` gives no less than, known at once: what is far too long need not be encoded."""
        return 0

    def token(self, index: int) -> bytes:
        """What an id stands for; not always whole characters. Raises IndexRangeError for an unknown id."""
        if not 0 <= index < len(self):
            raise IndexRangeError(f"[{type(self).__name__}] ids are in 0..{len(self) - 1}, got {index}")
        return self._tokens[int(index)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids; bytes that are no UTF-8 become U+FFFD. Raises IndexRangeError for an unknown id."""
        return "".join(self.pieces(ids))

    def pieces(self, ids: Iterable[int]) -> Iterator[str]:
        """The text of the ids as it becomes known, an empty piece where a character is not complete yet.

        Raises IndexRangeError for an unknown id.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for index in ids:
            yield decoder.decode(self.token(index))
        if rest := decoder.decode(b"", final=True):
            yield rest

    def spec(self) -> dict[str, Any]:
        """All that it takes to make this tokenizer again, as plain JSON data with the entry "kind"."""
        raise NotImplementedError

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """The tokenizer of a `spec()`. Raises DataError for what is not one of this class."""
        kinds: dict[Any, Any] = {each.kind: each for each in (CharTokenizer, WordTokenizer, BPETokenizer)}
        fields = dict(spec)
        known = kinds.get(fields.pop("kind", None))
        if known is None or not issubclass(known, cls):
            raise DataError(f"[{cls.__name__}] needs a spec of kind {', '.join(kinds)}, got {spec.get('kind')!r}")
        try:
            made: Self = known(**fields)
        except (TypeError, AttributeError) as error:
            raise DataError(f"[{cls.__name__}] malformed spec of kind {known.kind}: {error}") from None
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the spec to a JSON file, whole or not at all."""
        with atomic_write(path) as file:
            file.write(json.dumps(self.spec(), ensure_ascii=False).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The tokenizer that `save` wrote. Raises DataError for a file that is not such a one."""
        try:
            with open(path, encoding="utf-8") as file:
                spec = json.load(file)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"[{cls.__name__}] {path} is no tokenizer: {error}") from None
        if not isinstance(spec, dict):
            raise DataError(f"[{cls.__name__}] {path} is no tokenizer: it holds no JSON object")
        return cls.from_spec(spec)


class CharTokenizer(Tokenizer):
    """One id for each character of `vocabulary`, a string; with `unknown`, one more that stands for all others.

    `unknown` is what that id is decoded to, such as "\\ufffd", or "" for nothing. Raises DataError where a
    character is given twice.
    """

    kind = "characters"

    def __init__(self, vocabulary: str, unknown: str | None = None) -> None:
        twice = [character for character, count in Counter(vocabulary).items() if count > 1]
        if twice or not vocabulary:
            raise DataError(f"[CharTokenizer] needs characters, each once; got {vocabulary!r:.50}, twice: {twice}")
        parts = [*vocabulary] if unknown is None else [*vocabulary, unknown]
        super().__init__([_utf8("CharTokenizer", part) for part in parts])
        self.vocabulary, self.unknown = vocabulary, unknown
        self._ids = {character: index for index, character in enumerate(vocabulary)}

    @classmethod
    def train(cls, text: str, unknown: str | None = None) -> CharTokenizer:
        """The tokenizer of the characters that occur in `text`, in the order of their code points."""
        return cls("".join(sorted(set(text))), unknown)

    def encode(self, text: str) -> list[int]:
        """One id for each character. Raises DataError for an unknown one where there is no id for those."""
        if self.unknown is not None:
            return [self._ids.get(character, len(self._ids)) for character in text]
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            character = error.args[0]
            raise DataError(
                f"[CharTokenizer] character {text.index(character)} of the text is {character!r} "
                f"(U+{ord(character):04X}), none of the {len(self)} known: train on text that has it, or give "
                "unknown='?'"
            ) from None

    def at_least(self, text: str) -> int:
        """One id for each character."""
        return len(text)

    def spec(self) -> dict[str, Any]:
        """{"kind": "characters", "vocabulary": a string, "unknown": a string or None}."""
        return {"kind": self.kind, "vocabulary": self.vocabulary, "unknown": self.unknown}


class WordTokenizer(Tokenizer):
    """One id for each of `words`; ids of words that are none of them are that of "<unk>", "<eos>" is a line's end.

    Text is split at white space; decoding puts a space before each word. Raises DataError for words that are given
    twice or hold white space.
    """

    kind = "words"

    def __init__(self, words: Sequence[str]) -> None:
        words = tuple(words)
        self._ids = {word: index for index, word in enumerate(words)}
        if len(self._ids) != len(words) or any(word.split() != [word] for word in words):
            raise DataError("[WordTokenizer] needs words without white space, each once")
        super().__init__([b"\n" if word == "<eos>" else _utf8("WordTokenizer", " " + word) for word in words])
        self.words = words

    @classmethod
    def train(cls, text: str, vocabulary: int | None = None) -> WordTokenizer:
        """The tokenizer of the words of `text` by frequency, "<unk>" and "<eos>" among them; at most `vocabulary`."""
        counts = Counter(word for word in text.split() if word not in ("<unk>", "<eos>"))
        return cls(["<unk>", "<eos>", *(word for word, _ in counts.most_common())][:vocabulary])

    def encode(self, text: str) -> list[int]:
        """One id for each word and each line's end. Raises DataError for an unknown word if "<unk>" is none itself."""
        lines = text.split("\n")
        words = [word for line in lines[:-1] for word in [*line.split(), "<eos>"]] + lines[-1].split()
        try:
            return [self._ids[word] for word in words]
        except KeyError as error:
            if "<unk>" not in self._ids:
                raise DataError(f"[WordTokenizer] {error} is none of the {len(self)} known words") from None
            return [self._ids.get(word, self._ids["<unk>"]) for word in words]

    def spec(self) -> dict[str, Any]:
        """{"kind": "words", "words": a list}."""
        return {"kind": self.kind, "words": list(self.words)}


class BPETokenizer(Tokenizer):
    """Byte pair encoding as GPT-2 has it: 256 bytes, then a token for each of `merges`, pairs of earlier tokens.

    Any text can be encoded, and decoding gives it back. Bytes are written as GPT-2 writes them, a space as "Ġ".
    Raises DataError for a merge of what is no token.
    """

    kind = "bpe"

    def __init__(self, merges: Sequence[Sequence[str]] = ()) -> None:
        symbols = _byte_symbols()
        ids = {symbol: index for index, symbol in enumerate(sorted(symbols.values()))}
        self._bytes = [ids[symbols[byte]] for byte in range(256)]
        tokens = [bytes([byte]) for byte in sorted(symbols, key=symbols.__getitem__)]
        self._ranks: dict[tuple[int, int], tuple[int, int]] = {}
        for rank, pair in enumerate(merges):
            if len(pair) != 2 or any(part not in ids for part in pair):
                raise DataError(f"[BPETokenizer] a merge joins two tokens that are known, got {pair!r:.100}")
            left, right = ids[pair[0]], ids[pair[1]]
            joined = ids.setdefault(pair[0] + pair[1], len(tokens))
            tokens += [tokens[left] + tokens[right]] * (joined == len(tokens))
            self._ranks[left, right] = rank, joined
        super().__init__(tokens)
        self.merges = [(pair[0], pair[1]) for pair in merges]
        self._longest = max(map(len, tokens))  # bytes, and so characters at most
        self._known: dict[str, list[int]] = {}  # words that were encoded before

    @classmethod
    def train(cls, text: str | Iterable[str], vocabulary: int) -> BPETokenizer:
        """The tokenizer of at most `vocabulary` tokens whose merges join the most frequent pairs of `text`.

        Raises DataError for a vocabulary of less than the 256 bytes, or half of a surrogate pair.
        """
        from . import byte_pairs  # here and below: importing needle does not load it

        if vocabulary < 256:
            raise DataError(f"[BPETokenizer] the vocabulary starts with 256 bytes, got vocabulary={vocabulary}")
        counts: Counter[str] = Counter()
        for part in [text] if isinstance(text, str) else text:
            _utf8("BPETokenizer", part)
            counts.update(byte_pairs.words(part))
        ids = cls()._bytes
        spelled = {tuple(ids[byte] for byte in word.encode()): often for word, often in counts.items()}
        return cls(byte_pairs.learn(spelled, sorted(_byte_symbols().values()), vocabulary))

    def encode(self, text: str) -> list[int]:
        """The ids after all merges. Raises DataError for half of a surrogate pair."""
        from .byte_pairs import words

        _utf8("BPETokenizer", text)
        return [index for word in words(text) for index in self._known.get(word) or self._word(word)]

    def at_least(self, text: str) -> int:
        """As many as there are if each is the longest token."""
        return -(-len(text) // self._longest)

    def _word(self, word: str) -> list[int]:
        from .byte_pairs import join

        found = join([self._bytes[byte] for byte in word.encode()], self._ranks)
        if len(self._known) < KEPT and len(word) < LONG:
            self._known[word] = found
        return found

    def spec(self) -> dict[str, Any]:
        """{"kind": "bpe", "merges": a list of pairs}."""
        return {"kind": self.kind, "merges": [list(pair) for pair in self.merges]}


def _byte_symbols() -> dict[int, str]:
    """The visible character that GPT-2 writes for each byte."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def _utf8(where: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"[{where}] the text holds half of a surrogate pair at position {error.start}") from None
