from collections.abc import Sequence
from typing import Any, ClassVar

_Call = tuple[str, str, Sequence[int], Sequence[float], Sequence[tuple[int, int, int]]]

class Program:
    kernels: ClassVar[dict[str, tuple[int, int, int]]]
    def __init__(self, dims: int, sizes: Sequence[tuple[str, int, int]], calls: Sequence[_Call]) -> None: ...
    def run(self, dims: Sequence[int], bases: Sequence[Any], threads: int) -> None: ...

def __getattr__(name: str) -> Any: ...
