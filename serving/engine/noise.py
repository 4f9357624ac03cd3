"""The noise that pictures are made of, as a request asks for it: by seeds, or on the way from one to another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving.engine.errors import ServingError

SEEDS = 2**63
FIELDS = {"count", "seed", "seeds", "between"}


def latents(given: Mapping[str, Any], shape: Sequence[int], most: int) -> np.ndarray:
    """Standard normal noise (n, *shape), float32, with n from 1 to `most`.

    {"count": n, "seed": s}: n draws in a row; {"seeds": [s, ...]}: the first draw of each seed, so that a picture has
    an address; {"between": [a, b], "count": n}: n steps from the noise of seed a to that of b (`slerp`), both included.
    Raises ServingError, naming the field.
    """
    unknown = sorted(set(given) - FIELDS)
    if unknown:
        raise ServingError(f"[sample] takes {', '.join(sorted(FIELDS))}, not {unknown[0][:40]!r}")
    if "seeds" in given:
        if set(given) - {"seeds"}:
            raise ServingError("[seeds] are one picture each: leave out count, seed and between")
        seeds = _seeds("seeds", given["seeds"], 1, most)
        return np.concatenate([_drawn(seed, 1, shape) for seed in seeds])
    count = given.get("count", 2 if "between" in given else 1)
    if type(count) is not int or not 1 <= count <= most:
        raise ServingError(f"[count] must be a whole number from 1 to {most}, got {count!r:.40}")
    if "between" in given:
        if "seed" in given:
            raise ServingError("[between] has two seeds: leave out seed")
        first, last = (_drawn(seed, 1, shape)[0] for seed in _seeds("between", given["between"], 2, 2))
        return np.stack([slerp(first, last, t) for t in np.linspace(0, 1, count)])
    return _drawn(_seed("seed", given.get("seed", 0)), count, shape)


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """sin((1 - t) w) / sin w a + sin(t w) / sin w b, where w is the angle between a and b (Shoemake, 1985).

    Points between two draws of high-dimensional noise stay as far from 0 as the draws are; those of a straight line do
    not. In one direction, or opposite ones, it is the straight line.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    size = np.linalg.norm(x) * np.linalg.norm(y)
    angle = np.arccos(np.clip((x * y).sum() / size, -1, 1)) if size else 0.0
    if np.sin(angle) < 1e-6:
        mixed = (1 - t) * x + t * y
    else:
        mixed = (np.sin((1 - t) * angle) * x + np.sin(t * angle) * y) / np.sin(angle)
    found: np.ndarray = mixed.astype(np.float32)
    return found


def _drawn(seed: int, count: int, shape: Sequence[int]) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def _seeds(where: str, given: Any, least: int, most: int) -> list[int]:
    if not isinstance(given, list) or not least <= len(given) <= most:
        needed = f"{least}" if least == most else f"{least} to {most}"
        raise ServingError(f"[{where}] must be a list of {needed} seeds, got {given!r:.40}")
    return [_seed(where, seed) for seed in given]


def _seed(where: str, given: Any) -> int:
    if type(given) is not int or not 0 <= given < SEEDS:
        raise ServingError(f"[{where}] must be a whole number from 0 to 2^63 - 1, got {given!r:.40}")
    return given
