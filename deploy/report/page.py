"""The page: a template with style, script and facts put into it, so that it is one file that asks for nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any

TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "report"
SCRIPTS = ("words.js", "graph.js", "tables.js", "arena.js", "main.js")  # one module, in this order


def page(facts: Mapping[str, Any]) -> str:
    """The HTML file of a report."""
    words = {
        "name": escape(facts["name"]),
        "style": _text("page.css"),
        "script": "\n".join(map(_text, SCRIPTS)),
        "facts": json.dumps(_plain(facts), separators=(",", ":")).replace("<", "\\u003c"),
    }
    return Template(_text("page.html")).substitute(words)


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _plain(value: Any) -> Any:
    """Without what JSON has no words for: a float that is none becomes its name."""
    if isinstance(value, Mapping):
        return {str(key): _plain(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    if isinstance(value, float) and not -1e308 <= value <= 1e308:
        return str(value)
    return value
