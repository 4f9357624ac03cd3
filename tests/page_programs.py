"""Pages of the documentation that are one program each, which prints what stands below its blocks."""

import contextlib
import io
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCK = re.compile(r"```python\n(.*?)```\n(?:```text\n(.*?)```)?", re.DOTALL)


def check_page(name: str) -> None:
    """Run the blocks of a page in order; "..." in what is printed stands for any lines, and times for any."""
    names: dict[str, object] = {}
    for code, expected in BLOCK.findall((DOCS / name).read_text()):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, name, "exec"), names)
        pattern = re.escape(expected).replace(re.escape("..."), ".*")
        pattern = re.sub(r"\d+:\d\d", r"\\d+:\\d\\d", pattern)  # seconds
        if expected:
            assert re.fullmatch(pattern, printed.getvalue(), re.DOTALL), printed.getvalue()
