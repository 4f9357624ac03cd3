"""What all tests of the zoo share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zoo.recipes.language import LanguageRecipe


@pytest.fixture(scope="session", autouse=True)
def little_is_written() -> Iterator[None]:
    """The samples of a language model take longer than its tiny training: a line will do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LanguageRecipe, "written", 40)
        yield
