"""Sizes with names: integer expressions over named dims, which trace as ordinary ints.

`batch = dim("batch", 7)` is the int 7 and knows its name, so `4 * batch` is 28 and still `4*batch`, and
`(batch + 1) // 2` is 4. The expressions are sums of products of dims, floor quotients, smallest and largest values, in
one canonical form: equal forms are equal for every value of the dims.

    terms     ((monomial, coefficient), ...) in a fixed order; a monomial is a tuple of factors
    factor    Dim, Quotient, Least or Greatest
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd, prod
from typing import Any

from .errors import ShapeError


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
Watch = Callable[[str], bool | None]

MOST_TERMS, MOST_FACTORS = 256, 16  # of one product: they grow, and shapes may come from a file
_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Inside the block, `watch` is asked, in words, what sizes cannot answer for every value of their dims.

    It may raise, answer, or leave the answer to the stand-ins by None.
    """
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def for_every_size(what: str) -> bool:
    """The watch where an answer must hold for all values of the dims: sizes are equal if their forms are.

    Raises ShapeError for any other question.
    """
    for symbol, answer in ((" == ", False), (" != ", True)):
        if symbol in what:
            return answer
    raise ShapeError(f"[size] '{what}' depends on a size that stays open: give bounds that decide it, or a number")


class Size(int):
    """An int that is an expression over named dims.

    Sums, differences, products, floor division and remainder by positive numbers stay expressions. What cannot stay
    one (a comparison that the dims' bounds do not decide, `int(size)`) is a question about the stand-in, which a watch
    is asked (`watched`).
    """

    terms: Terms

    def __new__(cls, terms: Terms) -> Size:
        size = super().__new__(cls, value(terms, None))
        size.terms = terms
        return size

    def __add__(self, other: int) -> int:
        return of(added(self.terms, terms_of(other)))

    def __sub__(self, other: int) -> int:
        return of(added(self.terms, scaled(terms_of(other), -1)))

    def __rsub__(self, other: int) -> int:
        return of(added(terms_of(other), scaled(self.terms, -1)))

    def __neg__(self) -> int:
        return of(scaled(self.terms, -1))

    def __mul__(self, other: int) -> int:
        return of(multiplied(self.terms, terms_of(other))) if isinstance(other, int) else NotImplemented

    __radd__, __rmul__ = __add__, __mul__

    def __floordiv__(self, other: int) -> int:
        exact = divided(self.terms, terms_of(other))
        if exact is not None:
            return of(exact)
        if not isinstance(other, Size) and other > 0:
            return of(quotient(self.terms, int(other)))
        self._asked(f"{self} // {other}")
        return plain(self) // plain(other)

    def __rfloordiv__(self, other: int) -> int:
        self._asked(f"{other} // {self}")
        return plain(other) // plain(self)

    def __mod__(self, other: int) -> int:
        return self - (self // other) * other

    def __divmod__(self, other: int) -> tuple[int, int]:
        return self // other, self % other

    def __repr__(self) -> str:
        return text(self.terms)

    __str__ = __repr__
    __hash__ = int.__hash__

    def __bool__(self) -> bool:
        return self != 0

    def __int__(self) -> int:
        self._asked(f"int({self})")
        return plain(self)

    def __float__(self) -> float:
        self._asked(f"float({self})")
        return float(plain(self))

    def _asked(self, what: str) -> bool | None:
        watch = _watch.get()
        return None if watch is None else watch(what)


def _comparison(symbol: str, name: str, decided: Callable[[int | None, int | None], bool | None]) -> Callable[..., Any]:
    """int's method; while sizes are watched, what the bounds of the difference decide, or a question."""
    stand_in = getattr(int, name)

    def method(self: Size, other: object) -> Any:
        if _watch.get() is not None and isinstance(other, int | float):
            answer = None
            if isinstance(other, int):
                answer = decided(*bounds(added(self.terms, scaled(terms_of(other), -1))))
            if answer is None:
                answer = self._asked(f"{self} {symbol} {other}")
            if answer is not None:
                return answer
        return stand_in(self, other)

    return method


def _question(name: str, words: str) -> Callable[..., Any]:
    """int's method, which answers for the stand-in."""
    stand_in = getattr(int, name)

    def method(self: Size, other: Any) -> Any:
        self._asked(words.format(self, other))
        return stand_in(self, other)

    return method


def _equal(low: int | None, high: int | None) -> bool | None:
    if low == high == 0:
        return True
    return False if (low is not None and low > 0) or (high is not None and high < 0) else None


def _below(limit: int, low: int | None, high: int | None) -> bool | None:
    """Whether a difference is <= limit."""
    return True if high is not None and high <= limit else False if low is not None and low > limit else None


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


for _symbol, _name, _decided in (
    ("==", "__eq__", _equal),
    ("!=", "__ne__", lambda low, high: _not(_equal(low, high))),
    ("<", "__lt__", lambda low, high: _below(-1, low, high)),
    ("<=", "__le__", lambda low, high: _below(0, low, high)),
    (">", "__gt__", lambda low, high: _not(_below(0, low, high))),
    (">=", "__ge__", lambda low, high: _not(_below(-1, low, high))),
):
    setattr(Size, _name, _comparison(_symbol, _name, _decided))

for _symbol, _name in (
    ("/", "truediv"), ("**", "pow"), (">>", "rshift"), ("<<", "lshift"), ("&", "and"), ("|", "or"), ("^", "xor"),
):  # fmt: skip
    setattr(Size, f"__{_name}__", _question(f"__{_name}__", f"{{0}} {_symbol} {{1}}"))
    setattr(Size, f"__r{_name}__", _question(f"__r{_name}__", f"{{1}} {_symbol} {{0}}"))
Size.__rmod__ = _question("__rmod__", "{1} % {0}")  # type: ignore[method-assign]


def dim(name: str, standin: int, low: int = 1, high: int | None = None) -> Size:
    """The size called `name`, whose value while tracing is `standin`."""
    return Size((((Dim(name, low, high, standin),), 1),))


def smaller(a: int, b: int) -> int:
    """min(a, b) as an expression."""
    return _extreme("min", a, b)


def larger(a: int, b: int) -> int:
    """max(a, b) as an expression."""
    return _extreme("max", a, b)


def _extreme(kind: str, a: int, b: int) -> int:
    low, high = bounds(added(terms_of(a), scaled(terms_of(b), -1)))
    if (low is not None and low >= 0) or (high is not None and high <= 0):
        return a if ((low is not None and low >= 0) == (kind == "max")) else b
    first, second = sorted((terms_of(a), terms_of(b)), key=text)
    return of((((Extreme(kind, first, second),), 1),))


def plain(size: int) -> int:
    """The stand-in, or the number itself."""
    return int.__add__(size, 0)


def terms_of(size: int) -> Terms:
    """The expression that a size or a plain number is."""
    if isinstance(size, Size):
        return size.terms
    return (((), int(size)),) if size else ()


def of(terms: Terms) -> int:
    """The size that an expression is; a plain number where it names no dim."""
    if not terms:
        return 0
    return terms[0][1] if len(terms) == 1 and not terms[0][0] else Size(terms)


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


def size_at(size: int, sizes: Mapping[str, int]) -> int:
    """The number that a size is where the dims have these sizes."""
    return value(terms_of(size), sizes)


def _factor(factor: Factor, sizes: Mapping[str, int] | None) -> int:
    match factor:
        case Dim(name):
            return factor.standin if sizes is None else sizes[name]
        case Quotient(terms, by):
            return value(terms, sizes) // by
        case Extreme(kind, a, b):
            return (min if kind == "min" else max)(value(a, sizes), value(b, sizes))


Bound = int | None
Bounds = tuple[Bound, Bound]


@lru_cache(4096)
def bounds(terms: Terms) -> Bounds:
    """Numbers between which the expression lies; None where there is no bound."""
    low, high = _least(terms), _least(scaled(terms, -1))
    return low, None if high is None else -high


def _least(terms: Terms) -> Bound:
    """A number that the expression is never below.

    Each factor x >= l is written as l + (x - l), so that b t - b, which is (b - 1)(t - 1) + (t - 1), is >= 0.
    """
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


def unit(size: int) -> tuple[int, int]:
    """(n, u) with size = n * u, where u is an expression without a common factor: 4*batch is 4 times batch."""
    terms = terms_of(size)
    if not isinstance(size, Size):
        return int(size), 1
    common = gcd(*(c for _, c in terms))
    return common, of(tuple((m, c // common) for m, c in terms))


def is_dim(size: Size) -> bool:
    """Whether the expression is one dim and nothing else."""
    ((monomial, coefficient), *rest) = size.terms
    return not rest and coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], Dim)


def dims_of(size: int) -> dict[str, Dim]:
    """The dims that a size names."""
    found: dict[str, Dim] = {}

    def walk(terms: Terms) -> None:
        for monomial, _ in terms:
            for factor in monomial:
                match factor:
                    case Dim(name):
                        found[name] = factor
                    case Quotient(inner, _):
                        walk(inner)
                    case Extreme(_, a, b):
                        walk(a)
                        walk(b)

    walk(terms_of(size))
    return found
