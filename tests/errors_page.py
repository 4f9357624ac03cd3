"""The answers in docs/errors.md, from running what stands above each: `python -m tests.errors_page` writes them anew.

The page is a row of pairs, a block of Python and the block of text with the exception that its last line raises. Blocks
see needle as `ndl`, its packages by their names, `numpy`, and `folder`, an empty folder.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy

import deploy
import needle as ndl
import zoo

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
PAIR = re.compile(r"```python\n(?P<code>.*?)```\n```text\n(?P<answer>.*?)```", re.DOTALL)


def answer(code: str) -> str:
    """The exception that the code raises, as Python prints it but without the module, in lines of at most 116."""
    with tempfile.TemporaryDirectory() as folder:
        names: dict[str, Any] = {"ndl": ndl, "numpy": numpy, "deploy": deploy, "zoo": zoo, "folder": folder}
        names |= {name: getattr(ndl, name) for name in ("nn", "ops", "optim", "data", "init")}
        numpy.random.seed(0)
        try:
            exec(compile(code, "docs/errors.md", "exec"), names)
        except Exception as error:
            return f"{type(error).__name__}: {error}".replace(folder, "FOLDER")
    raise AssertionError(f"docs/errors.md says that this fails, but it does not:\n{code}")


def rewritten(text: str) -> str:
    """The page with every answer as it is now."""
    return PAIR.sub(lambda pair: f"```python\n{pair['code']}```\n```text\n{answer(pair['code'])}\n```", text)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
