"""What all models of Shakespeare's plays take and give, and say on their cards."""

from __future__ import annotations

from typing import Any

from ..signature import Text

CHARACTERS = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TEXT = Text("characters", len(CHARACTERS))
ABOUT: dict[str, Any] = {
    "task": "language modelling: writes on in the manner of Shakespeare's plays, character by character",
    "data": "Tiny Shakespeare (Karpathy 2015), 1.1 million characters of his plays: trained on the first nine tenths, "
    "measured on the last one",
    "output": TEXT,
    "licence": "MIT (code and weights); Shakespeare's text is in the public domain",
}
