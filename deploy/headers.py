"""The kernels' source: found in the installed package or in the source tree, and pasted into generated programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from os.path import normpath
from pathlib import Path

from .errors import BuildError

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
# What only the extension of a device has: no `#if` is inside and no `#else`.
OF_EXTENSION = re.compile(r"^#if defined\(ND_DEVICE\)\n.*?^#endif\n", re.MULTILINE | re.DOTALL)


@cache
def folder() -> Path:
    """Where `nd/*.h` are. Raises BuildError naming both places if they are in neither."""
    here = Path(__file__).resolve().parent
    folders = (here.parent / "csrc" / "nd", here / "include" / "nd")
    for path in folders:
        if (path / "base.h").is_file():
            return path
    raise BuildError(f"[headers] the kernel headers are neither in {folders[0]} nor in {folders[1]}")


def inline(names: Sequence[str], seen: set[str], beside: str = "nd") -> str:
    """The text of the kernel headers `names` and of those they include, each once; `seen` holds those pasted before.

    They are in the folder `nd`, or `beside` it in another. What only the extension of a device has is left out.
    """
    text: list[str] = []
    for name in names:
        place = normpath(f"{beside}/{name}")
        if place in seen:
            continue
        seen.add(place)
        for line in OF_EXTENSION.sub("", (folder().parent / place).read_text(encoding="utf-8")).splitlines():
            found = INCLUDE.match(line)
            if found and found[1]:
                text.append(inline([found[1]], seen, place.partition("/")[0]))
            elif line.strip() != "#pragma once":
                text.append(line)
    return "\n".join(text)


def system_headers(text: str) -> list[str]:
    """The system headers that pasted text includes outside of any condition, in order."""
    depth = 0
    found: dict[str, None] = {}
    for line in text.splitlines():
        depth += line.startswith("#if") - line.startswith("#endif")
        include = INCLUDE.match(line)
        if include and include[2] and depth == 0:
            found[include[2]] = None
    return list(found)
