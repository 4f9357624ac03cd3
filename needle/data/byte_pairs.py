"""Byte pair encoding: how text is cut into words, which pairs of tokens are joined, and how they are learned.

Tokens are whole numbers here; what they stand for is `BPETokenizer`'s to know. The results are those of GPT-2's
tokenizer and of the `tokenizers` library, which the tests compare with.
Source: Sennrich et al., "Neural machine translation of rare words with subword units", 2016.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from unicodedata import category

Pair = tuple[int, int]
SPACES = "\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # beyond ASCII's; Unicode's White_Space
WORD = re.compile(
    r"'(?:[stmd]|re|ve|ll)| ?[A-Za-z]+| ?[0-9]+| ?[^\t-\r A-Za-z0-9]+|[\t-\r ]+(?![^\t-\r ])|[\t-\r ]+"
)
SPACE = re.compile(f"[{SPACES}]")


def words(text: str) -> list[str]:
    """The pieces of a text that no token crosses: a space belongs to the letters, digits or signs that follow it.

    "It's 9 a.m." gives "It", "'s", " 9", " a", ".", "m", ".". Joined, they are the text. Source: GPT-2's pattern.
    """
    if text.isascii():
        found: list[str] = WORD.findall(text)
        return found
    # `re` knows no categories: it reads the text with one character of ASCII for all others of its kind.
    kinds = {ord(character): _kind(character) for character in set(text) if not character.isascii()}
    return [text[each.start() : each.end()] for each in WORD.finditer(text.translate(kinds))]


def _kind(character: str) -> str:
    """A letter, digit, space or sign of ASCII that `WORD` takes for this character."""
    if SPACE.match(character):
        return "\t"
    return {"L": "a", "N": "0"}.get(category(character)[0], "!")


def join(tokens: Sequence[int], merges: Mapping[Pair, tuple[int, int]]) -> list[int]:
    """One word's tokens after all merges: those of the lowest rank first, from left to right, until no pair is left.

    `merges` gives (rank, joined token) for each pair. Takes n log n steps for n tokens.
    """
    found, end = list(tokens), len(tokens)
    after, before = list(range(1, end + 1)), list(range(-1, end - 1))  # the neighbours of each token that is left
    waiting: list[tuple[int, int, Pair, int]] = []

    def propose(left: int) -> None:
        if left >= 0 and after[left] < end:
            pair = found[left], found[after[left]]
            if pair in merges:
                rank, joined = merges[pair]
                heappush(waiting, (rank, left, pair, joined))

    for place in range(end - 1):
        propose(place)
    while waiting:
        _, left, pair, joined = heappop(waiting)
        right = after[left]
        if right == end or (found[left], found[right]) != pair:
            continue  # one of them was joined with another meanwhile
        found[left], found[right] = joined, -1
        after[left] = after[right]
        if after[left] < end:
            before[after[left]] = left
        propose(before[left])
        propose(left)
    return [token for token in found if token >= 0]


def learn(counts: Mapping[tuple[int, ...], int], symbols: Sequence[str], vocabulary: int) -> list[tuple[str, str]]:
    """The merges that join the most frequent pair of tokens, again and again, until `vocabulary` tokens are known.

    `counts` says how often each word, a tuple of tokens, occurs; `symbols` are how the tokens 0, 1, ... are written. Of
    equally frequent pairs the one of the smallest tokens comes first. Two merges may give the same token.
    """
    spelled, often = [list(word) for word in counts], list(counts.values())
    known = list(symbols)
    numbers = {symbol: number for number, symbol in enumerate(known)}
    total: Counter[Pair] = Counter()
    places: dict[Pair, set[int]] = {}  # the words in which a pair is, or once was

    def count(word: int, sign: int) -> Iterable[Pair]:
        pairs = list(pairwise(spelled[word]))
        for pair in pairs:
            total[pair] += sign * often[word]
        return pairs

    for word in range(len(spelled)):
        for pair in count(word, 1):
            places.setdefault(pair, set()).add(word)
    queue = [(-number, pair) for pair, number in total.items()]
    heapify(queue)
    merges: list[tuple[str, str]] = []
    while queue and len(known) < vocabulary:
        number, pair = heappop(queue)
        if -number != total[pair]:  # it has become rarer since
            if total[pair] > 0:
                heappush(queue, (-total[pair], pair))
            continue
        merges.append((known[pair[0]], known[pair[1]]))
        symbol = "".join(merges[-1])
        joined = numbers.setdefault(symbol, len(known))
        known += [symbol] * (joined == len(known))
        grown: set[Pair] = set()
        for word in places.pop(pair):
            count(word, -1)
            spelled[word] = join(spelled[word], {pair: (0, joined)})
            for each in count(word, 1):
                if joined in each:
                    places.setdefault(each, set()).add(word)
                    grown.add(each)
        for each in grown:
            heappush(queue, (-total[each], each))
    return merges
