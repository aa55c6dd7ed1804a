"""How results show themselves in a notebook."""

from __future__ import annotations

import html
import io
from typing import Any


def preformatted(text: str) -> str:
    """A printed table as HTML."""
    return f"<pre>{html.escape(text)}</pre>"


def picture(figure: Any) -> str:
    """A figure as HTML that needs no other file."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    text = drawn.getvalue()
    return f"<div>{text[text.index('<svg') :]}</div>"
