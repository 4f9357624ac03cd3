"""The gallery of errors: each piece of code in docs/errors.md gets the answer that stands below it."""

import re

import pytest

from needle.errors import NeedleError
from tests.errors_page import PAGE, PAIR, answer

PAIRS = [(pair["code"], pair["answer"].strip()) for pair in PAIR.finditer(PAGE.read_text())]


@pytest.mark.parametrize(("code", "expected"), PAIRS, ids=[expected.split("]")[0] for _, expected in PAIRS])
def test_the_library_answers_as_the_page_says(code: str, expected: str) -> None:
    assert answer(code) == expected, "python -m tests.errors_page writes the answers anew"


def test_every_block_has_an_answer_that_names_its_place() -> None:
    assert PAGE.read_text().count("```python") == len(PAIRS) >= 20
    for code, expected in PAIRS:
        assert re.match(r"\w+: \[[\w./ ()-]+\] ", expected), f"no place in the answer to:\n{code}{expected}"


def test_the_errors_share_a_root() -> None:
    import needle.errors

    names = {expected.split(":")[0] for _, expected in PAIRS}
    for name in names & set(vars(needle.errors)):
        assert issubclass(getattr(needle.errors, name), NeedleError)
