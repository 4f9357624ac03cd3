"""Integer expressions over named dims, in one canonical form: equal forms are equal for every value of the dims.

    terms     ((monomial, coefficient), ...) in a fixed order; a monomial is a tuple of factors
    factor    Dim, Quotient or Extreme: sums of products of dims, floor quotients, smallest and largest values
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

from .errors import ShapeError

MOST_NESTED = 6  # smallest and largest values inside of each other: their texts double with each
MOST_CASES = 3  # smallest or largest values in a sum whose cases are looked at
MOST_TERMS, MOST_FACTORS = 256, 16  # of one product: they grow, and shapes may come from a file


@dataclass(frozen=True)
class Dim:
    """A named size, low <= size <= high; `standin` is its value while tracing."""

    name: str
    low: int = 1
    high: int | None = None
    standin: int = field(default=7, compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Quotient:
    """floor(terms / by), by > 1."""

    terms: Terms
    by: int

    def __str__(self) -> str:
        inner = text(self.terms)
        return f"{inner}//{self.by}" if inner.isidentifier() else f"({inner})//{self.by}"


@dataclass(frozen=True)
class Extreme:
    """The smallest or the largest of two expressions."""

    kind: str  # "min" or "max"
    a: Terms
    b: Terms

    def __str__(self) -> str:
        return f"{self.kind}({text(self.a)}, {text(self.b)})"


Factor = Dim | Quotient | Extreme
Monomial = tuple[Factor, ...]
Terms = tuple[tuple[Monomial, int], ...]


def added(a: Terms, b: Terms) -> Terms:
    """a + b."""
    sums = dict(a)
    for monomial, coefficient in b:
        sums[monomial] = sums.get(monomial, 0) + coefficient
    return tuple(sorted(((m, c) for m, c in sums.items() if c), key=_order))


def _order(term: tuple[Monomial, int]) -> tuple[int, str]:
    """Products of many factors first, plain numbers last."""
    return -len(term[0]), " ".join(map(str, term[0]))


def scaled(terms: Terms, by: int) -> Terms:
    """terms * by."""
    return tuple((m, c * by) for m, c in terms) if by else ()


def multiplied(a: Terms, b: Terms) -> Terms:
    """a * b."""
    if len(a) * len(b) > MOST_TERMS:
        raise ShapeError(f"[size] a product of {len(a)} and {len(b)} terms is longer than {MOST_TERMS}")
    if sum(max((len(m) for m, _ in terms), default=0) for terms in (a, b)) > MOST_FACTORS:
        raise ShapeError(f"[size] a product has more than {MOST_FACTORS} factors")
    result: Terms = ()
    for monomial, coefficient in b:
        product = tuple((tuple(sorted(m + monomial, key=str)), c * coefficient) for m, c in a)
        result = added(result, product)
    return result


def divided(a: Terms, b: Terms) -> Terms | None:
    """a / b where every term of a is a multiple of the one term of b; None elsewhere."""
    if len(b) != 1:
        return None
    (divisor, by), result = b[0], []
    for monomial, coefficient in a:
        left = list(monomial)
        for factor in divisor:
            if factor not in left:
                return None
            left.remove(factor)
        if coefficient % by:
            return None
        result.append((tuple(left), coefficient // by))
    return tuple(sorted(result, key=_order))


def quotient(terms: Terms, by: int) -> Terms:
    """floor(terms / by): whole multiples of `by` leave the quotient, so (x + 2)//2 is x//2 + 1."""
    outside = tuple((m, c // by) for m, c in terms if c // by)
    inside = tuple((m, c % by) for m, c in terms if c % by)
    if not any(m for m, _ in inside):  # a number below `by`
        return outside
    match inside:
        case (((Quotient(inner, n),), 1), *number) if not any(m for m, _ in number):
            # (x//n + c)//by is (x + n c)//(n by)
            return added(outside, quotient(added(inner, scaled(tuple(number), n)), n * by))
    return added(outside, (((Quotient(inside, by),), 1),))


def value(terms: Terms, sizes: Mapping[str, int] | None) -> int:
    """The number that an expression is where the dims have these sizes; None for their stand-ins."""
    return sum(c * prod(_factor(x, sizes) for x in m) for m, c in terms)


def _factor(factor: Factor, sizes: Mapping[str, int] | None) -> int:
    match factor:
        case Dim(name):
            return factor.standin if sizes is None else sizes[name]
        case Quotient(terms, by):
            return value(terms, sizes) // by
        case Extreme(kind, a, b):
            return (min if kind == "min" else max)(value(a, sizes), value(b, sizes))


@lru_cache(4096)
def nested(terms: Terms) -> int:
    """How deep smallest and largest values are inside of each other."""
    inner = [0]
    for factor in (factor for monomial, _ in terms for factor in monomial):
        match factor:
            case Extreme(_, a, b):
                inner.append(1 + max(nested(a), nested(b)))
            case Quotient(a, _):
                inner.append(nested(a))
    return max(inner)


Bound = int | None
Bounds = tuple[Bound, Bound]


@lru_cache(4096)
def bounds(terms: Terms) -> Bounds:
    """Numbers between which the expression lies; None where there is no bound."""
    low, high = _least(terms), _least(scaled(terms, -1))
    return low, None if high is None else -high


@lru_cache(4096)
def _least(terms: Terms) -> Bound:
    """A number that the expression is never below.

    Each factor x >= l is written as l + (x - l), so that b t - b, which is (b - 1)(t - 1) + (t - 1), is >= 0. A term
    c min(x, y) is one of c x and c y: n - min(3, n) is n - 3 or 0, the larger of the two; each such term doubles the
    cases, so of many only their own bounds are known.
    """
    extremes = [i for i, (monomial, _) in enumerate(terms) if len(monomial) == 1 and isinstance(monomial[0], Extreme)]
    if not 0 < len(extremes) <= MOST_CASES:
        return _least_product(terms)
    place = extremes[0]
    (extreme,), c = terms[place]
    assert isinstance(extreme, Extreme)
    rest = terms[:place] + terms[place + 1 :]
    cases = [_least(added(rest, scaled(each, c))) for each in (extreme.a, extreme.b)]
    known = [low for low in cases if low is not None]
    if (extreme.kind == "min") == (c < 0):
        return max(known, default=None)
    return min(known) if len(known) == 2 else None


def _least_product(terms: Terms) -> Bound:
    """`_least` of products and sums alone."""
    sums: dict[Monomial, int] = {}  # over products of differences x - l
    for monomial, coefficient in terms:
        for differences, n in _shifted(monomial).items():
            sums[differences] = sums.get(differences, 0) + coefficient * n
    least = sums.pop((), 0)
    for differences, n in sums.items():
        for factor in differences if n else ():
            low, high = _factor_bounds(factor)
            if low is None or (n < 0 and high is None):
                return None
            n = min(n, 0) * ((high or 0) - low)
        least += n
    return least


def _shifted(monomial: Monomial) -> dict[Monomial, int]:
    """The product of the factors as a sum over products of differences; a factor without a bound is one itself."""
    sums: dict[Monomial, int] = {(): 1}
    for factor in monomial:
        low = _factor_bounds(factor)[0] or 0
        more = {(*differences, factor): n for differences, n in sums.items()}
        sums = {m: low * sums.get(m, 0) + more.get(m, 0) for m in sums.keys() | more.keys()}
    return sums


def _factor_bounds(factor: Factor) -> Bounds:
    match factor:
        case Dim():
            return factor.low, factor.high
        case Quotient(terms, by):
            low, high = bounds(terms)
            return None if low is None else low // by, None if high is None else high // by
    (a, c), (b, d) = bounds(factor.a), bounds(factor.b)
    pick = min if factor.kind == "min" else max
    return None if a is None or b is None else pick(a, b), None if c is None or d is None else pick(c, d)


def text(terms: Terms) -> str:
    """`4*batch + 1`."""
    parts = []
    for monomial, coefficient in terms:
        factors = [str(x) for x in monomial]
        if abs(coefficient) != 1 or not factors:
            factors.insert(0, str(abs(coefficient)))
        if len(factors) > 1:  # 3*(h//5) is not (3*h)//5
            factors = [f"({x})" if "//" in x else x for x in factors]
        parts.append(("- " if coefficient < 0 else "+ ") + "*".join(factors))
    joined = " ".join(parts) or "0"
    return joined[2:] if joined.startswith("+ ") else joined.replace("- ", "-", 1)
