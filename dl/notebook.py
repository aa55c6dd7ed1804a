"""How results show themselves in a notebook."""

from __future__ import annotations

import html
import io
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def has_cells() -> bool:
    """Whether this process runs the cells of a notebook, which show HTML."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return hasattr(running, "kernel")


def preformatted(text: str) -> str:
    """A printed table as HTML."""
    return f"<pre>{html.escape(text)}</pre>"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as HTML; numbers are on the right."""
    lines = [f"<tr>{''.join(f'<th>{html.escape(name)}</th>' for name in head)}</tr>"] if any(head) else []
    for row in rows:
        cells = "".join(
            f'<td style="text-align:{"right" if isinstance(cell, int | float) else "left"}">'
            f"{html.escape(f'{cell:,}' if isinstance(cell, int) else str(cell))}</td>"
            for cell in row
        )
        lines.append(f"<tr>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def picture(figure: Any) -> str:
    """A figure as HTML that needs no other file."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    text = drawn.getvalue()
    return f"<div>{text[text.index('<svg') :]}</div>"
