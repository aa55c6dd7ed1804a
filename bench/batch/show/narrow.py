"""Tables that leave columns out where a terminal is too narrow, instead of cutting numbers short."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

WIDE = 1000  # characters: more than any table here


class NarrowTable(Table):
    """A table without the columns that do not fit.

    Parameters
    ----------
    titles : of the columns.
    left : titles of the columns of text, which are aligned to the left.
    dispensable : titles of the columns that may be left out, in that order.
    """

    def __init__(
        self, titles: Sequence[str], left: Sequence[str] = (), dispensable: Sequence[str] = (), **options: Any
    ) -> None:
        super().__init__(title_justify="left", box=SIMPLE_HEAD, **options)
        self.dispensable = dispensable
        for title in titles:
            self.add_column(title, justify="left" if title in left else "right")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = copy(self)
        for title in ("", *self.dispensable):
            kept = [column for column in shown.columns if not title or column.header != title]
            shown.columns = [replace(column, _index=place) for place, column in enumerate(kept)]
            if console.measure(shown, options=options.update(width=WIDE)).maximum <= options.max_width:
                break
        yield from Table.__rich_console__(shown, console, options)
