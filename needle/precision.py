"""How exactly products of float32 are computed, by PyTorch's words: one choice for the process."""

from __future__ import annotations

from collections.abc import Callable

from .errors import SettingError

WORDS = ("highest", "high", "medium")  # in the order in which csrc/cuda/precision.h numbers them


class _Choice:
    """The word that was chosen, and how to tell the devices in use that heed it."""

    def __init__(self) -> None:
        self.word = WORDS[0]
        self.heeded: list[Callable[[int], None]] = []

    def choose(self, word: str) -> None:
        self.word = word
        for tell in self.heeded:
            tell(WORDS.index(word))

    def heed(self, tell: Callable[[int], None]) -> None:
        """Calls `tell` with the number of the word, now and whenever another is chosen."""
        self.heeded.append(tell)
        tell(WORDS.index(self.word))


choice = _Choice()


def set_float32_matmul_precision(precision: str) -> None:
    """How exactly cuda() computes products of float32: matmul, convolutions and recurrent layers, and their gradients.

    "highest", the default, is float32; "high" rounds the operands to TF32 (10 bits of the fraction), "medium" to
    bfloat16 (7 bits), and tensor cores multiply them; sums are float32 in all three, and every run gives the same
    bits. It holds for tensors of any shape, on all threads, from the next product on. Attention, cpu() and numpy stay
    exact, as do GPUs before compute capability 8.0. Raises SettingError for another word.
    """
    if precision not in WORDS:
        known = ", ".join(f'"{word}"' for word in WORDS)
        raise SettingError(f"[set_float32_matmul_precision] precision must be one of {known}, got {precision!r}")
    choice.choose(precision)


def get_float32_matmul_precision() -> str:
    """How exactly products of tensors, of any shape, are computed: what `set_float32_matmul_precision` chose last."""
    return choice.word
