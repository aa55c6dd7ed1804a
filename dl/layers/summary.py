"""A model as a table: layers, output shapes, parameters, memory."""

from __future__ import annotations

from dataclasses import dataclass

from ..notebook import table


@dataclass(frozen=True)
class Summary:
    """The result of `Layer.summary`; prints as a table.

    Parameters
    ----------
    rows : (name, layer, output shape without the batch, number of parameters) of each layer.
    parameters : number of parameters; shared ones count once.
    bytes : memory of the parameters.
    """

    rows: tuple[tuple[str, str, tuple[int, ...], int], ...]
    parameters: int
    bytes: int

    def __str__(self) -> str:
        cells = [("", "layer", "output", "parameters")]
        cells += [(name, text, str(shape), f"{count:,}") for name, text, shape, count in self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(4)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}" for a, b, c, d in cells]
        return "\n".join([*lines, self.total])

    __repr__ = __str__

    @property
    def total(self) -> str:
        """Parameters and memory of the whole model."""
        return f"{self.parameters:,} parameters, {self.bytes / 2**20:.2f} MiB; four times as much while Adam trains"

    def _repr_html_(self) -> str:
        return f"{table(('', 'layer', 'output', 'parameters'), self.rows)}<p>{self.total}</p>"
