"""Sizes with names: integer expressions over named dims, which trace as ordinary ints.

`batch = dim("batch", 7)` is the int 7 and knows its name, so `4 * batch` is 28 and still `4*batch`, and
`(batch + 1) // 2` is 4. The expressions themselves are in size_terms.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from math import gcd
from typing import Any

from .errors import ShapeError
from .size_terms import (
    MOST_NESTED,
    Dim,
    Extreme,
    Quotient,
    Terms,
    added,
    bounds,
    divided,
    multiplied,
    nested,
    quotient,
    scaled,
    text,
    value,
)  # fmt: skip

Watch = Callable[[str], bool | None]

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
    if max(nested(first), nested(second)) >= MOST_NESTED:
        raise ShapeError(f"[size] min and max of sizes are nested more than {MOST_NESTED} deep")
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


def size_at(size: int, sizes: Mapping[str, int]) -> int:
    """The number that a size is where the dims have these sizes."""
    return value(terms_of(size), sizes)


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
